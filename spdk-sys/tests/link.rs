//! The archives link into a test binary, whole: their constructors ran.

use std::ffi::CStr;

fn has_bdev_module(name: &CStr) -> bool {
    // SAFETY: walks a list that constructors filled before main; the name is NUL-terminated.
    !unsafe { spdk_sys::spdk_bdev_module_list_find(name.as_ptr()) }.is_null()
}

#[test]
fn constructors_of_the_linked_modules_ran() {
    for name in [c"malloc", c"null", c"nvme", c"error", c"delay", c"aio", c"uring", c"passthru"] {
        assert!(has_bdev_module(name), "bdev module {name:?} is not linked whole");
    }
}

#[test]
fn spdk_raid_is_linked_for_comparison_only() {
    assert_eq!(has_bdev_module(c"raid"), cfg!(feature = "comparison"));
}

#[test]
fn version_is_one_that_the_bindings_know() {
    // SAFETY: returns a static string.
    let version = unsafe { CStr::from_ptr(spdk_sys::basalt_spdk_version()) }.to_str().expect("ASCII");
    assert!(version.starts_with("SPDK v"), "{version}");
}
