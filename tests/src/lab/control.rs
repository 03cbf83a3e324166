//! A raw client of the control socket: any bytes, right or wrong.

use super::PATIENCE;
use super::events::wait_readable;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// `'NISR'`.
const MAGIC: u32 = 0x4e49_5352;

/// A connection.
#[derive(Debug)]
pub struct Control(OwnedFd);

impl Control {
    /// Connects.
    pub fn connect(path: &Path) -> Control {
        let kind = SockType::SeqPacket;
        let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
        connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        Control(fd)
    }

    /// A well-formed request.
    pub fn request(version: u16, op: u16, cmd: u32, arg: &[u8], data: &[u8]) -> Vec<u8> {
        let mut p = [&MAGIC.to_ne_bytes()[..], &version.to_ne_bytes(), &op.to_ne_bytes()].concat();
        for word in [cmd, arg.len() as u32, data.len() as u32] {
            p.extend_from_slice(&word.to_ne_bytes());
        }
        p.extend_from_slice(arg);
        p.extend_from_slice(data);
        p
    }

    /// Whether there is something to read, or the connection was closed.
    pub fn is_readable(&self) -> bool {
        wait_readable(self.0.as_fd(), std::time::Duration::ZERO)
    }

    /// A request to read a sysctl.
    pub fn sysctl(name: &str) -> Vec<u8> {
        Control::request(1, 2, 0, name.as_bytes(), b"")
    }

    /// Sends a packet.
    pub fn send(&self, packet: &[u8]) -> Result<(), Errno> {
        self.send_with(packet, MsgFlags::empty())
    }

    /// Sends a packet unless that would block (`EAGAIN`).
    pub fn try_send(&self, packet: &[u8]) -> Result<(), Errno> {
        self.send_with(packet, MsgFlags::MSG_DONTWAIT)
    }

    fn send_with(&self, packet: &[u8], flags: MsgFlags) -> Result<(), Errno> {
        send(self.0.as_raw_fd(), packet, flags | MsgFlags::MSG_NOSIGNAL).map(|_| ())
    }

    /// The errno of the next reply; `None` if the connection was closed.
    ///
    /// # Panics
    /// Without either within [`PATIENCE`], or if it is not a reply.
    pub fn reply(&self) -> Option<u32> {
        assert!(wait_readable(self.0.as_fd(), PATIENCE), "no reply within {PATIENCE:?}");
        let mut buffer = vec![0; 256 * 1024];
        let n = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap_or(0);
        if n == 0 {
            return None;
        }
        let word = |at: usize| u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap());
        assert!(n >= 20 && word(0) == MAGIC, "not a reply: {:?}", &buffer[..n]);
        assert_eq!(word(12) as usize + word(16) as usize + 20, n, "lengths of a reply");
        Some(word(8))
    }

    /// A request to listen to routing messages.
    pub fn route() -> Vec<u8> {
        Control::request(1, 3, 0, b"", b"")
    }

    /// The next thing that a routing socket is told: a message, or how many
    /// were lost. `None` if there is nothing now.
    ///
    /// # Panics
    /// At the end of the connection.
    pub fn told(&self) -> Option<Result<Vec<u8>, u32>> {
        let mut buffer = vec![0; 256 * 1024];
        let n = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => return None,
            other => other.unwrap(),
        };
        assert!(n >= 20, "the connection has ended");
        let word = |at: usize| u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap());
        Some(match word(12) {
            0 => Ok(buffer[20..n].to_vec()),
            _ => Err(word(20)),
        })
    }

    /// Waits until there is something to be told.
    ///
    /// # Panics
    /// If there is nothing within [`PATIENCE`].
    pub fn wait_told(&self) -> Result<Vec<u8>, u32> {
        loop {
            assert!(wait_readable(self.0.as_fd(), PATIENCE), "nothing told within {PATIENCE:?}");
            if let Some(told) = self.told() {
                return told;
            }
        }
    }
}
