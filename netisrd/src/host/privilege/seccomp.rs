//! Seccomp: which system calls the process still has.
//!
//! What is not on the list fails with EPERM instead of ending the process: a
//! library that learns a new call must not take down a MASTER, and who has got
//! in gains as little by an error as by being killed. What fails is found by
//! the tests, which all run a machine like this.

use super::{Later, Outcome};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;

/// Calls by number, each with the arguments that it may have; none is all.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Whatever a machine does: its threads, their polls, packets, clients, timers.
const MACHINE: &[i64] = &[
    // threads
    libc::SYS_clone3, // which is answered before: see `CLONE3`
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    // memory
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // signals
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // time and chance
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // polls
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    // descriptors
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // sockets
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // who it is, and the end of the control socket
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// To read files.
const FILES: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    libc::SYS_statx,
    libc::SYS_fstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// What libpcap asks of an interface before it listens there.
const LOOKS: [libc::c_ulong; 4] =
    [libc::SIOCGIFHWADDR, libc::SIOCGIFINDEX, libc::SIOCGIFMTU, libc::SIOCETHTOOL];

/// What devices need beside [`FILES`]; of any socket, and any ioctl.
const DEVICES: &[i64] = &[libc::SYS_ioctl, libc::SYS_socket];

/// The ioctls by which a tap is made and set up, beside [`FILES`].
const TAPS: &[libc::Ioctl] = &[libc::TUNSETIFF, libc::TUNSETOFFLOAD, libc::TUNSETCARRIER];

/// To learn how a child has ended.
const CHILD: &[i64] = &[libc::SYS_wait4];

/// What no program that is run here has any business with: other processes,
/// the kernel itself, what is mounted, whose machine it is.
const NO_PROGRAM: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Its flags are in memory, where no filter looks. As if the kernel were too
/// old for it, libc takes `clone`, whose flags are an argument.
const CLONE3: SeccompAction = SeccompAction::Errno(libc::ENOSYS as u32);
const REFUSED: SeccompAction = SeccompAction::Errno(libc::EPERM as u32);

/// Filters this thread and all that it will start.
pub(super) fn restrict(later: &Later) -> Result<Outcome, Box<dyn std::error::Error>> {
    let rules = allowed(later)?;
    let said = format!("{} system calls; others fail", rules.len());
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = compile(clone3, SeccompAction::Allow, CLONE3)?;
    // Of two filters the stricter counts. The second one has no call to
    // install another.
    apply_filter(&clone3)?;
    apply_filter(&compile(rules, REFUSED, SeccompAction::Allow)?)?;
    Ok(Outcome::On(said))
}

/// Filters this thread and the programs that it will run.
pub(super) fn restrict_programs() -> Result<Outcome, Box<dyn std::error::Error>> {
    let rules: Rules = NO_PROGRAM.iter().map(|call| (*call, Vec::new())).collect();
    let said = format!("{} system calls are refused, all others are programs'", rules.len());
    apply_filter(&compile(rules, SeccompAction::Allow, REFUSED)?)?;
    Ok(Outcome::On(said))
}

fn compile(
    rules: Rules,
    other: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, other, listed, arch)?.try_into()
}

fn allowed(later: &Later) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = MACHINE.iter().map(|call| (*call, Vec::new())).collect();
    // Threads, no processes.
    rules.insert(libc::SYS_clone, vec![bits(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?]);
    // Threads' names.
    rules.insert(libc::SYS_prctl, vec![equals(0, libc::PR_SET_NAME)?]);
    // No memory becomes code.
    rules.insert(libc::SYS_mmap, vec![bits(2, libc::PROT_EXEC, 0)?]);
    rules.insert(libc::SYS_mprotect, vec![bits(2, libc::PROT_EXEC, 0)?]);
    // abort(3)
    rules.insert(libc::SYS_tgkill, vec![equals(0, std::process::id() as libc::c_int)?]);
    // A socket that does not block, and libpcap's look at an interface.
    let (mut ioctls, mut sockets) = (vec![libc::FIONBIO, libc::SIOCGIFFLAGS], vec![libc::AF_NETLINK]);
    if later.taps {
        ioctls.extend(TAPS);
        // A thread of its own.
        rules.insert(libc::SYS_sched_setaffinity, vec![equals(0, 0)?]);
    }
    if later.interfaces {
        ioctls.extend(LOOKS);
        sockets.push(libc::AF_PACKET);
    }
    let ioctls: Result<_, _> = ioctls.into_iter().map(|request| equals(1, request as libc::c_int)).collect();
    rules.insert(libc::SYS_ioctl, ioctls?);
    let sockets: Result<_, _> = sockets.into_iter().map(|family| equals(0, family)).collect();
    rules.insert(libc::SYS_socket, sockets?);
    let files = later.devices || later.taps || !later.reads.is_empty() || !later.writes.is_empty();
    let files = if files { FILES } else { &[] };
    let devices = if later.devices { DEVICES } else { &[] };
    let child = if later.child { CHILD } else { &[] };
    rules.extend(files.iter().chain(devices).chain(child).map(|call| (*call, Vec::new())));
    Ok(rules)
}

/// An argument, of which the low 32 bits count, that has this value.
fn equals(argument: u8, value: libc::c_int) -> Result<SeccompRule, seccompiler::BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

/// An argument that has these of its bits.
fn bits(
    argument: u8,
    mask: libc::c_int,
    value: libc::c_int,
) -> Result<SeccompRule, seccompiler::BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(mask as u64), value)
}

fn condition(
    argument: u8,
    op: SeccompCmpOp,
    value: libc::c_int,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let value = u64::from(value as u32);
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?])
}
