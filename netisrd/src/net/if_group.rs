//! `net/if.c`'s interface groups.

use crate::machine::Ctx0;
use crate::net::if_::IfEntry;
use crate::netinet::carp_vhid;
use compat::net::if_::{IFG_ALL, IfName};
use compat::net::if_var::IfgGroup;
use compat::sys::errno::Errno;
use libcarp::{Ifnet, demote};
use triomphe::Arc;

/// `if_addgroup`: the interface joins a group, which is made if there is none
/// of that name. `EINVAL` for a name that ends in a digit, as an interface's
/// does, `EEXIST` for one that is joined already. A MASTER that is demoted by
/// that says so at once.
pub fn if_addgroup(cx: &mut Ctx0<'_>, ifp: &Ifnet, name: &str) -> Result<(), Errno> {
    let name = IfName::new(name).ok_or(Errno::EINVAL)?;
    if name.as_str().ends_with(|c: char| c.is_ascii_digit()) {
        return Err(Errno::EINVAL);
    }
    let mine = &ifp.own(cx.n0).if_groups;
    if mine.borrow().iter().any(|g| g.ifg_group == name) {
        return Err(Errno::EEXIST);
    }
    let group = find(cx, name).unwrap_or_else(|| {
        let new = Arc::new(IfgGroup::new(&cx.m.brand, name));
        cx.m.own(cx.n0).ifg_head.borrow_mut().push(new.clone());
        new
    });
    mine.borrow_mut().push(group);
    cx.carp(|cx| demote::skews_changed(cx));
    Ok(())
}

/// `if_delgroup`: `ENOENT` for a group that the interface is not in, `EPERM`
/// for the one that all are in. A group without members is no more, and a MASTER
/// that was demoted by it says at once that it is not.
pub fn if_delgroup(cx: &mut Ctx0<'_>, ifp: &Ifnet, name: IfName) -> Result<(), Errno> {
    let mine = &ifp.own(cx.n0).if_groups;
    if !mine.borrow().iter().any(|g| g.ifg_group == name) {
        return Err(Errno::ENOENT);
    }
    if name.as_str() == IFG_ALL {
        return Err(Errno::EPERM);
    }
    mine.borrow_mut().retain(|g| g.ifg_group != name);
    forget_empty(cx);
    cx.carp(|cx| demote::skews_changed(cx));
    Ok(())
}

/// The interface leaves the machine, and so every group.
pub fn leave_all(cx: &Ctx0<'_>, ifp: &Ifnet) {
    ifp.own(cx.n0).if_groups.borrow_mut().clear();
    forget_empty(cx);
}

fn forget_empty(cx: &Ctx0<'_>) {
    let all = cx.m.if_entries(cx.n0);
    let has_member = |g: &Arc<IfgGroup>| all.iter().any(|e| is_member(cx, e, g));
    cx.m.own(cx.n0).ifg_head.borrow_mut().retain(has_member);
}

fn is_member(cx: &Ctx0<'_>, entry: &IfEntry, group: &Arc<IfgGroup>) -> bool {
    entry.ifp.own(cx.n0).if_groups.borrow().iter().any(|g| Arc::ptr_eq(g, group))
}

fn find(cx: &Ctx0<'_>, name: IfName) -> Option<Arc<IfgGroup>> {
    cx.m.own(cx.n0).ifg_head.borrow().iter().find(|g| g.ifg_group == name).cloned()
}

/// `if_getgroup`: the groups of an interface.
pub fn if_getgroup(cx: &Ctx0<'_>, ifp: &Ifnet) -> Vec<IfName> {
    ifp.own(cx.n0).if_groups.borrow().iter().map(|g| g.ifg_group).collect()
}

/// `if_getgroupmembers`: the interfaces in a group; vhids of FreeBSD's model are
/// in it, but are none. `ENOENT` for no such group.
pub fn if_getgroupmembers(cx: &Ctx0<'_>, name: IfName) -> Result<Vec<IfName>, Errno> {
    let group = find(cx, name).ok_or(Errno::ENOENT)?;
    let all = cx.m.if_entries(cx.n0);
    let shown = |e: &&IfEntry| is_member(cx, e, &group) && !carp_vhid::is_vhid(&e.ifp);
    Ok(all.iter().filter(shown).map(|e| e.ifp.if_xname).collect())
}

/// `if_getgroupattribs`: how often the group is demoted.
pub fn carp_demoted(cx: &Ctx0<'_>, name: IfName) -> Result<i32, Errno> {
    find(cx, name).map(|g| g.carp_demoted(cx.n0).get()).ok_or(Errno::ENOENT)
}

/// `if_setgroupattribs`: the group has `adj` reasons more to be no MASTER.
/// `ENOENT` for no such group, else what [`demote::group_demote_adj`] says.
pub fn demote(cx: &mut Ctx0<'_>, name: IfName, adj: i32) -> Result<(), Errno> {
    let group = find(cx, name).ok_or(Errno::ENOENT)?;
    cx.carp(|cx| demote::group_demote_adj(cx, "ifconfig", &group, adj))
}
