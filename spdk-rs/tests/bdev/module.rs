//! The module of these tests: what SPDK tells it, and when it answers.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::rc::Rc;
use std::sync::Mutex;

use serde_json::{Value, json};
use spdk_rs::module::{BdevSpec, ExamineDone, FiniDone, ModuleOps};
use spdk_sys as sys;

use crate::in_lab;
use crate::leaf::Leaf;
use crate::misuse::Sinner;
use crate::stripe::Stripe;

pub struct Ops;

spdk_rs::declare_module!(
    /// The module of all devices here.
    pub TEST, "test", Ops
);

/// What has happened, in order.
static STORY: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// An examination that a test holds up.
static HELD_UP: Mutex<Option<ExamineDone>> = Mutex::new(None);

fn tell(what: impl Into<String>) {
    STORY.lock().unwrap().push(what.into());
}

pub fn story() -> Vec<String> {
    STORY.lock().unwrap().clone()
}

pub fn reset_story() {
    STORY.lock().unwrap().clear();
}

/// Answers from another thread, later.
fn answer_late(what: &'static str, done: FiniDone) {
    tell(what);
    std::thread::spawn(move || {
        tell(format!("{what} done"));
        drop(done);
    });
}

impl ModuleOps for Ops {
    type Devices = (Stripe, Leaf, Sinner);

    fn init() -> Result<(), spdk_rs::error::Errno> {
        tell("init");
        Ok(())
    }

    fn init_complete() {
        tell("init_complete");
    }

    fn fini_start(done: FiniDone) {
        answer_late("fini_start", done);
    }

    fn fini(done: FiniDone) {
        answer_late("fini", done);
    }

    fn examine_config(bdev: &str) {
        tell(format!("config of {bdev}"));
    }

    fn examine_disk(bdev: &str, done: ExamineDone) {
        tell(format!("disk {bdev}"));
        if bdev == "slow" {
            *HELD_UP.lock().unwrap() = Some(done);
        }
    }

    fn config() -> Vec<Value> {
        vec![json!({ "method": "test_create", "params": { "name": "a \"b\"" } })]
    }
}

#[test]
fn new_bdevs_are_examined_and_examinations_are_waited_for() {
    in_lab(test_name!(), |lab| {
        assert_eq!(story(), ["init", "init_complete"]);
        reset_story();
        lab.malloc("quick", 512, 64);
        assert_eq!(story(), ["config of quick", "disk quick"]);
        lab.malloc("slow", 512, 64);
        let examined = Rc::new(Cell::new(false));
        lab.on_app(|| {
            unsafe extern "C" fn all(examined: *mut c_void) {
                // SAFETY: the test's own count, given away once.
                unsafe { Rc::from_raw(examined.cast::<Cell<bool>>()) }.set(true);
            }
            // SAFETY: on the app thread; `all` is called once.
            let rc = unsafe {
                sys::spdk_bdev_wait_for_examine(Some(all), Rc::into_raw(examined.clone()).cast_mut().cast())
            };
            assert_eq!(rc, 0);
        });
        for _ in 0..1000 {
            lab.poll();
        }
        assert!(!examined.get(), "somebody still examines");
        let held_up = HELD_UP.lock().unwrap().take().expect("the examination of slow");
        std::thread::spawn(move || drop(held_up)).join().expect("it answers");
        lab.until("everything is examined", |_| examined.get());
    });
}

/// What `write` writes as JSON.
fn written(write: impl FnOnce(*mut sys::spdk_json_write_ctx)) -> Value {
    unsafe extern "C" fn append(text: *mut c_void, data: *const c_void, size: usize) -> c_int {
        // SAFETY: the vector below; SPDK gives `size` bytes.
        unsafe { (*text.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(data.cast(), size)) };
        0
    }
    let mut text: Vec<u8> = Vec::new();
    // SAFETY: the vector outlives the writer.
    unsafe {
        let w = sys::spdk_json_write_begin(Some(append), (&raw mut text).cast(), 0);
        write(w);
        assert_eq!(sys::spdk_json_write_end(w), 0, "the JSON is complete");
    }
    serde_json::from_slice(&text).expect("JSON")
}

fn bdev(name: &CStr) -> *mut sys::spdk_bdev {
    // SAFETY: on the app thread.
    let bdev = unsafe { sys::spdk_bdev_get_by_name(name.as_ptr()) };
    assert!(!bdev.is_null());
    bdev
}

#[test]
fn devices_and_configuration_are_shown_as_json() {
    in_lab(test_name!(), |lab| {
        let (leaf, _) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        let shown = lab.on_app(|| {
            // SAFETY: the writer is in the middle of an object, and the bdev is registered.
            written(|w| unsafe {
                sys::spdk_json_write_object_begin(w);
                assert_eq!(sys::spdk_bdev_dump_info_json(bdev(c"leaf"), w), 0);
                sys::spdk_json_write_object_end(w);
            })
        });
        assert_eq!(shown, json!({ "test": { "held": 0, "bytes": 32768 } }));
        // SAFETY: on the app thread.
        let config = lab.on_app(|| written(|w| unsafe { sys::spdk_bdev_subsystem_config_json(w) }));
        let ours: Vec<_> =
            config.as_array().expect("calls").iter().filter(|call| call["method"] == "test_create").collect();
        assert_eq!(ours, [&json!({ "method": "test_create", "params": { "name": "a \"b\"" } })]);
        lab.on_app(|| drop(leaf));
    });
}
