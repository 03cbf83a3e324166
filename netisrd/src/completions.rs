//! Completions for the shells: clap's own of `netisrd`, and small ones of the
//! programs that have BSD's syntax.

use clap::Command;
use clap_complete::{Shell, generate_to};
use ifconfig_carp::tables::{Opt, Table, tables};
use std::fs;
use std::io;
use std::path::Path;

/// Writes `bash/NAME`, `zsh/_NAME` and `fish/NAME.fish` for each program.
///
/// # Errors
/// The folder cannot be written to.
pub fn write(folder: &Path, netisrd: &Command) -> io::Result<()> {
    let netisrd = &mut shown(netisrd);
    let [bash, zsh, fish] = ["bash", "zsh", "fish"].map(|shell| folder.join(shell));
    for dir in [&bash, &zsh, &fish] {
        fs::create_dir_all(dir)?;
    }
    fs::rename(generate_to(Shell::Bash, netisrd, "netisrd", &bash)?, bash.join("netisrd"))?;
    generate_to(Shell::Zsh, netisrd, "netisrd", &zsh)?;
    generate_to(Shell::Fish, netisrd, "netisrd", &fish)?;
    for table in tables() {
        fs::write(bash.join(table.name), for_bash(&table))?;
        fs::write(zsh.join(format!("_{}", table.name)), for_zsh(&table))?;
        fs::write(fish.join(format!("{}.fish", table.name)), for_fish(&table))?;
    }
    Ok(())
}

/// Without the subcommands that people do not type; clap_complete has them all.
fn shown(all: &Command) -> Command {
    Command::new("netisrd")
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|c| !c.is_hide_set()).cloned())
}

/// What prints the words that only a running machine knows.
fn asks(program: &str) -> Option<&'static str> {
    match program {
        "ifconfig-carp" => Some("ifconfig-carp -l 2>/dev/null"),
        "sysctl-carp" => Some("sysctl-carp -aN 2>/dev/null"),
        _ => None,
    }
}

/// What an option's value may be.
enum Value {
    File,
    Words(&'static str),
    Any,
}

fn value_of(option: &Opt) -> Value {
    match option.short {
        'S' => Value::File,
        'p' => Value::Words("carp"),
        _ => Value::Any,
    }
}

fn for_bash(table: &Table) -> String {
    let function = format!("_{}", table.name.replace('-', "_"));
    let mut words: Vec<String> = table.options.iter().flat_map(spelled).collect();
    words.extend(table.words.iter().map(|w| (*w).to_owned()));
    words.extend(asks(table.name).map(|ask| format!("$({ask})")));
    let values = table.options.iter().filter(|o| o.takes_value).map(|o| {
        let what = match value_of(o) {
            Value::File => "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")".to_owned(),
            Value::Words(words) => format!("mapfile -t COMPREPLY < <(compgen -W \"{words}\" -- \"$cur\")"),
            Value::Any => "COMPREPLY=()".to_owned(),
        };
        format!("        -{}) {what}; return ;;\n", o.short)
    });
    format!(
        "{function}() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         case $prev in\n{}    esac\n    mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$cur\")\n}}\n\
         complete -F {function} {}\n",
        values.collect::<String>(),
        words.join(" "),
        table.name
    )
}

fn for_zsh(table: &Table) -> String {
    let mut lines = vec![format!("#compdef {}", table.name), "_arguments -s \\".to_owned()];
    for option in &table.options {
        let value = match (option.takes_value, value_of(option)) {
            (false, _) => "",
            (true, Value::File) => ":file:_files",
            (true, Value::Words(words)) => &format!(":word:({words})"),
            (true, Value::Any) => ":word: ",
        };
        lines.extend(spelled(option).iter().map(|spelled| format!("    '{spelled}{value}' \\")));
    }
    let mut words = table.words.join(" ");
    words.extend(asks(table.name).map(|ask| format!(" $({ask})")));
    if !words.is_empty() {
        lines.push(format!("    '*:word:{{compadd -- {words}}}' \\"));
    }
    lines.join("\n").trim_end_matches([' ', '\\']).to_owned() + "\n"
}

fn for_fish(table: &Table) -> String {
    let mut lines = vec![format!("complete -c {} -f", table.name)];
    for option in &table.options {
        let long = option.long.as_ref().map_or(String::new(), |long| format!(" -l {long}"));
        let value = match (option.takes_value, value_of(option)) {
            (false, _) => "",
            (true, Value::File) => " -r -F",
            (true, Value::Words(words)) => &format!(" -x -a '{words}'"),
            (true, Value::Any) => " -x",
        };
        lines.push(format!("complete -c {} -s {}{long}{value}", table.name, option.short));
    }
    let mut words = table.words.join(" ");
    words.extend(asks(table.name).map(|ask| format!(" ({ask})")));
    if !words.is_empty() {
        lines.push(format!("complete -c {} -a '{words}'", table.name));
    }
    lines.join("\n") + "\n"
}

/// `-h` and `--help`
fn spelled(option: &Opt) -> Vec<String> {
    let long = option.long.as_ref().map(|long| format!("--{long}"));
    [Some(format!("-{}", option.short)), long].into_iter().flatten().collect()
}
