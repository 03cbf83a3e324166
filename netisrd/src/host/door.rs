//! Where clients come in: a listening socket, and what to do when nobody can.

use std::io;
use std::time::Duration;

/// When to accept again after a failure.
const AGAIN: Duration = Duration::from_millis(100);

/// A socket that listens until it is closed.
pub(super) struct Door<L> {
    /// Of errors.
    name: &'static str,
    listener: Option<L>,
    /// Somebody may wait who makes no event.
    again: bool,
    /// It could not accept, and has said so.
    troubled: bool,
}

impl<L> Door<L> {
    /// Open; errors are told with that name.
    pub(super) fn new(name: &'static str, listener: L) -> Door<L> {
        Door { name, listener: Some(listener), again: false, troubled: false }
    }

    /// `None` once it is closed.
    pub(super) fn listener(&self) -> Option<&L> {
        self.listener.as_ref()
    }

    /// The same.
    pub(super) fn listener_mut(&mut self) -> Option<&mut L> {
        self.listener.as_mut()
    }

    /// Whoever waits is let go.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.again = false;
    }

    /// The next who waits, by `accept`, which does not wait itself.
    pub(super) fn next<S>(&mut self, mut accept: impl FnMut(&L) -> io::Result<S>) -> Option<S> {
        let listener = self.listener.as_ref()?;
        loop {
            match accept(listener) {
                Ok(client) => {
                    self.troubled = false;
                    return Some(client);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // Out of descriptors or memory.
                    if !core::mem::replace(&mut self.troubled, true) {
                        tracing::warn!("{}: {e}", self.name);
                    }
                    self.again = true;
                    return None;
                }
            }
        }
    }

    /// Somebody may still wait.
    pub(super) fn leave_ajar(&mut self) {
        self.again = true;
    }

    /// How long until it is to be looked at, whatever is ready.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.again.then_some(AGAIN)
    }

    /// Whether it is: asked once.
    pub(super) fn take_again(&mut self) -> bool {
        core::mem::take(&mut self.again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_not_come_in_is_asked_for_again() {
        let mut door = Door::new("door", ());
        let err = |kind: io::ErrorKind| -> io::Result<()> { Err(kind.into()) };
        assert_eq!((door.next(|()| err(io::ErrorKind::WouldBlock)), door.patience()), (None, None));
        let mut first = true;
        let interrupted = |(): &()| match core::mem::take(&mut first) {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(7),
        };
        assert_eq!((door.next(interrupted), door.take_again()), (Some(7), false));
        assert_eq!((door.next(|()| err(io::ErrorKind::OutOfMemory)), door.patience()), (None, Some(AGAIN)));
        assert!(door.troubled && door.take_again() && !door.take_again());
        assert_eq!((door.next(|()| Ok(8)), door.troubled), (Some(8), false));
        door.leave_ajar();
        door.close();
        assert_eq!((door.next(|()| Ok(9)), door.patience()), (None, None));
    }
}
