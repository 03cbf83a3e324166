//! What libFuzzer runs, and the tests too over the corpora in `fuzz/corpus`: each
//! target is a function of bytes that panics if something is wrong.
//!
//! ```text
//!   fuzz/fuzz_targets/X.rs --+
//!                            +--> fuzz::X::run(bytes)
//!   tests/fuzz_corpora.rs  --+
//! ```

pub mod conf;
pub mod control;
pub mod frame;
pub mod ifconfig;
mod mend;
pub mod parsers;
pub mod scenario;
mod stage;

/// A target: what it is called, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("frame", frame::run),
    ("control", control::run),
    ("ifconfig", ifconfig::run),
    ("scenario", scenario::run),
    ("parsers", parsers::run),
    ("conf", conf::run),
];

/// An input, read from its beginning. Where it ends all is 0, so that a shorter
/// input is an input too.
pub(crate) struct Bytes<'d>(&'d [u8]);

impl<'d> Bytes<'d> {
    /// All of it.
    pub(crate) fn new(data: &'d [u8]) -> Bytes<'d> {
        Bytes(data)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Two bytes, the lower first.
    pub(crate) fn word(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// `n` bytes, or what is left.
    pub(crate) fn take(&mut self, n: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'d [u8] {
        self.0
    }

    /// As many bytes as the next one says.
    pub(crate) fn chunk(&mut self) -> &'d [u8] {
        let n = self.byte();
        self.take(n.into())
    }

    /// One of these, of which there must be one.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::from(self.byte()) % of.len()]
    }
}
