//! From SPDK's `submit_request` to [`Device::submit`].

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::align_of;
use std::ptr;

use spdk_sys as sys;

use super::context::{Context, Stage};
use super::device::Device;
use super::io::{Io, fail};
use super::registered::Registration;
use crate::bdev::{IoError, IoKind, call_soon};
use crate::error::Errno;
use crate::thread::{Pin, PinKind};

/// What lies in SPDK's io_channel, behind its own struct.
pub(super) struct DeviceChannel<D: Device> {
    pub channel: D::Channel,
    next_seq: Cell<u16>,
    /// The I/O for which a buffer is being asked for right now.
    asking: Cell<*mut sys::spdk_bdev_io>,
    /// Dropped after the channel.
    _pin: Pin,
}

impl<D: Device> DeviceChannel<D> {
    /// SPDK gets the memory from calloc, and 96 bytes in front of ours keep its alignment of 16.
    const LAYOUT: () = assert!(
        align_of::<DeviceChannel<D>>() <= 16 && sys::SPDK_IO_CHANNEL_STRUCT_SIZE.is_multiple_of(16),
        "a device's channel can't be aligned to more than 16 bytes"
    );

    /// # Safety
    /// `channel` is one of an io_device that was registered for a `D`.
    #[inline(always)]
    unsafe fn of(channel: *mut sys::spdk_io_channel) -> *mut DeviceChannel<D> {
        let () = Self::LAYOUT;
        // What spdk_io_channel_get_ctx does, which is an inline function.
        channel.cast::<u8>().wrapping_add(sys::SPDK_IO_CHANNEL_STRUCT_SIZE as usize).cast()
    }
}

/// SPDK's io_device callback: a thread begins to use the bdev.
pub(super) unsafe extern "C" fn open_channel<D: Device>(device: *mut c_void, place: *mut c_void) -> c_int {
    // SAFETY: the io_device is the registration, which stays until the io_device is unregistered.
    match unsafe { &*device.cast::<Registration<D>>() }.device.open_channel() {
        Ok(channel) => {
            let opened = DeviceChannel::<D> {
                channel,
                next_seq: Cell::new(0),
                asking: Cell::new(ptr::null_mut()),
                _pin: Pin::new(PinKind::Channel),
            };
            // SAFETY: SPDK made this place for us, with the size that `register` asked for; see LAYOUT.
            unsafe { place.cast::<DeviceChannel<D>>().write(opened) };
            0
        }
        Err(errno) => errno.to_rc(),
    }
}

/// SPDK's io_device callback: a thread has ended to use the bdev.
pub(super) unsafe extern "C" fn close_channel<D: Device>(_device: *mut c_void, place: *mut c_void) {
    // SAFETY: written by open_channel, used by nobody any more, on the same thread.
    unsafe { ptr::drop_in_place(place.cast::<DeviceChannel<D>>()) };
}

/// # Safety
/// `io` was submitted to a bdev of a `D` and is not completed.
#[inline(always)]
pub(super) unsafe fn device_of<'a, D: Device>(io: *mut sys::spdk_bdev_io) -> &'a D {
    // SAFETY: the bdev is the first field of its registration, which stays while I/O is out.
    unsafe { &(*(*io).bdev.cast::<Registration<D>>()).device }
}

pub(super) unsafe extern "C" fn submit_request<D: Device>(
    channel: *mut sys::spdk_io_channel,
    io: *mut sys::spdk_bdev_io,
) {
    // SAFETY: SPDK gives us an I/O for a bdev of a D on the thread of this channel. What an earlier user of
    // the bdev_io left in the context is overwritten before anything reads it.
    unsafe {
        let channel = DeviceChannel::<D>::of(channel);
        let context = Context::<D>::of(io);
        (*context).channel = channel;
        (*context).stage = Stage::Free;
        match (*io).type_.into() {
            sys::SPDK_BDEV_IO_TYPE_READ | sys::SPDK_BDEV_IO_TYPE_WRITE => {
                if has_buffer(io) {
                    deliver::<D>(io);
                } else {
                    ask_for_buffer::<D>(channel, io);
                }
            }
            other => match IoKind::from_spdk(other) {
                Some(kind) if device_of::<D>(io).supports(kind) => deliver::<D>(io),
                // SPDK passes some kinds on without having asked.
                _ => fail(io, IoError::NOT_SUPPORTED),
            },
        }
    }
}

/// # Safety
/// `submit_request` has begun with `io`, and it has its buffer if it needs one.
#[inline(always)]
unsafe fn deliver<D: Device>(io: *mut sys::spdk_bdev_io) {
    // SAFETY: by the caller's promise. Nothing is touched after the device has the I/O.
    unsafe {
        let context = Context::<D>::of(io);
        let channel = (*context).channel;
        let seq = (*channel).next_seq.get();
        (*channel).next_seq.set(seq.wrapping_add(1));
        (*context).seq = seq;
        (*context).busy = 0;
        (*context).listed = 0;
        (&raw mut (*context).state).write(D::IoState::default());
        (*context).stage = Stage::Held;
        D::submit(device_of(io), &(*channel).channel, Io::from_raw(io));
    }
}

/// Whether an I/O with data has a buffer that is aligned as the bdev asks.
///
/// # Safety
/// `io` is an uncompleted read or write.
#[inline(always)]
unsafe fn has_buffer(io: *const sys::spdk_bdev_io) -> bool {
    // SAFETY: by the caller's promise it has block parameters and a bdev.
    unsafe {
        let params = (&raw const (*io).u).cast::<sys::spdk_bdev_io_block_params>();
        let iovs = (*params).iovs;
        if iovs.is_null() || (*iovs).iov_base.is_null() {
            return false;
        }
        let align = (*(*io).bdev).required_alignment;
        if align == 0 {
            return true;
        }
        let mask = (1usize << align) - 1;
        let count = (*params).iovcnt as usize;
        (0..count).all(|n| (*iovs.add(n)).iov_base.addr() & mask == 0)
    }
}

/// Has SPDK allocate a buffer, and copy into it what a host wants to write; it copies back what was read, and
/// frees it.
///
/// # Safety
/// As for [`has_buffer`], from `submit_request`.
#[cold]
unsafe fn ask_for_buffer<D: Device>(channel: *mut DeviceChannel<D>, io: *mut sys::spdk_bdev_io) {
    // SAFETY: by the caller's promise. After the call the I/O may be over; the channel is not.
    unsafe {
        let params = (&raw const (*io).u).cast::<sys::spdk_bdev_io_block_params>();
        let len = (*params).num_blocks * u64::from((*(*io).bdev).blocklen);
        (*channel).asking.set(io);
        sys::spdk_bdev_io_get_buf(io, Some(got_buffer::<D>), len);
        (*channel).asking.set(ptr::null_mut());
    }
}

unsafe extern "C" fn got_buffer<D: Device>(
    channel: *mut sys::spdk_io_channel,
    io: *mut sys::spdk_bdev_io,
    success: bool,
) {
    let go_on = if success { deliver_late::<D> } else { refuse_late };
    // SAFETY: SPDK calls once for each get_buf, on the channel's thread. When it had to wait for the buffer
    // it still writes to the bdev_io after this returns, so the I/O, which a device may complete at once,
    // goes on from a message.
    unsafe {
        let channel = DeviceChannel::<D>::of(channel);
        if (*channel).asking.get() == io {
            (*channel).asking.set(ptr::null_mut());
            go_on(io.cast());
        } else {
            call_soon(go_on, io.cast());
        }
    }
}

unsafe extern "C" fn deliver_late<D: Device>(io: *mut c_void) {
    // SAFETY: from got_buffer, once.
    unsafe { deliver::<D>(io.cast()) };
}

/// The I/O is larger than SPDK's buffers are.
unsafe extern "C" fn refuse_late(io: *mut c_void) {
    // SAFETY: from got_buffer, once; nobody holds the I/O.
    unsafe { fail(io.cast(), IoError::from(Errno::ENOBUFS)) };
}
