//! The system calls of the emulated machine: what `ioctl(2)` and `sysctl(3)`
//! would carry across the user/kernel boundary, as packets of a Unix
//! `SOCK_SEQPACKET` socket.
//!
//! One packet is one request, one packet is its reply, in the same order. All
//! integers are in the machine's byte order: both ends share it.
//!
//! ```text
//! request  magic 'NISR' | version u16 | op u16 | cmd u32 | arglen u32 | datalen u32 | arg | data
//! reply    magic 'NISR' | version u16 | op u16 | errno u32 | arglen u32 | datalen u32 | arg | data
//! ```
//!
//! For [`Op::Ioctl`], `cmd` is the BSD ioctl number, `arg` the BSD struct
//! (exactly `IOCPARM_LEN(cmd)` bytes; a reply has it back if the number says
//! `IOC_OUT`) and `data` what a pointer in that struct would point to; the
//! pointer itself is 0. For [`Op::Sysctl`], `cmd` is 0, `arg` the name and
//! `data` the new value (empty: none); the reply's `data` is the old value
//! with its [`CtlType`] in `arg`.

use super::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `'NISR'`.
pub const MAGIC: u32 = 0x4e49_5352;
/// Changes whenever a request or reply changes its meaning.
pub const VERSION: u16 = 1;
/// The largest packet either end accepts.
pub const MAX_PACKET: usize = 128 * 1024;

/// The kind of system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// `ioctl(2)` on a socket of the machine.
    Ioctl = 1,
    /// `sysctlbyname(3)`.
    Sysctl = 2,
    /// A routing socket: after its answer the connection carries only what the
    /// machine tells, each packet a reply. Its `data` is one routing message,
    /// or its `arg` a `u32`, how many were lost here. Whatever the listener
    /// sends ends the connection.
    Route = 3,
    /// To the process around the machine: its configuration is read again. The
    /// reply's `arg` is a `u32`, 0 if all went well, its `data` lines of text
    /// about it.
    Reload = 4,
    /// To the process around the machine: another one would go on in its place.
    /// `cmd` says which step of that it is, `arg` is a `u32`, the format of what
    /// is handed over; after `EPROTONOSUPPORT` the reply's `arg` is the one that
    /// it could be. After its answer the connection carries that.
    Takeover = 5,
}

/// `CTLTYPE_*`: what a sysctl's value is, the `u32` in a reply's `arg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CtlType {
    /// An `i32`.
    Int = 2,
    /// Bytes of text.
    String = 3,
    /// A struct that the name defines.
    Opaque = 5,
}

impl CtlType {
    /// The type with that number.
    pub fn from_u32(v: u32) -> Option<CtlType> {
        match v {
            2 => Some(CtlType::Int),
            3 => Some(CtlType::String),
            5 => Some(CtlType::Opaque),
            _ => None,
        }
    }
}

/// The sysctl that lists all names, each followed by a NUL.
pub const SYSCTL_NAMES: &str = "sysctl.names";
/// The sysctl that lists interfaces and addresses as routing messages
/// (`NET_RT_IFLIST`): an `if_msghdr` with an `AF_LINK` address for each
/// interface, then an `ifa_msghdr` with netmask, address and broadcast address
/// (`RTA_NETMASK | RTA_IFA | RTA_BRD`, in that order) for each of its
/// addresses. Each socket address takes `rt_roundup(sa_len)` bytes.
///
/// The name goes on with `.INDEX`: the interfaces from that index on, as many
/// as fit in a packet, none at the end.
pub const SYSCTL_IFLIST: &str = "net.route.iflist";

/// The sysctl that lists the routing table (`NET_RT_DUMP`): an `rt_msghdr` with
/// destination, gateway (the interface) and netmask for each route. The name
/// goes on with `.NUMBER`: the routes from that one on, as many as fit in a
/// packet, none at the end.
pub const SYSCTL_RTTABLE: &str = "net.route.table";

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Head {
    magic: u32,
    version: u16,
    op: u16,
    /// The command of a request, the errno of a reply.
    word: u32,
    arglen: u32,
    datalen: u32,
}

const HEAD: usize = size_of::<Head>();

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub op: Op,
    /// The ioctl's number.
    pub cmd: u32,
    /// The ioctl's struct or the sysctl's name.
    pub arg: Vec<u8>,
    /// What the struct's pointer points to, or the sysctl's new value.
    pub data: Vec<u8>,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `None` is success.
    pub error: Option<Errno>,
    /// The ioctl's struct or the sysctl's type.
    pub arg: Vec<u8>,
    /// What the struct's pointer points to, or the sysctl's old value.
    pub data: Vec<u8>,
}

fn encode(op: u16, word: u32, arg: &[u8], data: &[u8]) -> Vec<u8> {
    let head = Head {
        magic: MAGIC,
        version: VERSION,
        op,
        word,
        arglen: arg.len() as u32,
        datalen: data.len() as u32,
    };
    let mut out = Vec::with_capacity(HEAD + arg.len() + data.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(arg);
    out.extend_from_slice(data);
    out
}

/// Splits a packet. `EPROTO` for what is not one of ours, `EPROTONOSUPPORT`
/// for another version, `EINVAL` for lengths that do not add up.
fn decode(packet: &[u8]) -> Result<(Head, &[u8], &[u8]), Errno> {
    let (head, rest) = Head::read_from_prefix(packet).map_err(|_| Errno::EPROTO)?;
    if head.magic != MAGIC {
        return Err(Errno::EPROTO);
    }
    if head.version != VERSION {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let (arglen, datalen) = (head.arglen as usize, head.datalen as usize);
    if packet.len() > MAX_PACKET || arglen.checked_add(datalen) != Some(rest.len()) {
        return Err(Errno::EINVAL);
    }
    let (arg, data) = rest.split_at(arglen);
    Ok((head, arg, data))
}

impl Request {
    /// An ioctl with a struct and nothing behind a pointer.
    pub fn ioctl<T: IntoBytes + Immutable>(cmd: u32, arg: &T) -> Request {
        Request { op: Op::Ioctl, cmd, arg: arg.as_bytes().to_vec(), data: Vec::new() }
    }

    /// An ioctl whose struct has a pointer to `data`.
    pub fn ioctl_with<T: IntoBytes + Immutable>(cmd: u32, arg: &T, data: &[u8]) -> Request {
        Request { op: Op::Ioctl, cmd, arg: arg.as_bytes().to_vec(), data: data.to_vec() }
    }

    /// A sysctl; an empty `new` only reads.
    pub fn sysctl(name: &str, new: &[u8]) -> Request {
        Request { op: Op::Sysctl, cmd: 0, arg: name.as_bytes().to_vec(), data: new.to_vec() }
    }

    /// Listens to routing messages.
    pub fn route() -> Request {
        Request { op: Op::Route, cmd: 0, arg: Vec::new(), data: Vec::new() }
    }

    /// Reads the configuration again.
    pub fn reload() -> Request {
        Request { op: Op::Reload, cmd: 0, arg: Vec::new(), data: Vec::new() }
    }

    /// The packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self.op as u16, self.cmd, &self.arg, &self.data)
    }

    /// Reads a packet; the errors are `EPROTO`, `EPROTONOSUPPORT`, `EINVAL`.
    pub fn from_bytes(packet: &[u8]) -> Result<Request, Errno> {
        let (head, arg, data) = decode(packet)?;
        let op = match head.op {
            1 => Op::Ioctl,
            2 => Op::Sysctl,
            3 => Op::Route,
            4 => Op::Reload,
            5 => Op::Takeover,
            _ => return Err(Errno::EINVAL),
        };
        Ok(Request { op, cmd: head.word, arg: arg.to_vec(), data: data.to_vec() })
    }
}

impl Reply {
    /// A failure carries nothing else.
    pub fn error(e: Errno) -> Reply {
        Reply { error: Some(e), arg: Vec::new(), data: Vec::new() }
    }

    /// The packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(0, self.error.map_or(0, |e| e.0 as u32), &self.arg, &self.data)
    }

    /// Reads a packet; the errors are `EPROTO`, `EPROTONOSUPPORT`, `EINVAL`.
    pub fn from_bytes(packet: &[u8]) -> Result<Reply, Errno> {
        let (head, arg, data) = decode(packet)?;
        let error = (head.word != 0).then_some(Errno(head.word as i32));
        Ok(Reply { error, arg: arg.to_vec(), data: data.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        for r in [Request::ioctl_with(7, &[1u8, 2, 3], b"data"), Request::route(), Request::reload()] {
            assert_eq!(Request::from_bytes(&r.to_bytes()), Ok(r));
        }
        let r = Reply { error: Some(Errno::EEXIST), arg: vec![1], data: vec![2, 3] };
        assert_eq!(Reply::from_bytes(&r.to_bytes()), Ok(r));
    }

    #[test]
    fn what_is_malformed_has_an_errno() {
        let good = Request::sysctl("a", b"").to_bytes();
        assert_eq!(Request::from_bytes(&[]), Err(Errno::EPROTO));
        assert_eq!(Request::from_bytes(&good[..10]), Err(Errno::EPROTO));
        assert_eq!(Request::from_bytes(&good[..good.len() - 1]), Err(Errno::EINVAL));
        let mut b = good.clone();
        b[0] ^= 1;
        assert_eq!(Request::from_bytes(&b), Err(Errno::EPROTO));
        let mut b = good.clone();
        b[4] = 99;
        assert_eq!(Request::from_bytes(&b), Err(Errno::EPROTONOSUPPORT));
        let mut b = good.clone();
        b[6] = 99;
        assert_eq!(Request::from_bytes(&b), Err(Errno::EINVAL));
        let mut b = good;
        b[12..20].fill(0xff);
        assert_eq!(Request::from_bytes(&b), Err(Errno::EINVAL));
    }
}
