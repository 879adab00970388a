//! A host with scattered buffers and FUA, which `bdev::Channel` has no need of.

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

/// Success, once it is known.
pub type End = Rc<Cell<Option<bool>>>;

/// What SPDK has of an I/O. The list of buffers has to stay where it is.
struct Call {
    iovs: Vec<sys::iovec>,
    end: End,
    /// Where a read without a buffer leaves what it read.
    found: Option<Rc<Cell<Vec<u8>>>>,
    /// Of the host: how many are under way.
    out: Rc<Cell<usize>>,
}

impl Host {
    pub fn open(name: &str) -> Host {
        unsafe extern "C" fn event(_: sys::spdk_bdev_event_type, _: *mut sys::spdk_bdev, _: *mut c_void) {}
        let name = CString::new(name).unwrap();
        let mut desc = ptr::null_mut();
        // SAFETY: on an SPDK thread; the callback needs no context.
        let channel = unsafe {
            let rc = sys::spdk_bdev_open_ext(name.as_ptr(), true, Some(event), ptr::null_mut(), &mut desc);
            assert_eq!(rc, 0);
            sys::spdk_bdev_get_io_channel(desc)
        };
        assert!(!channel.is_null());
        Host { desc, channel, out: Rc::default() }
    }

    pub fn close(self) {
        assert_eq!(self.out.get(), 0, "wait for every I/O first");
        // SAFETY: on the thread that opened, and nothing is under way.
        unsafe {
            sys::spdk_put_io_channel(self.channel);
            sys::spdk_bdev_close(self.desc);
        }
    }

    /// Writes the pieces, which the test keeps until the end.
    pub fn write(&self, lba: u64, blocks: u64, pieces: &[(*mut u8, usize)], fua: bool) -> End {
        let (call, end) = self.begin(pieces, None);
        // SAFETY: the call and its list live until `completed`; all-zero options are options.
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
            assert_eq!(rc, 0);
        }
        end
    }

    fn begin(&self, pieces: &[(*mut u8, usize)], found: Option<Rc<Cell<Vec<u8>>>>) -> (*mut Call, End) {
        let iov = |&(base, iov_len): &(*mut u8, usize)| sys::iovec { iov_base: base.cast(), iov_len };
        let (iovs, end, out) = (pieces.iter().map(iov).collect(), End::default(), Rc::clone(&self.out));
        out.set(out.get() + 1);
        (Box::into_raw(Box::new(Call { iovs, end: Rc::clone(&end), found, out })), end)
    }

    /// Reads into the pieces, likewise.
    pub fn read(&self, lba: u64, blocks: u64, pieces: &[(*mut u8, usize)]) -> End {
        let (call, end) = self.begin(pieces, None);
        let (desc, channel, done) = (self.desc, self.channel, Some(completed as _));
        // SAFETY: as above.
        unsafe {
            let (iovs, count) = ((*call).iovs.as_mut_ptr(), (*call).iovs.len() as i32);
            let rc = sys::spdk_bdev_readv_blocks(desc, channel, iovs, count, lba, blocks, done, call.cast());
            assert_eq!(rc, 0);
        }
        end
    }

    /// Reads without a buffer: the bdev brings one.
    pub fn read_without_buffer(&self, lba: u64, blocks: u64) -> (End, Rc<Cell<Vec<u8>>>) {
        let found = Rc::new(Cell::new(Vec::new()));
        let (call, end) = self.begin(&[], Some(Rc::clone(&found)));
        let (desc, channel, done) = (self.desc, self.channel, Some(completed as _));
        // SAFETY: as above.
        unsafe {
            let rc =
                sys::spdk_bdev_read_blocks(desc, channel, ptr::null_mut(), lba, blocks, done, call.cast());
            assert_eq!(rc, 0);
        }
        (end, found)
    }
}

unsafe extern "C" fn completed(io: *mut sys::spdk_bdev_io, success: bool, call: *mut c_void) {
    // SAFETY: SPDK completes each call once; the I/O and its buffers are ours until it is freed.
    unsafe {
        let call = Box::from_raw(call.cast::<Call>());
        if let Some(found) = call.found.filter(|_| success) {
            let (mut iovs, mut count) = (ptr::null_mut(), 0);
            sys::spdk_bdev_io_get_iovec(io, &mut iovs, &mut count);
            let pieces = std::slice::from_raw_parts(iovs, count as usize).iter();
            let bytes = pieces.map(|iov| std::slice::from_raw_parts(iov.iov_base.cast::<u8>(), iov.iov_len));
            found.set(bytes.collect::<Vec<_>>().concat());
        }
        sys::spdk_bdev_free_io(io);
        call.out.set(call.out.get() - 1);
        call.end.set(Some(success));
    }
}
