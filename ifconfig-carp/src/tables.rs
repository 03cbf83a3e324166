//! What the four programs take, as tables: for the shells' completions, and
//! for whoever holds the manual pages against the programs.

use crate::cli::Program;
use crate::{ifconfig, netstat, route, sysctl};
use clap::CommandFactory;

/// What a program takes.
#[derive(Debug)]
pub struct Table {
    /// What it is called.
    pub name: &'static str,
    /// The text of `-h`.
    pub usage: &'static str,
    /// Those in front of the words.
    pub options: Vec<Opt>,
    /// The words that it knows. An address, an interface or a variable is none.
    pub words: Vec<&'static str>,
}

/// An option.
#[derive(Debug, PartialEq, Eq)]
pub struct Opt {
    /// `-S`
    pub short: char,
    /// `--help`
    pub long: Option<String>,
    /// Whether a word comes behind it.
    pub takes_value: bool,
}

impl Table {
    pub(crate) fn new<Options: CommandFactory>(program: &Program, words: Vec<&'static str>) -> Table {
        let command = Options::command();
        let options = command.get_arguments().filter_map(|arg| {
            let takes_value = arg.get_action().takes_values();
            Some(Opt { short: arg.get_short()?, long: arg.get_long().map(str::to_owned), takes_value })
        });
        Table { name: program.name, usage: program.usage, options: options.collect(), words }
    }
}

/// One for each program.
pub fn tables() -> [Table; 4] {
    [ifconfig::table(), netstat::table(), route::table(), sysctl::table()]
}
