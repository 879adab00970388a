//! Sets of CPU cores.

use std::ffi::{CStr, CString};
use std::fmt;

use spdk_sys as sys;

use crate::error::Errno;

/// A set of CPU cores, as SPDK threads carry it. Displays as SPDK prints it: a hexadecimal mask such as `5`.
#[derive(Clone)]
pub struct CpuSet {
    raw: sys::spdk_cpuset,
}

impl CpuSet {
    /// How many cores a set can name; SPDK's build limit.
    pub const CAPACITY: u32 = sys::SPDK_CPUSET_SIZE;

    /// No core.
    pub fn empty() -> CpuSet {
        // SAFETY: spdk_cpuset is two byte arrays, for which zeroes are the empty set.
        CpuSet { raw: unsafe { std::mem::zeroed() } }
    }

    /// Every core.
    pub fn all() -> CpuSet {
        let mut set = CpuSet::empty();
        // SAFETY: the set is ours.
        unsafe { sys::spdk_cpuset_negate(&mut set.raw) };
        set
    }

    /// Exactly these cores. `EINVAL` for one that is not below [`CpuSet::CAPACITY`].
    pub fn of(cores: &[u32]) -> Result<CpuSet, Errno> {
        let mut set = CpuSet::empty();
        for &core in cores {
            if core >= CpuSet::CAPACITY {
                return Err(Errno::EINVAL);
            }
            // SAFETY: the core is in range and the set is ours.
            unsafe { sys::spdk_cpuset_set_cpu(&mut set.raw, core, true) };
        }
        Ok(set)
    }

    /// Reads a mask (`0x5`, `5`) or a list (`[0,2-3]`) as SPDK does. `EINVAL` for anything else.
    pub fn parse(text: &str) -> Result<CpuSet, Errno> {
        let text = CString::new(text).map_err(|_| Errno::EINVAL)?;
        let mut set = CpuSet::empty();
        // SAFETY: the string is NUL-terminated and the set is ours.
        match unsafe { sys::spdk_cpuset_parse(&mut set.raw, text.as_ptr()) } {
            0 => Ok(set),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the core is in the set.
    pub fn contains(&self, core: u32) -> bool {
        // SAFETY: the core is in range and the set is ours.
        core < CpuSet::CAPACITY && unsafe { sys::spdk_cpuset_get_cpu(&self.raw, core) }
    }

    /// The cores in ascending order.
    pub fn cores(&self) -> impl Iterator<Item = u32> + '_ {
        (0..CpuSet::CAPACITY).filter(|&core| self.contains(core))
    }

    /// How many cores are in the set.
    pub fn count(&self) -> u32 {
        // SAFETY: the set is ours.
        unsafe { sys::spdk_cpuset_count(&self.raw) }
    }

    /// The cores that are in both sets.
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        let mut both = self.clone();
        // SAFETY: both sets are ours.
        unsafe { sys::spdk_cpuset_and(&mut both.raw, &other.raw) };
        both
    }

    pub(crate) fn as_ptr(&self) -> *const sys::spdk_cpuset {
        &self.raw
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut sys::spdk_cpuset {
        &mut self.raw
    }

    /// # Safety
    /// `raw` points to a set that nobody changes meanwhile.
    pub(crate) unsafe fn from_ptr(raw: *const sys::spdk_cpuset) -> CpuSet {
        // SAFETY: by the contract of this function.
        CpuSet { raw: unsafe { *raw } }
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = self.clone();
        // SAFETY: the text is written into the copy itself and lives as long as that.
        let text = unsafe { CStr::from_ptr(sys::spdk_cpuset_fmt(&mut copy.raw)) };
        f.write_str(&text.to_string_lossy())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

impl PartialEq for CpuSet {
    fn eq(&self, other: &CpuSet) -> bool {
        // SAFETY: both sets are ours.
        unsafe { sys::spdk_cpuset_equal(&self.raw, &other.raw) }
    }
}

impl Eq for CpuSet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let set = CpuSet::of(&[0, 2, 70]).unwrap();
        assert_eq!(set.cores().collect::<Vec<_>>(), [0, 2, 70]);
        assert_eq!(set.count(), 3);
        assert!(set.contains(2) && !set.contains(1) && !set.contains(u32::MAX));
        assert_eq!(CpuSet::of(&[0, 2]).unwrap().to_string(), "5");
        assert_eq!(CpuSet::of(&[CpuSet::CAPACITY]), Err(Errno::EINVAL));
        assert_eq!(CpuSet::all().count(), CpuSet::CAPACITY);
        assert_eq!(CpuSet::all().intersection(&set), set);
    }

    #[test]
    fn parsing() {
        assert_eq!(CpuSet::parse("0x5"), CpuSet::of(&[0, 2]));
        assert_eq!(CpuSet::parse("[0,2-3]"), CpuSet::of(&[0, 2, 3]));
        for bad in ["", "zz", "[1", "1\0"] {
            assert_eq!(CpuSet::parse(bad), Err(Errno::EINVAL), "{bad:?}");
        }
    }
}
