//! A host that speaks SPDK's C interface: scattered buffers, reads without one, flags.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::ptr;
use std::rc::Rc;

use spdk_sys as sys;

/// An open bdev with a channel, on the thread that opened it.
pub struct Host {
    desc: *mut sys::spdk_bdev_desc,
    channel: *mut sys::spdk_io_channel,
    out: Rc<Cell<usize>>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub success: bool,
    /// NVMe's sct and sc.
    pub status: (i32, i32),
    /// What a read without a buffer brought.
    pub data: Vec<u8>,
}

pub type Reply = Rc<Cell<Option<Answer>>>;

struct Call {
    iovs: Vec<sys::iovec>,
    keep_data: bool,
    reply: Reply,
    out: Rc<Cell<usize>>,
}

impl Host {
    pub fn open(name: &str) -> Host {
        unsafe extern "C" fn event(_: sys::spdk_bdev_event_type, _: *mut sys::spdk_bdev, _: *mut c_void) {}
        let name = CString::new(name).expect("a name");
        let mut desc = ptr::null_mut();
        // SAFETY: on an SPDK thread; the event callback needs no context.
        let channel = unsafe {
            let rc = sys::spdk_bdev_open_ext(name.as_ptr(), true, Some(event), ptr::null_mut(), &mut desc);
            assert_eq!(rc, 0, "open {name:?}");
            sys::spdk_bdev_get_io_channel(desc)
        };
        assert!(!channel.is_null(), "channel of {name:?}");
        Host { desc, channel, out: Rc::default() }
    }

    /// Writes the pieces.
    pub fn write(&self, lba: u64, blocks: u64, pieces: &[(*mut u8, usize)], fua: bool) -> Reply {
        let call = self.call(pieces, false);
        // SAFETY: the call lives until `completed`; the test keeps the memory of the pieces.
        unsafe {
            let mut options: sys::spdk_bdev_ext_io_opts = std::mem::zeroed();
            options.size = size_of::<sys::spdk_bdev_ext_io_opts>();
            options.nvme_cdw12.raw = u32::from(fua) << 30;
            let (iovs, count) = ((*call).iovs.as_mut_ptr(), (*call).iovs.len() as i32);
            let rc = sys::spdk_bdev_writev_blocks_ext(
                self.desc,
                self.channel,
                iovs,
                count,
                lba,
                blocks,
                Some(completed),
                call.cast(),
                &mut options,
            );
            self.sent(call, rc)
        }
    }

    /// Reads into the pieces.
    pub fn read(&self, lba: u64, blocks: u64, pieces: &[(*mut u8, usize)]) -> Reply {
        let call = self.call(pieces, false);
        // SAFETY: as above.
        unsafe {
            let (iovs, count) = ((*call).iovs.as_mut_ptr(), (*call).iovs.len() as i32);
            let done = Some(completed as _);
            let rc = sys::spdk_bdev_readv_blocks(
                self.desc,
                self.channel,
                iovs,
                count,
                lba,
                blocks,
                done,
                call.cast(),
            );
            self.sent(call, rc)
        }
    }

    /// Reads without a buffer: the bdev brings one.
    pub fn read_without_buffer(&self, lba: u64, blocks: u64) -> Reply {
        let call = self.call(&[], true);
        // SAFETY: as above.
        unsafe {
            let done = Some(completed as _);
            let none = ptr::null_mut();
            let rc =
                sys::spdk_bdev_read_blocks(self.desc, self.channel, none, lba, blocks, done, call.cast());
            self.sent(call, rc)
        }
    }

    fn call(&self, pieces: &[(*mut u8, usize)], keep_data: bool) -> *mut Call {
        let iov = |&(base, iov_len): &(*mut u8, usize)| sys::iovec { iov_base: base.cast(), iov_len };
        let iovs = pieces.iter().map(iov).collect();
        Box::into_raw(Box::new(Call { iovs, keep_data, reply: Rc::default(), out: self.out.clone() }))
    }

    /// # Safety
    /// `call` is live, since SPDK completes nothing that succeeds from within the call.
    unsafe fn sent(&self, call: *mut Call, rc: i32) -> Reply {
        assert_eq!(rc, 0, "submission");
        self.out.set(self.out.get() + 1);
        // SAFETY: by the caller's promise.
        unsafe { (*call).reply.clone() }
    }

    /// What is in flight.
    pub fn out(&self) -> usize {
        self.out.get()
    }

    pub fn close(self) {
        assert_eq!(self.out(), 0);
        // SAFETY: opened on this thread, and nothing is out.
        unsafe {
            sys::spdk_put_io_channel(self.channel);
            sys::spdk_bdev_close(self.desc);
        }
    }
}

unsafe extern "C" fn completed(io: *mut sys::spdk_bdev_io, success: bool, call: *mut c_void) {
    // SAFETY: SPDK completes each call once; the bdev_io is ours until it is freed, and so are its iovecs.
    unsafe {
        let call = Box::from_raw(call.cast::<Call>());
        let (mut cdw0, mut sct, mut sc) = (0, 0, 0);
        sys::spdk_bdev_io_get_nvme_status(io, &mut cdw0, &mut sct, &mut sc);
        let mut data = Vec::new();
        if success && call.keep_data {
            let (mut iovs, mut count) = (ptr::null_mut(), 0);
            sys::spdk_bdev_io_get_iovec(io, &mut iovs, &mut count);
            for n in 0..count as usize {
                let iov = *iovs.add(n);
                data.extend_from_slice(std::slice::from_raw_parts(iov.iov_base.cast(), iov.iov_len));
            }
        }
        sys::spdk_bdev_free_io(io);
        call.out.set(call.out.get() - 1);
        call.reply.set(Some(Answer { success, status: (sct, sc), data }));
    }
}
