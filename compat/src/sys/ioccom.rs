//! `sys/ioccom.h`: how an ioctl's number is made of direction, size, group
//! and index.

/// The parameter is neither read nor written.
pub const IOC_VOID: u32 = 0x2000_0000;
/// The kernel writes the parameter.
pub const IOC_OUT: u32 = 0x4000_0000;
/// The kernel reads the parameter.
pub const IOC_IN: u32 = 0x8000_0000;
/// Both.
pub const IOC_INOUT: u32 = IOC_IN | IOC_OUT;
/// Thirteen bits of size.
pub const IOCPARM_MASK: u32 = (1 << 13) - 1;

/// Builds an ioctl number.
pub const fn ioc(inout: u32, group: u8, num: u8, len: usize) -> u32 {
    assert!(len <= IOCPARM_MASK as usize);
    inout | ((len as u32 & IOCPARM_MASK) << 16) | ((group as u32) << 8) | num as u32
}

/// `_IOR`: the kernel writes a `T`.
pub const fn ior<T>(group: u8, num: u8) -> u32 {
    ioc(IOC_OUT, group, num, size_of::<T>())
}

/// `_IOW`: the kernel reads a `T`.
pub const fn iow<T>(group: u8, num: u8) -> u32 {
    ioc(IOC_IN, group, num, size_of::<T>())
}

/// `_IOWR`: the kernel reads and writes a `T`.
pub const fn iowr<T>(group: u8, num: u8) -> u32 {
    ioc(IOC_INOUT, group, num, size_of::<T>())
}

/// `IOCPARM_LEN`: bytes of the parameter that `cmd` carries.
pub const fn parm_len(cmd: u32) -> usize {
    ((cmd >> 16) & IOCPARM_MASK) as usize
}
