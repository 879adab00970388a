//! Huge pages or ordinary memory: the decision, and what to type when neither will do.
//!
//! Drives on the PCI bus and behind vfio-user are reached by DMA or by sharing memory with the drive's
//! process: they work from huge pages only. Files, memory and TCP work from either.

use basalt_config::{Config, Drive, DriveKind, HugePages, NvmeTransport, Runtime};

use super::machine::Machine;

/// Where DMA memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// Pages of 2 MiB (or what the machine has as its default).
    HugePages,
    /// Pages of 4 KiB.
    Ordinary,
}

/// Why there is no memory to run in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMemory {
    /// Huge pages are asked for or needed, and too few are free.
    #[error("{why} needs {needed} huge pages of {page_kib} KiB for {memory_mib} MiB, and {free} are free")]
    TooFewHugePages {
        /// Who needs them.
        why: String,
        /// Pages that the configured memory takes.
        needed: u64,
        /// Pages that are free.
        free: u64,
        /// Pages that the machine should have in all.
        total: u64,
        /// Page size.
        page_kib: u64,
        /// The configured memory.
        memory_mib: u64,
    },
    /// `hugepages: off` with a drive that can't do without.
    #[error("drive '{drive}' works from huge pages only")]
    OffButNeeded {
        /// The drive.
        drive: String,
    },
    /// The machine has less memory than we are told to take.
    #[error("{memory_mib} MiB of memory are asked for, and the machine has {available_mib} MiB available")]
    TooLittle {
        /// What is there.
        available_mib: u64,
        /// What is wanted.
        memory_mib: u64,
    },
}

impl NoMemory {
    /// What to type.
    pub fn remedy(&self) -> String {
        match self {
            NoMemory::TooFewHugePages { total, .. } => {
                format!(
                    "make them: `echo {total} | sudo tee /proc/sys/vm/nr_hugepages`; or ask for less `memory`"
                )
            }
            NoMemory::OffButNeeded { .. } => "write `hugepages: auto`".to_owned(),
            NoMemory::TooLittle { .. } => format!(
                "stop something, or ask for less: `memory: {}MiB` is the least",
                Runtime::MEMORY_MIN.get() >> 20
            ),
        }
    }
}

/// Decides for `config` on `machine`.
pub fn decide(config: &Config, machine: &Machine) -> Result<Backing, NoMemory> {
    let memory_bytes = config.runtime.memory.get();
    let needy = config.drives.iter().find(|drive| needs_huge_pages(drive));
    let enough = machine.huge_pages_free.saturating_mul(machine.huge_page_bytes) >= memory_bytes;
    match (config.runtime.hugepages.value, needy) {
        (HugePages::Off, Some(drive)) => Err(NoMemory::OffButNeeded { drive: drive.name.value.clone() }),
        (HugePages::Required | HugePages::Auto, _) if enough => Ok(Backing::HugePages),
        (HugePages::Required, _) => Err(too_few("`hugepages: required`".to_owned(), memory_bytes, machine)),
        (HugePages::Auto, Some(drive)) => {
            Err(too_few(format!("drive '{}'", drive.name.value), memory_bytes, machine))
        }
        (HugePages::Auto | HugePages::Off, None) if machine.available_bytes < memory_bytes => {
            Err(NoMemory::TooLittle {
                available_mib: machine.available_bytes >> 20,
                memory_mib: memory_bytes >> 20,
            })
        }
        (HugePages::Auto | HugePages::Off, None) => Ok(Backing::Ordinary),
    }
}

/// Whether the drive is reached by DMA or shared memory.
pub fn needs_huge_pages(drive: &Drive) -> bool {
    match &drive.kind {
        DriveKind::Nvme { transport, .. } => match transport.value {
            NvmeTransport::Pcie(_) | NvmeTransport::VfioUser(_) => true,
            NvmeTransport::Tcp { .. } => false,
        },
        DriveKind::File { .. } | DriveKind::Memory { .. } | DriveKind::Bdev(_) | DriveKind::Faulty { .. } => {
            false
        }
    }
}

fn too_few(why: String, memory_bytes: u64, machine: &Machine) -> NoMemory {
    let needed = memory_bytes.div_ceil(machine.huge_page_bytes);
    let used = machine.huge_pages_total.saturating_sub(machine.huge_pages_free);
    NoMemory::TooFewHugePages {
        why,
        needed,
        free: machine.huge_pages_free,
        total: used + needed,
        page_kib: machine.huge_page_bytes >> 10,
        memory_mib: memory_bytes >> 20,
    }
}
