//! What happened in a run: the lines of `events.jsonl`, and what every picture
//! is drawn from.
//!
//! One line is one JSON object: `t` is nanoseconds since the run began, `event`
//! says what it is, and the other members are those of [`What`].

use compat::sys::time::Time;
use serde::{Deserialize, Serialize};

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the run began.
    #[serde(rename = "t")]
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

impl Event {
    /// When.
    pub fn time(&self) -> Time {
        Time(self.at)
    }
}

/// `sc_state`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// The interface is not there: not created yet, destroyed, or its machine
    /// is off.
    Absent,
    /// `INIT`
    Init,
    /// `BACKUP`
    Backup,
    /// `MASTER`
    Master,
}

impl State {
    /// As it is written in scenarios and pictures.
    pub fn name(self) -> &'static str {
        match self {
            State::Absent => "ABSENT",
            State::Init => "INIT",
            State::Backup => "BACKUP",
            State::Master => "MASTER",
        }
    }
}

impl From<libcarp::softc::State> for State {
    fn from(state: libcarp::softc::State) -> State {
        match state {
            libcarp::softc::State::Init => State::Init,
            libcarp::softc::State::Backup => State::Backup,
            libcarp::softc::State::Master => State::Master,
        }
    }
}

/// `ip` or `ip6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4
    Ip,
    /// IPv6
    Ip6,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Always the first: what the run was.
    Run {
        /// The scenario's name.
        scenario: String,
        /// What every choice of the run was made by.
        seed: u64,
        /// `virtual` or `real`.
        time: String,
        /// The LANs, in order.
        lans: Vec<String>,
        /// The machines, in order.
        machines: Vec<String>,
    },
    /// A machine is switched on.
    Boot {
        /// Which.
        machine: String,
    },
    /// A machine is gone from one moment to the next.
    Crash {
        /// Which.
        machine: String,
    },
    /// A machine is shut down in order.
    Halt {
        /// Which.
        machine: String,
    },
    /// A machine stops, as by SIGSTOP.
    Pause {
        /// Which.
        machine: String,
    },
    /// A machine goes on.
    Resume {
        /// Which.
        machine: String,
    },
    /// A command was given to a machine; what it did comes after it.
    Command {
        /// To which.
        machine: String,
        /// The command line.
        line: String,
        /// Its exit status.
        status: i32,
        /// What it printed, on both streams.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
    },
    /// A carp interface is in another state than before.
    State {
        /// Of which machine.
        machine: String,
        /// `carp0`; for FreeBSD's model `em0`.
        ifname: String,
        /// The LAN of its parent, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lan: Option<String>,
        /// Its vhid; 0 if it has none.
        vhid: u8,
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// An advertisement was sent.
    Advert {
        /// On which LAN.
        lan: String,
        /// By which machine (or client).
        machine: String,
        /// Whose.
        vhid: u8,
        /// Seconds.
        advbase: u8,
        /// 256ths of a second.
        advskew: u8,
        /// Over which family.
        family: Family,
    },
    /// Something is made to go wrong, or right again.
    Fault {
        /// As the scenario says it: `lan net0: loss 0.2`.
        text: String,
        /// The LAN that it concerns, if one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lan: Option<String>,
        /// The machine that it concerns, if one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
        /// Whether this is the fault's end.
        over: bool,
    },
    /// A ping was answered, or was given up.
    Ping {
        /// By which client.
        client: String,
        /// What was pinged.
        to: std::net::IpAddr,
        /// Its number, from 0.
        seq: u64,
        /// When it was sent, in nanoseconds since the run began.
        sent: u64,
        /// Nanoseconds until the answer; nothing if none came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rtt: Option<u64>,
        /// The machine whose answer it was, if one came and its MAC is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
    },
    /// A machine has logged a line.
    Log {
        /// Which.
        machine: String,
        /// The line.
        line: String,
    },
    /// What a scenario expects was looked at.
    Expect {
        /// The expectation.
        text: String,
        /// Whether it holds.
        holds: bool,
        /// What was seen.
        seen: String,
    },
    /// What must always hold does not.
    Violation {
        /// Which invariant, and how.
        text: String,
    },
    /// Always the last.
    End {
        /// Whether all that was expected has happened, and nothing else.
        passed: bool,
    },
}

/// All of them as `events.jsonl`.
pub fn to_jsonl(events: &[Event]) -> serde_json::Result<String> {
    let mut text = String::new();
    for event in events {
        text.push_str(&serde_json::to_string(event)?);
        text.push('\n');
    }
    Ok(text)
}

/// Reads `events.jsonl`.
pub fn from_jsonl(text: &str) -> serde_json::Result<Vec<Event>> {
    text.lines().filter(|l| !l.is_empty()).map(serde_json::from_str).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_and_comes_back() {
        let all = vec![
            Event {
                at: 0,
                what: What::Run {
                    scenario: "pair".into(),
                    seed: 7,
                    time: "virtual".into(),
                    lans: vec!["net0".into()],
                    machines: vec!["a".into()],
                },
            },
            Event {
                at: 1_500_000_000,
                what: What::State {
                    machine: "a".into(),
                    ifname: "carp0".into(),
                    lan: Some("net0".into()),
                    vhid: 1,
                    from: State::Backup,
                    to: State::Master,
                },
            },
        ];
        let text = to_jsonl(&all).unwrap();
        let line = r#"{"t":1500000000,"event":"state","machine":"a","ifname":"carp0","lan":"net0","vhid":1,"from":"BACKUP","to":"MASTER"}"#;
        assert_eq!(text.lines().nth(1).unwrap(), line);
        assert_eq!(from_jsonl(&text).unwrap(), all);
    }
}
