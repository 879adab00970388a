//! Sending parts of a host's I/O to members.

use std::ffi::{c_int, c_void};
use std::mem::{align_of, size_of, zeroed};
use std::rc::Rc;

use spdk_sys as sys;

use super::buffers::{Cut, IoVec, cut};
use super::context::{Context, Slot, Stage};
use super::device::Device;
use super::io::Io;
use super::submit::device_of;
use crate::bdev::{Channel, ChannelInner, IoError, IoKind, Reserve, call_soon};
use crate::error::Errno;

/// How many children of one I/O can be out at once.
pub const CHILD_SLOTS: usize = 8;

/// A part of an I/O, or a command without data, for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// What the member is to do: what the I/O does, if that is reading or writing; anything without data but
    /// an abort otherwise.
    pub op: IoKind,
    /// First block on the member.
    pub lba: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Where in the host's buffer the part begins, in blocks.
    pub host_offset_blocks: u64,
}

/// A child's name for SPDK: the address of its parent, with the slot in the bits that alignment leaves.
#[inline(always)]
fn tag(parent: *mut sys::spdk_bdev_io, slot: u8) -> *mut c_void {
    const { assert!(align_of::<sys::spdk_bdev_io>() >= CHILD_SLOTS) };
    parent.cast::<u8>().wrapping_add(slot.into()).cast()
}

#[inline(always)]
fn untag(tag: *mut c_void) -> (*mut sys::spdk_bdev_io, u8) {
    let slot = tag.addr() % CHILD_SLOTS;
    (tag.cast::<u8>().wrapping_sub(slot).cast(), slot as u8)
}

impl<D: Device> Io<D> {
    /// Sends a part of this I/O, or a command without data, to a member. A read or write uses the host's own
    /// buffer: blocks `host_offset_blocks .. + blocks` of it, so both block sizes must be the same. What
    /// comes of it is told to [`Device::child_done`], later. A write passes the host's FUA on.
    ///
    /// Allocates only if the part is not the whole I/O and does not lie in one piece of the host's buffer.
    ///
    /// # Errors
    /// Nothing was sent. `ENOMEM`: see [`wait_for_io`](crate::bdev::wait_for_io). `EINVAL`: beyond the end of
    /// the member or of the buffer, or a combination of kinds that makes no sense. `EBADF`: the member is
    /// open to read only. `ENOTSUP`.
    ///
    /// # Panics
    /// If the slot's last child is still out, or there is no such slot.
    #[inline]
    pub fn submit_child(&mut self, slot: u8, channel: &Channel, child: Child) -> Result<(), Errno> {
        self.submit_from(None, slot, channel, child)
    }

    /// As [`submit_child`](Io::submit_child), with the bdev_io in the channel's [reserve](Device::reserve),
    /// which has it back when the child is. For when [`submit_child`](Io::submit_child) has failed for want
    /// of one just before.
    ///
    /// # Errors
    /// As for [`submit_child`](Io::submit_child). `ENOMEM`: there is nothing in reserve now.
    ///
    /// # Panics
    /// As for [`submit_child`](Io::submit_child).
    #[cold]
    pub fn submit_child_from_reserve(
        &mut self,
        slot: u8,
        channel: &Channel,
        child: Child,
    ) -> Result<(), Errno> {
        // SAFETY: the context is initialised, and SPDK keeps the channel while I/O of it is out.
        let reserve = unsafe { D::reserve(&(*(*self.context()).channel).channel) };
        let Some(reserve) = reserve else { return Err(Errno::ENOMEM) };
        self.submit_from(Some(reserve), slot, channel, child)
    }

    #[inline(always)]
    fn submit_from(
        &mut self,
        reserve: Option<&Reserve>,
        slot: u8,
        channel: &Channel,
        child: Child,
    ) -> Result<(), Errno> {
        let done: Done = if reserve.is_some() { complete_reserved::<D> } else { complete::<D> };
        let member = channel.inner();
        let context = self.context();
        let bit = slot_bit(slot);
        // SAFETY: the context is initialised, and this is the only handle. Only raw pointers are held across
        // the call into SPDK, which may run other I/O of this channel.
        unsafe {
            if (*context).busy & bit != 0 {
                slot_in_use(self, slot);
            }
            let place = &raw mut (*context).slots[slot as usize];
            (*context).busy |= bit;
            (*place).member = Rc::into_raw(Rc::clone(member));
            let rc = match reserve {
                None => self.send(slot, member, child, done),
                Some(reserve) => {
                    reserve.spend(|| self.send(slot, member, child, done)).unwrap_or(Errno::ENOMEM.to_rc())
                }
            };
            if rc == 0 { Ok(()) } else { not_sent::<D>(context, slot, rc) }
        }
    }

    /// Asks a member to give up the child in `slot`, on which nothing is reported but the child's own end.
    ///
    /// # Errors
    /// `ENOTSUP`: the member has no abort. `ENOMEM`: SPDK is out of bdev_ios. `ENOENT`: there is no child in
    /// the slot.
    pub fn abort_child(&mut self, slot: u8) -> Result<(), Errno> {
        let context = self.context();
        // SAFETY: the context is initialised; a busy slot holds a reference to its channel.
        let member = unsafe {
            if (*context).busy & slot_bit(slot) == 0 {
                return Err(Errno::ENOENT);
            }
            let member = (*context).slots[slot as usize].member;
            Rc::increment_strong_count(member);
            Rc::from_raw(member)
        };
        ChannelInner::abort(member, tag(self.raw(), slot))
    }

    /// # Safety
    /// The slot is busy and its `iov` is free to use.
    #[inline(always)]
    unsafe fn send(&self, slot: u8, member: &ChannelInner, child: Child, done: Done) -> c_int {
        // SAFETY: by the caller's promise.
        unsafe {
            match child.op {
                IoKind::Read | IoKind::Write => self.send_data(slot, member, child, done),
                _ => send_command(self.raw(), slot, member, child, done),
            }
        }
    }

    /// # Safety
    /// As for [`Io::send`].
    #[inline(always)]
    unsafe fn send_data(&self, slot: u8, member: &ChannelInner, child: Child, done: Done) -> c_int {
        if self.kind() != child.op || self.block_size() != member.block_size() {
            return Errno::EINVAL.to_rc();
        }
        let params = self.params();
        // SAFETY: a read or write has block parameters, whose iovecs stay until it is completed. The slot's
        // own iovec or list stays until the child has come back.
        unsafe {
            let whole = child.host_offset_blocks == 0 && child.blocks == (*params).num_blocks;
            let (iovs, count) = if whole {
                ((*params).iovs, (*params).iovcnt)
            } else {
                match self.part(slot, child) {
                    Some(part) => part,
                    None => return Errno::EINVAL.to_rc(),
                }
            };
            let (desc, channel) = (member.desc(), member.raw());
            let (lba, blocks) = (child.lba, child.blocks);
            let (done, arg) = (Some(done), tag(self.raw(), slot));
            match child.op {
                IoKind::Read => {
                    sys::spdk_bdev_readv_blocks(desc, channel, iovs, count, lba, blocks, done, arg)
                }
                _ if self.fua() => {
                    let mut options = sys::spdk_bdev_ext_io_opts {
                        size: size_of::<sys::spdk_bdev_ext_io_opts>(),
                        nvme_cdw12: sys::spdk_bdev_nvme_cdw12 { raw: super::io::FUA },
                        ..zeroed()
                    };
                    sys::spdk_bdev_writev_blocks_ext(
                        desc,
                        channel,
                        iovs,
                        count,
                        lba,
                        blocks,
                        done,
                        arg,
                        &mut options,
                    )
                }
                _ => sys::spdk_bdev_writev_blocks(desc, channel, iovs, count, lba, blocks, done, arg),
            }
        }
    }

    /// The iovecs of a part of the host's buffer: one in the slot, or a list that the slot owns.
    ///
    /// # Safety
    /// As for [`Io::send`].
    #[inline(always)]
    unsafe fn part(&self, slot: u8, child: Child) -> Option<(*mut sys::iovec, c_int)> {
        let end = child.host_offset_blocks.checked_add(child.blocks)?;
        if child.blocks == 0 || end > self.blocks() {
            return None;
        }
        // Within the host's buffer, so neither product overflows.
        let block_size = u64::from(self.block_size());
        let (offset, len) = (child.host_offset_blocks * block_size, child.blocks * block_size);
        let context = self.context();
        match cut(self.iovs(), offset as usize, len as usize)? {
            // SAFETY: by the caller's promise.
            Cut::One(piece) => unsafe {
                let iov = &raw mut (*context).slots[slot as usize].iov;
                iov.write(piece.0);
                Some((iov, 1))
            },
            Cut::Many(list) => {
                let count = list.len();
                let list: *mut IoVec = Box::into_raw(list).cast();
                // SAFETY: by the caller's promise; `Slot::release` frees the list.
                unsafe {
                    (*context).slots[slot as usize].iov =
                        sys::iovec { iov_base: list.cast(), iov_len: count };
                    (*context).listed |= slot_bit(slot);
                }
                Some((list.cast(), c_int::try_from(count).ok()?))
            }
        }
    }
}

/// # Safety
/// `parent` is held and the slot is busy.
#[inline]
unsafe fn send_command(
    parent: *mut sys::spdk_bdev_io,
    slot: u8,
    member: &ChannelInner,
    child: Child,
    done: Done,
) -> c_int {
    let (desc, channel) = (member.desc(), member.raw());
    let (lba, blocks) = (child.lba, child.blocks);
    let (done, arg) = (Some(done), tag(parent, slot));
    // SAFETY: descriptor and channel are open as long as the slot is busy.
    unsafe {
        match child.op {
            IoKind::Unmap => sys::spdk_bdev_unmap_blocks(desc, channel, lba, blocks, done, arg),
            IoKind::WriteZeroes => sys::spdk_bdev_write_zeroes_blocks(desc, channel, lba, blocks, done, arg),
            IoKind::Flush => sys::spdk_bdev_flush_blocks(desc, channel, lba, blocks, done, arg),
            IoKind::Reset => sys::spdk_bdev_reset(desc, channel, done, arg),
            IoKind::Read | IoKind::Write | IoKind::Abort => Errno::EINVAL.to_rc(),
        }
    }
}

/// What SPDK calls when a child is over.
type Done = unsafe extern "C" fn(*mut sys::spdk_bdev_io, bool, *mut c_void);

/// A child has come back.
unsafe extern "C" fn complete<D: Device>(child: *mut sys::spdk_bdev_io, success: bool, arg: *mut c_void) {
    // SAFETY: SPDK completes each child once, and hands us its bdev_io to free.
    unsafe {
        let result = if success { Ok(()) } else { Err(IoError::of_failed(child)) };
        sys::spdk_bdev_free_io(child);
        freed::<D>(result, arg);
    }
}

/// A child has come back that was sent with what was in reserve.
unsafe extern "C" fn complete_reserved<D: Device>(
    child: *mut sys::spdk_bdev_io,
    success: bool,
    arg: *mut c_void,
) {
    // SAFETY: as for `complete`. The parent is out, and keeps its channel and the reserve in it.
    unsafe {
        let result = if success { Ok(()) } else { Err(IoError::of_failed(child)) };
        let (parent, _) = untag(arg);
        match D::reserve(&(*(*Context::<D>::of(parent)).channel).channel) {
            Some(reserve) => reserve.give_back(child),
            None => sys::spdk_bdev_free_io(child),
        }
        freed::<D>(result, arg);
    }
}

/// Tells the device of a child that has come back, once its bdev_io is free.
///
/// # Safety
/// `arg` is what the child was sent with.
#[inline(always)]
unsafe fn freed<D: Device>(result: Result<(), IoError>, arg: *mut c_void) {
    // SAFETY: by the caller's promise. The parent can't have been completed, since the slot's bit is set until
    // its child is delivered. Freeing may have called waiters, who may have taken up any parked I/O, this one
    // too: so the stage is looked at only now.
    unsafe {
        let (parent, slot) = untag(arg);
        if (*Context::<D>::of(parent)).stage == Stage::Held {
            return later::<D>(parent, slot, result);
        }
        deliver::<D>(parent, slot, result);
    }
}

/// SPDK has completed a child while its parent is being worked on: from within the call that submitted it
/// (only to fail it), or one that sent or aborted something else. So the device is told on the thread's next
/// turn.
///
/// # Safety
/// The child is over, and was not delivered.
#[cold]
unsafe fn later<D: Device>(parent: *mut sys::spdk_bdev_io, slot: u8, result: Result<(), IoError>) {
    struct Late {
        parent: *mut sys::spdk_bdev_io,
        slot: u8,
        result: Result<(), IoError>,
    }
    unsafe extern "C" fn deliver_late<D: Device>(late: *mut c_void) {
        // SAFETY: the box from below, in its only message. The slot's bit has kept the parent.
        unsafe {
            let late = Box::from_raw(late.cast::<Late>());
            deliver::<D>(late.parent, late.slot, late.result);
        }
    }
    let late = Box::new(Late { parent, slot, result });
    // SAFETY: on the parent's thread.
    unsafe { call_soon(deliver_late::<D>, Box::into_raw(late).cast()) };
}

/// # Safety
/// The child is over, and was not delivered; the caller is on the parent's thread.
#[inline(always)]
unsafe fn deliver<D: Device>(parent: *mut sys::spdk_bdev_io, slot: u8, result: Result<(), IoError>) {
    let bit = slot_bit(slot);
    // SAFETY: by the caller's promise; the busy slot has kept the parent and its context.
    unsafe {
        let context = Context::<D>::of(parent);
        if (*context).stage != Stage::Parked {
            not_parked((*context).stage);
        }
        Slot::release(&raw mut (*context).slots[slot as usize], (*context).listed & bit != 0);
        (*context).listed &= !bit;
        (*context).busy &= !bit;
        (*context).stage = Stage::Held;
        let channel = (*context).channel;
        D::child_done(device_of(parent), &(*channel).channel, Io::from_raw(parent), slot, result);
    }
}

#[cold]
#[inline(never)]
fn not_parked(stage: Stage) -> ! {
    panic!("a child has come back to an I/O that is {stage:?}: an I/O with children out has to be parked")
}

/// # Safety
/// `submit_child` has set the slot up, and SPDK did not take the child.
#[cold]
unsafe fn not_sent<D: Device>(context: *mut Context<D>, slot: u8, rc: c_int) -> Result<(), Errno> {
    let bit = slot_bit(slot);
    // SAFETY: by the caller's promise.
    unsafe {
        Slot::release(&raw mut (*context).slots[slot as usize], (*context).listed & bit != 0);
        (*context).listed &= !bit;
        (*context).busy &= !bit;
    }
    Err(Errno::from_rc(rc).err().unwrap_or(Errno::EIO))
}

#[inline(always)]
fn slot_bit(slot: u8) -> u8 {
    assert!(usize::from(slot) < CHILD_SLOTS, "there is no child slot {slot}");
    1 << slot
}

#[cold]
#[inline(never)]
fn slot_in_use<D: Device>(io: &Io<D>, slot: u8) -> ! {
    panic!("{io:?}: slot {slot} is still in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_parent_and_slot() {
        let parent: *mut sys::spdk_bdev_io = std::ptr::without_provenance_mut(0x7f00_0000_1040);
        for slot in 0..CHILD_SLOTS as u8 {
            assert_eq!(untag(tag(parent, slot)), (parent, slot));
        }
    }
}
