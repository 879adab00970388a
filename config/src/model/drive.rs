//! `drives`: what arrays are made of.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::order::NameAt;
use crate::{Bytes, Nqn, PciAddress, Place, Spanned};

/// One drive.
#[derive(Clone, Debug)]
pub struct Drive {
    /// The item in the file.
    pub place: Place,
    /// Its name: unique among drives and arrays, 1 to 63 of `A-Z a-z 0-9 . _ -`, beginning with a letter or
    /// digit.
    pub name: Spanned<String>,
    /// What it is.
    pub kind: DriveKind,
    /// It cannot flush and need not. Default: false.
    pub assume_durable: Spanned<bool>,
}

/// What a drive is.
#[derive(Clone, Debug)]
pub enum DriveKind {
    /// A file, through our own io_uring bdev; created sparse if it is missing.
    File {
        /// Absolute, or relative to the working directory if the YAML file was named so.
        path: Spanned<PathBuf>,
        /// A multiple of the block size, above zero.
        size: Spanned<Bytes>,
        /// Default: 512.
        block_size: Spanned<BlockSize>,
    },
    /// Memory of the process: gone when it ends.
    Memory {
        /// A multiple of the block size, above zero.
        size: Spanned<Bytes>,
        /// Default: 512.
        block_size: Spanned<BlockSize>,
    },
    /// A namespace of an NVMe controller.
    Nvme {
        /// How the controller is reached.
        transport: Spanned<NvmeTransport>,
        /// Namespace id, 1 to 0xFFFFFFFE. Default: 1.
        namespace: Spanned<u32>,
    },
    /// A bdev that something else made: its name.
    Bdev(Spanned<String>),
    /// Another drive, with faults that RPCs switch on: for tests.
    Faulty {
        /// The name of the drive under it.
        over: Spanned<String>,
        /// What is written stays in memory until it is flushed, and is lost in a power cut. Default: false.
        volatile_cache: Spanned<bool>,
    },
}

/// How an NVMe controller is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NvmeTransport {
    /// A function of this machine's PCI bus.
    Pcie(PciAddress),
    /// A subsystem over NVMe/TCP.
    Tcp {
        /// The target.
        address: SocketAddr,
        /// The subsystem.
        nqn: Nqn,
    },
    /// The folder of a vfio-user socket.
    VfioUser(PathBuf),
}

/// Bytes per logical block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockSize {
    /// 512 bytes.
    B512,
    /// 4096 bytes.
    B4096,
}

impl BlockSize {
    /// In bytes.
    pub const fn bytes(self) -> Bytes {
        match self {
            Self::B512 => Bytes(512),
            Self::B4096 => Bytes(4096),
        }
    }
}

impl Drive {
    /// The name of the drive that this one lies over.
    pub(crate) fn over(&self) -> Option<NameAt<'_>> {
        match &self.kind {
            DriveKind::Faulty { over, .. } => Some(NameAt::from(over)),
            _ => None,
        }
    }

    /// The block size, where this item says it. A faulty drive has that of the drive under it.
    pub fn block_size(&self) -> Option<BlockSize> {
        match &self.kind {
            DriveKind::File { block_size, .. } | DriveKind::Memory { block_size, .. } => {
                Some(block_size.value)
            }
            DriveKind::Nvme { .. } | DriveKind::Bdev(_) | DriveKind::Faulty { .. } => None,
        }
    }
}
