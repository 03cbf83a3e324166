//! `sys/sysctl.h`: named variables, in tables.

use super::ctlsock::CtlType;
use super::errno::Errno;

/// Names a context type: what the leaves of one table need to be read and
/// written. It has a lifetime, so a table cannot name it directly.
pub trait Context {
    /// The context.
    type Cx<'a>;
}

/// How a leaf is read.
pub type Read<F> = for<'a, 'b> fn(&'b <F as Context>::Cx<'a>) -> Vec<u8>;
/// How a leaf is written; what it does not accept is an error.
pub type Write<F> = for<'a, 'b, 'c> fn(&'b <F as Context>::Cx<'a>, &'c [u8]) -> Result<(), Errno>;

/// A leaf. Everyone reads it; root writes it where it can be written.
pub struct Oid<F: Context> {
    /// The full name.
    pub name: &'static str,
    /// What the value is.
    pub ctltype: CtlType,
    /// One line for a person.
    pub descr: &'static str,
    /// `CTLFLAG_RD`
    pub read: Read<F>,
    /// `CTLFLAG_RW`, if there is one.
    pub write: Option<Write<F>>,
}

/// An `i32`'s bytes, for a [`Read`].
pub fn int_out(v: i32) -> Vec<u8> {
    v.to_ne_bytes().to_vec()
}

/// The `i32` that a [`Write`] was given; `EINVAL` for another length.
pub fn int_in(new: &[u8]) -> Result<i32, Errno> {
    new.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::EINVAL)
}

/// A type and a value, as they travel.
pub type Value = (CtlType, Vec<u8>);

/// `sysctlbyname` in one table: the old value, and the new one stored if there
/// is one. `None` if the name is not here. `EPERM` for a leaf that cannot be
/// written or a caller who may not, else what the leaf says of the value.
pub fn sysctl<F: Context>(
    table: &[Oid<F>],
    cx: &F::Cx<'_>,
    name: &str,
    new: &[u8],
    privileged: bool,
) -> Option<Result<Value, Errno>> {
    let oid = table.iter().find(|o| o.name == name)?;
    let old = (oid.read)(cx);
    if !new.is_empty() {
        let Some(write) = oid.write.filter(|_| privileged) else { return Some(Err(Errno::EPERM)) };
        if let Err(e) = write(cx, new) {
            return Some(Err(e));
        }
    }
    Some(Ok((oid.ctltype, old)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Fake;
    impl Context for Fake {
        type Cx<'a> = &'a Cell<i32>;
    }

    const TABLE: &[Oid<Fake>] = &[
        Oid {
            name: "a.b",
            ctltype: CtlType::Int,
            descr: "",
            read: |c| int_out(c.get()),
            write: Some(|c, new| match int_in(new)? {
                ..0 => Err(Errno::EINVAL),
                v => {
                    c.set(v);
                    Ok(())
                }
            }),
        },
        Oid { name: "a.c", ctltype: CtlType::Int, descr: "", read: |c| int_out(c.get() * 2), write: None },
    ];

    #[test]
    fn reading_is_for_all_and_writing_for_the_privileged() {
        let c = Cell::new(5);
        let call = |name, new: &[u8], privileged| sysctl(TABLE, &&c, name, new, privileged);
        let int = |v: i32| Some(Ok((CtlType::Int, int_out(v))));
        assert_eq!(call("a.b", &[], false), int(5));
        assert_eq!(call("a.b", &int_out(7), false), Some(Err(Errno::EPERM)));
        assert_eq!(call("a.b", &int_out(7), true), int(5));
        assert_eq!(call("a.c", &[], false), int(14));
        assert_eq!(call("a.c", &[0; 4], true), Some(Err(Errno::EPERM)));
        assert_eq!(call("a.b", &int_out(-1), true), Some(Err(Errno::EINVAL)));
        assert_eq!(call("a.b", &[1], true), Some(Err(Errno::EINVAL)));
        assert_eq!(call("a", &[], true), None);
        assert_eq!(c.get(), 7);
    }
}
