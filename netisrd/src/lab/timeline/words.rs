//! Events and times in words.

use crate::lab::record::What;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// One event as one line.
pub(crate) fn event(what: &What) -> String {
    match what {
        What::Run { scenario, seed, time, .. } => format!("run of {scenario}, seed {seed}, {time} time"),
        What::Boot { machine } => format!("{machine} boots"),
        What::Crash { machine } => format!("{machine} crashes"),
        What::Halt { machine } => format!("{machine} is halted"),
        What::Pause { machine } => format!("{machine} is paused"),
        What::Resume { machine } => format!("{machine} goes on"),
        What::Command { machine, line, status: 0, .. } => format!("{machine}: {line}"),
        What::Command { machine, line, status, .. } => format!("{machine}: {line} (exit status {status})"),
        What::State { machine, ifname, vhid, from, to, .. } => {
            format!("{machine} {ifname} vhid {vhid}: {} -> {}", from.name(), to.name())
        }
        What::Advert { lan, machine, vhid, advbase, advskew, .. } => {
            format!("{machine} advertises vhid {vhid} on {lan}, advbase {advbase} advskew {advskew}")
        }
        What::Fault { text, over: false, .. } => text.clone(),
        What::Fault { text, over: true, .. } => format!("over: {text}"),
        What::Ping { client, to, seq, rtt: None, .. } => format!("{client} pings {to}, number {seq}: lost"),
        What::Ping { client, to, seq, rtt: Some(rtt), machine, .. } => {
            let by = machine.as_ref().map(|m| format!(" by {m}")).unwrap_or_default();
            format!("{client} pings {to}, number {seq}: answered{by} in {}", span(*rtt))
        }
        What::Log { machine, line } => format!("{machine} logs: {line}"),
        What::Expect { text, holds: true, seen } => format!("{text}: holds, {seen}"),
        What::Expect { text, holds: false, seen } => format!("{text}: does not hold, {seen}"),
        What::Violation { text } => format!("violated: {text}"),
        What::End { passed: true } => "passed".to_owned(),
        What::End { passed: false } => "failed".to_owned(),
    }
}

/// A moment, to the nanosecond: `3.390625 s`, and from two minutes on
/// `1:02:03.5`.
pub(crate) fn moment(t: u64) -> String {
    let fraction = format!("{:09}", t % SECOND);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    if t < 2 * MINUTE {
        return format!("{}{dot}{fraction} s", t / SECOND);
    }
    format!("{}{dot}{fraction}", clock(t))
}

/// `1:02:03`, with the days before it if there are any.
fn clock(t: u64) -> String {
    let (day, hour, minute, second) = (t / DAY, t / HOUR % 24, t / MINUTE % 60, t / SECOND % 60);
    match (day, hour) {
        (0, 0) => format!("{minute}:{second:02}"),
        (0, _) => format!("{hour}:{minute:02}:{second:02}"),
        _ => format!("{day} d {hour:02}:{minute:02}:{second:02}"),
    }
}

/// How long something took, in the unit that suits it.
pub(crate) fn span(d: u64) -> String {
    match d {
        0..1_000 => format!("{d} ns"),
        1_000..1_000_000 => scaled(d, 1_000, "µs"),
        1_000_000..SECOND => scaled(d, 1_000_000, "ms"),
        SECOND..MINUTE => scaled(d, SECOND, "s"),
        MINUTE..HOUR => both(d / MINUTE, "min", d % MINUTE / SECOND, "s"),
        HOUR..DAY => both(d / HOUR, "h", d % HOUR / MINUTE, "min"),
        _ => both(d / DAY, "d", d % DAY / HOUR, "h"),
    }
}

fn both(great: u64, of: &str, small: u64, of_these: &str) -> String {
    if small == 0 { format!("{great} {of}") } else { format!("{great} {of} {small} {of_these}") }
}

/// `d` in `unit`s, without zeros at the end.
fn scaled(d: u64, unit: u64, name: &str) -> String {
    let text = format!("{:.3}", d as f64 / unit as f64);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A time axis from `from` to `end`: the moments that get a label if no more
/// than `most` may, and the labels.
pub(crate) fn axis(from: u64, end: u64, most: u64) -> Vec<(u64, String)> {
    let step = step(end.saturating_sub(from) / most.max(1));
    let decimals = (0..9).find(|n| step.is_multiple_of(10_u64.pow(9 - n))).unwrap_or(9) as usize;
    let label = |t: u64| {
        if end < 2 * MINUTE {
            return format!("{:.decimals$} s", t as f64 / 1e9);
        }
        if step >= DAY { format!("{} d", t / DAY) } else { clock(t) }
    };
    (from.div_ceil(step)..=end / step).map(|i| (i * step, label(i * step))).collect()
}

/// The least sensible step that is not below `least`.
fn step(least: u64) -> u64 {
    let fine = (0..9).flat_map(|n| [1, 2, 5].map(|m| m * 10_u64.pow(n)));
    let seconds = [1, 2, 5, 10, 15, 30].map(|n| n * SECOND);
    let minutes = [1, 2, 5, 10, 15, 30].map(|n| n * MINUTE);
    let hours = [1, 2, 3, 6, 12].map(|n| n * HOUR);
    let mut all = fine.chain(seconds).chain(minutes).chain(hours);
    all.find(|s| *s >= least).unwrap_or_else(|| least.div_ceil(DAY) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_exact() {
        let moments = [(0, "0 s"), (3_390_625_000, "3.390625 s"), (1, "0.000000001 s")];
        moments.into_iter().for_each(|(t, text)| assert_eq!(moment(t), text));
        assert_eq!(moment(2 * MINUTE + SECOND / 2), "2:00.5");
        assert_eq!(moment(DAY + 2 * HOUR + 3 * SECOND), "1 d 02:00:03");
        let spans = [(999, "999 ns"), (1_500, "1.5 µs"), (250_000_000, "250 ms"), (3_390_625_000, "3.391 s")];
        spans.into_iter().for_each(|(d, text)| assert_eq!(span(d), text));
        assert_eq!((span(62 * MINUTE), span(90 * SECOND)), ("1 h 2 min".into(), "1 min 30 s".into()));
    }

    #[test]
    fn an_axis_has_sensible_steps_from_milliseconds_to_days() {
        let part = |from, end, most| axis(from, end, most).into_iter().map(|(_, l)| l).collect::<Vec<_>>();
        let axis = |end, most| part(0, end, most);
        assert_eq!(axis(900_000, 3), ["0.0000 s", "0.0005 s"]);
        assert_eq!(axis(10 * SECOND, 4), ["0 s", "5 s", "10 s"]);
        assert_eq!(axis(SECOND, 4), ["0.0 s", "0.5 s", "1.0 s"]);
        assert_eq!(axis(3 * HOUR, 3), ["0:00", "1:00:00", "2:00:00", "3:00:00"]);
        assert_eq!(axis(9 * DAY, 4), ["0 d", "3 d", "6 d", "9 d"]);
        assert_eq!(axis(0, 10), ["0.000000000 s"]);
        assert_eq!(part(7 * SECOND, 27 * SECOND, 4), ["10 s", "15 s", "20 s", "25 s"]);
        assert_eq!(part(3 * HOUR, 3 * HOUR + MINUTE, 2), ["3:00:00", "3:00:30", "3:01:00"]);
    }
}
