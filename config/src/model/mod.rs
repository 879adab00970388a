//! What a valid file says, with every default filled in.

mod array;
mod drive;
mod export;
mod runtime;

use std::path::PathBuf;

pub use array::{
    Array, Consistency, Initial, Layout, Level, MaxErrors, Member, Metadata, OnFailed, ParityLayout,
    StartDegraded, Sync,
};
pub use drive::{BlockSize, Drive, DriveKind, NvmeTransport};
pub use export::{Export, Hosts};
pub use runtime::{HugePages, Idle, Runtime};

use crate::order::post_order;

/// A whole configuration: all names resolve, nothing is used twice, nothing loops.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// How the process runs.
    pub runtime: Runtime,
    /// The drives, in the order of the file.
    pub drives: Vec<Drive>,
    /// The arrays, in the order of the file.
    pub arrays: Vec<Array>,
    /// The exports, in the order of the file.
    pub exports: Vec<Export>,
}

impl Config {
    /// The drive of that name.
    pub fn drive(&self, name: &str) -> Option<&Drive> {
        self.drives.iter().find(|drive| *drive.name == name)
    }

    /// The array of that name.
    pub fn array(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|array| *array.name == name)
    }

    /// The drives in an order in which each comes after the one that it lies over.
    pub fn drives_in_build_order(&self) -> Vec<&Drive> {
        let order =
            post_order(&self.drives, |drive| drive.name.as_str(), |drive| drive.over().into_iter().collect());
        order.nodes.into_iter().map(|index| &self.drives[index]).collect()
    }

    /// The arrays in an order in which each comes after the arrays that are its members.
    pub fn arrays_in_build_order(&self) -> Vec<&Array> {
        let order =
            post_order(&self.arrays, |array| array.name.as_str(), |array| array.member_arrays().collect());
        order.nodes.into_iter().map(|index| &self.arrays[index]).collect()
    }
}
