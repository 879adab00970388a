//! What a layer of ours adds to an I/O: 4 KiB reads, queue depth 64, one thread, over SPDK's null bdev.
//! Prints ns per I/O of the null bdev itself, of SPDK's passthru over it, and of a pass-through written on
//! this crate.
//!
//! `cargo run --release -p spdk-rs --example overhead [rounds]` (huge pages are used when there are any). A
//! round is 20 ms of each, in turn, by the clock of the thread's own CPU time, so that a machine with other
//! work on it disturbs little.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::time::Duration;

use serde_json::json;
use spdk_rs::bdev::{Channel, Descriptor, IoError, IoKind};
use spdk_rs::dma::DmaBuf;
use spdk_rs::env::HugePages;
use spdk_rs::error::Errno;
use spdk_rs::module::{self, BdevSpec, Child, Device, Io, ModuleOps};
use spdk_sys as sys;

#[path = "../tests/bdev/lab.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod lab;

use lab::{Lab, Setup};

const QUEUE_DEPTH: usize = 64;
const ROUND: Duration = Duration::from_millis(20);
const BLOCKS: u64 = 1 << 20;

struct Pass {
    base: std::sync::Arc<Descriptor>,
}

impl Device for Pass {
    type Channel = Channel;
    type IoState = ();

    fn supports(&self, kind: IoKind) -> bool {
        matches!(kind, IoKind::Read | IoKind::Write)
    }

    fn open_channel(&self) -> Result<Channel, Errno> {
        self.base.channel()
    }

    fn submit(&self, channel: &Channel, mut io: Io<Pass>) {
        let child = Child { op: io.kind(), lba: io.lba(), blocks: io.blocks(), host_offset_blocks: 0 };
        match io.submit_child(0, channel, child) {
            Ok(()) => drop(io.into_token()),
            Err(errno) => io.complete(Err(errno.into())),
        }
    }

    fn child_done(&self, _channel: &Channel, io: Io<Pass>, _slot: u8, result: Result<(), IoError>) {
        io.complete(result);
    }
}

struct Ops;

impl ModuleOps for Ops {
    type Devices = (Pass,);
}

spdk_rs::declare_module!(OVERHEAD, "overhead", Ops);

/// A host that keeps its queue full.
struct Host {
    desc: *mut sys::spdk_bdev_desc,
    channel: *mut sys::spdk_io_channel,
    buffer: *mut c_void,
    lba: Cell<u64>,
    done: Cell<u64>,
    out: Cell<usize>,
    stop: Cell<bool>,
}

impl Host {
    fn open(name: &str, buffer: *mut c_void) -> Host {
        unsafe extern "C" fn event(_: sys::spdk_bdev_event_type, _: *mut sys::spdk_bdev, _: *mut c_void) {}
        let name = std::ffi::CString::new(name).expect("a name");
        let mut desc = ptr::null_mut();
        // SAFETY: on the app thread; the event callback needs no context.
        let channel = unsafe {
            let rc = sys::spdk_bdev_open_ext(name.as_ptr(), false, Some(event), ptr::null_mut(), &mut desc);
            assert_eq!(rc, 0, "open {name:?}");
            sys::spdk_bdev_get_io_channel(desc)
        };
        assert!(!channel.is_null());
        let (lba, done, out, stop) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(false));
        Host { desc, channel, buffer, lba, done, out, stop }
    }

    fn submit(&self) {
        let lba = self.lba.get();
        self.lba.set((lba + 8) % (BLOCKS - 8));
        // SAFETY: the host, its channel and its buffer live until nothing is out.
        let rc = unsafe {
            let arg = ptr::from_ref(self).cast_mut().cast();
            sys::spdk_bdev_read_blocks(self.desc, self.channel, self.buffer, lba, 8, Some(completed), arg)
        };
        assert_eq!(rc, 0);
        self.out.set(self.out.get() + 1);
    }

    fn close(self) {
        // SAFETY: opened on this thread, and nothing is out.
        unsafe {
            sys::spdk_put_io_channel(self.channel);
            sys::spdk_bdev_close(self.desc);
        }
    }
}

unsafe extern "C" fn completed(io: *mut sys::spdk_bdev_io, success: bool, host: *mut c_void) {
    // SAFETY: the host lives until nothing is out, and is only shared.
    let host = unsafe { &*host.cast::<Host>() };
    assert!(success);
    // SAFETY: it is completed, and ours to free.
    unsafe { sys::spdk_bdev_free_io(io) };
    host.done.set(host.done.get() + 1);
    host.out.set(host.out.get() - 1);
    if !host.stop.get() {
        host.submit();
    }
}

/// CPU time of this OS thread.
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the struct.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// ns per I/O.
fn round(lab: &mut Lab, host: &Host) -> f64 {
    host.stop.set(false);
    lab.on_app(|| (0..QUEUE_DEPTH).for_each(|_| host.submit()));
    for _ in 0..500 {
        lab.poll();
    }
    let (begun, before) = (now(), host.done.get());
    while now() - begun < ROUND {
        for _ in 0..50 {
            lab.poll();
        }
    }
    let ns = (now() - begun).as_nanos() as f64 / (host.done.get() - before) as f64;
    host.stop.set(true);
    lab.until("the queue is empty", |_| host.out.get() == 0);
    ns
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(101, |text| text.parse().expect("a number of rounds"));
    let huge = std::fs::read_to_string("/proc/sys/vm/nr_hugepages").is_ok_and(|n| n.trim() != "0");
    let huge_pages = if huge { HugePages::Required } else { HugePages::Off };
    let mut lab = Lab::start(&Setup { huge_pages, ..Setup::default() });
    for name in ["null0", "null1", "null2"] {
        lab.rpc("bdev_null_create", json!({ "name": name, "block_size": 512, "num_blocks": BLOCKS }));
    }
    lab.rpc("bdev_passthru_create", json!({ "name": "passthru", "base_bdev_name": "null1" }));
    let ours = lab.on_app(|| {
        let base = Descriptor::open("null2", false, |_| {}).expect("null2");
        module::register(&OVERHEAD, BdevSpec::new("ours", 512, BLOCKS), Pass { base }).expect("ours")
    });
    let mut buffer = lab.on_app(|| DmaBuf::new(4096, 4096).expect("a buffer"));
    let address = buffer.as_mut_ptr().cast();
    let names = ["null0", "passthru", "ours"];
    let hosts = lab.on_app(|| names.map(|name| Host::open(name, address)));

    let mut measured = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (host, measured) in hosts.iter().zip(&mut measured) {
            measured.push(round(&mut lab, host));
        }
    }
    println!("ns per I/O over {rounds} rounds of {ROUND:?}, {huge_pages:?}: median (a tenth is below)");
    for (name, measured) in names.iter().zip(&mut measured) {
        measured.sort_by(f64::total_cmp);
        println!("{name:>9} {:6.1}  ({:.1})", measured[rounds / 2], measured[rounds / 10]);
    }

    lab.on_app(|| hosts.into_iter().for_each(Host::close));
    lab.later(|done| {
        ours.unregister(done);
        Ok(())
    })
    .expect("unregister");
    drop(buffer);
    lab.stop();
}
