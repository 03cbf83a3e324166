//! A thread that hangs while the others of its process go on.

use super::{Netisrd, binary};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// One thread of a process, which hangs until this is dropped. A process of its own holds
/// it: whoever waits for a child hears of all that is done to it by the same process.
#[derive(Debug)]
pub struct Hang(Child);

impl Hang {
    /// By the thread's name.
    ///
    /// # Panics
    /// There is none of that name, or it may not be stopped.
    pub fn of(machine: &Netisrd, name: &str) -> Hang {
        let mut holder = Command::new(binary("hang"));
        holder.args([&machine.proc.pid().to_string(), name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = holder.spawn().expect("hang");
        let said = holder.stdout.take().map(|out| BufReader::new(out).lines().next());
        assert!(matches!(said, Some(Some(Ok(ref line))) if line == "hangs"), "{name}: {said:?}");
        Hang(holder)
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
