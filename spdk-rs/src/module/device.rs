//! What a bdev of ours has to be able to do.

use super::guards::DestructDone;
use super::io::Io;
use crate::bdev::{IoError, IoKind, Reserve};
use crate::error::Errno;

/// A bdev: what is shared by all threads that use it.
///
/// **Re-entrancy.** Completing an I/O may at once call [`submit`](Device::submit) of the same channel again;
/// sending or aborting a child may call [`child_done`](Device::child_done) of *other* I/Os of the channel.
/// That's why a device gets `&self` and `&Channel`: what it borrows from a `RefCell` of its own it must have
/// given back before it completes or sends.
pub trait Device: Sized + Send + Sync + 'static {
    /// Its state per thread, dropped on that thread when nobody uses the bdev there any more.
    type Channel: 'static;

    /// Its state per I/O. Lives in SPDK's bdev_io, of which there are up to 64 Ki: keep it small. It is
    /// forgotten, not dropped.
    type IoState: Default + 'static;

    /// Whether it does this kind of I/O. Asked when it is registered, and again for each I/O that is neither
    /// read nor write. I/O of other kinds never reaches [`submit`](Device::submit).
    fn supports(&self, kind: IoKind) -> bool;

    /// Called once for each thread that uses the bdev, on that thread.
    fn open_channel(&self) -> Result<Self::Channel, Errno>;

    /// An I/O has come. Complete it, or send children and park it, or park it for later. A read has a buffer,
    /// and a buffer is aligned as [`BdevSpec::required_alignment_log2`](super::BdevSpec) asks.
    fn submit(&self, channel: &Self::Channel, io: Io<Self>);

    /// A child has come back. Others of the same I/O may still be out. Never called while the I/O is held.
    fn child_done(&self, channel: &Self::Channel, io: Io<Self>, slot: u8, result: Result<(), IoError>) {
        let _ = (channel, result);
        unreachable!("{io:?}: child {slot} of a device that sends no children has come back")
    }

    /// What [`Io::submit_child_from_reserve`] spends, if the device keeps a reserve; always the same one of a
    /// channel.
    fn reserve(channel: &Self::Channel) -> Option<&Reserve> {
        let _ = channel;
        None
    }

    /// The bdev is being removed: nobody has it open and no channel is in use. On the app thread. When
    /// `done` has been dropped the device is dropped too, as soon as every thread has closed its channel.
    fn destruct(&self, done: DestructDone) {
        drop(done);
    }

    /// For `bdev_get_bdevs`, under the module's name. On the app thread.
    fn info(&self) -> serde_json::Value {
        serde_json::Value::Object(serde_json::Map::new())
    }
}
