//! `errno` values as SPDK's functions return them.

use std::ffi::CStr;
use std::fmt;

/// A positive `errno`. SPDK's functions return its negation; [`Errno::from_rc`] turns that into a `Result`.
///
/// Displays as `No such device (ENODEV)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

/// The values that the layer names in messages and in code: constant, symbol.
macro_rules! named {
    ($($name:ident)*) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: Errno = Errno(libc::$name);)*

            /// The symbol, such as `ENODEV`; `None` for a value that this layer does not name.
            pub fn symbol(self) -> Option<&'static str> {
                match self {
                    $(Errno::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

named! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENODEV EINVAL
    ENFILE EMFILE EFBIG ENOSPC EROFS EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOSYS ENOTEMPTY EILSEQ EPROTO
    EOVERFLOW EMSGSIZE EPROTOTYPE ENOTSUP EADDRINUSE EADDRNOTAVAIL ENETDOWN
    ENETUNREACH ECONNABORTED
    ECONNRESET ENOBUFS ENOTCONN ESHUTDOWN ETIMEDOUT ECONNREFUSED EHOSTUNREACH EALREADY
    EINPROGRESS ESTALE ECANCELED
}

impl Errno {
    /// The error that a positive `errno` stands for.
    ///
    /// # Panics
    /// If `errno` is not positive: a success or a negated value is a mistake of the caller.
    pub const fn new(errno: i32) -> Errno {
        assert!(errno > 0, "an errno is positive");
        Errno(errno)
    }

    /// Reads the return code of a C function: 0 (and, for functions that count, any positive value) is
    /// success, a negative value a negated errno.
    pub const fn from_rc(rc: i32) -> Result<(), Errno> {
        if rc >= 0 { Ok(()) } else { Err(Errno(rc.wrapping_neg())) }
    }

    /// The errno that the last failed system call of this OS thread left; `EIO` if there is none.
    pub fn last() -> Errno {
        std::io::Error::last_os_error().raw_os_error().filter(|&raw| raw > 0).map_or(Errno::EIO, Errno)
    }

    /// The positive value.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The negated value, as SPDK's callbacks take it.
    pub const fn to_rc(self) -> i32 {
        self.0.wrapping_neg()
    }

    /// The C library's text, such as `No such device`.
    fn text(self) -> String {
        let mut buffer = [0 as libc::c_char; 128];
        // SAFETY: the buffer is writable for the length that is passed; XSI strerror_r NUL-terminates what it
        // wrote.
        let rc = unsafe { libc::strerror_r(self.0, buffer.as_mut_ptr(), buffer.len()) };
        if rc != 0 {
            return "Unknown error".to_owned();
        }
        // SAFETY: strerror_r succeeded, so the buffer holds a NUL-terminated string.
        unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_string_lossy().into_owned()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => write!(f, "{} ({symbol})", self.text()),
            None => write!(f, "{} (errno {})", self.text(), self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => f.write_str(symbol),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_symbol() {
        assert_eq!(Errno::ENODEV.to_string(), "No such device (ENODEV)");
        assert_eq!(format!("{:?}", Errno::ENODEV), "ENODEV");
        assert_eq!(Errno::new(4000).to_string(), "Unknown error (errno 4000)");
    }

    #[test]
    fn return_codes() {
        assert_eq!(Errno::from_rc(0), Ok(()));
        assert_eq!(Errno::from_rc(3), Ok(()));
        assert_eq!(Errno::from_rc(-libc::ENOMEM), Err(Errno::ENOMEM));
        assert_eq!(Errno::from_rc(Errno::EBUSY.to_rc()), Err(Errno::EBUSY));
    }
}
