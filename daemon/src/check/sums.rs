//! A configuration in a few lines.

use basalt_config::{Config, Drive, DriveKind, NvmeTransport};
use serde_json::{Value, json};

use crate::memory::backing::Backing;
use crate::units;

/// What the configuration comes to.
pub struct Sums<'c> {
    pub config: &'c Config,
    pub backing: Option<Backing>,
}

impl Sums<'_> {
    /// For people.
    pub fn text(&self) -> String {
        let runtime = &self.config.runtime;
        let cores: Vec<String> = runtime.cores.iter().map(u32::to_string).collect();
        let from = match self.backing {
            Some(Backing::HugePages) => "of huge pages",
            Some(Backing::Ordinary) => "of ordinary memory",
            None => "of memory",
        };
        let mut lines = vec![
            format!("runtime  core {}; {} {from}", cores.join(", "), units::size(runtime.memory.get())),
            format!("socket   {}", runtime.rpc_socket.display()),
        ];
        lines.extend(
            self.config.drives.iter().map(|drive| format!("drive    {}: {}", drive.name.value, kind(drive))),
        );
        for array in &self.config.arrays {
            let members: Vec<&str> = array.members.iter().map(|m| m.name().unwrap_or("missing")).collect();
            lines.push(format!(
                "array    {}: {} of {}",
                array.name.value,
                array.level.value,
                members.join(" ")
            ));
        }
        for export in &self.config.exports {
            let at: Vec<String> =
                export.listen.iter().map(|address| format!("tcp://{}", address.value)).collect();
            let shown: Vec<&str> = export.namespaces.iter().map(|name| name.value.as_str()).collect();
            lines.push(format!("export   {} at {}: {}", export.nqn.as_str(), at.join(" "), shown.join(" ")));
        }
        lines.join("\n")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "cores": *self.config.runtime.cores,
            "memory_bytes": self.config.runtime.memory.get(),
            "huge_pages": self.backing.map(|backing| backing == Backing::HugePages),
            "rpc_socket": *self.config.runtime.rpc_socket,
            "drives": self.config.drives.iter().map(|drive| &drive.name.value).collect::<Vec<_>>(),
            "arrays": self.config.arrays.iter().map(|array| &array.name.value).collect::<Vec<_>>(),
            "exports": self.config.exports.iter().map(|export| export.nqn.as_str()).collect::<Vec<_>>(),
        })
    }
}

fn kind(drive: &Drive) -> String {
    match &drive.kind {
        DriveKind::File { path, size, .. } => format!("file {}, {}", path.display(), units::size(size.get())),
        DriveKind::Memory { size, .. } => format!("memory, {}", units::size(size.get())),
        DriveKind::Nvme { transport, namespace } => {
            let at = match &transport.value {
                NvmeTransport::Pcie(address) => format!("PCI {address}"),
                NvmeTransport::Tcp { address, nqn } => format!("{} at tcp://{address}", nqn.as_str()),
                NvmeTransport::VfioUser(path) => format!("vfio-user {}", path.display()),
            };
            format!("NVMe {at}, namespace {}", namespace.value)
        }
        DriveKind::Bdev(name) => format!("bdev {}", name.value),
        DriveKind::Faulty { over, volatile_cache } if volatile_cache.value => {
            format!("faults and a volatile cache over {}", over.value)
        }
        DriveKind::Faulty { over, .. } => format!("faults over {}", over.value),
    }
}
