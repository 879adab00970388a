//! Steps that open drives, and the names of their bdevs.

use std::collections::BTreeSet;
use std::time::Duration;

use basalt_config::{Config, Drive, DriveKind, Metadata, NvmeTransport, Place};
use serde_json::{Value, json};

use super::{Made, Needs, QUICK, SLOW, Step};

/// How long we wait for a bdev that somebody else makes. bdev_get_bdevs counts in milliseconds.
const FOREIGN_BDEV_WAIT_MS: u64 = 10_000;
/// How long a namespace of a controller that is attached already may take to show up.
const NAMESPACE_WAIT_MS: u64 = 2_000;

/// The name of the bdev behind `drive`: what arrays are made of.
///
/// SPDK names a namespace after its controller (`d2n1`), and a controller is attached once: it gets the name
/// of the first drive on it.
pub fn bdev_name(config: &Config, drive: &Drive) -> String {
    match &drive.kind {
        DriveKind::File { .. } | DriveKind::Memory { .. } | DriveKind::Faulty { .. } => {
            drive.name.value.clone()
        }
        DriveKind::Nvme { transport, namespace } => {
            format!("{}n{}", controller_name(config, drive, transport), namespace.value)
        }
        DriveKind::Bdev(name) => name.value.clone(),
    }
}

/// The first drive on the same controller names it.
fn controller_name<'c>(config: &'c Config, drive: &'c Drive, transport: &NvmeTransport) -> &'c str {
    let same_controller = |other: &&Drive| match &other.kind {
        DriveKind::Nvme { transport: others, .. } => others.value == *transport,
        _ => false,
    };
    let first = config.drives.iter().find(same_controller).unwrap_or(drive);
    &first.name.value
}

pub(super) fn steps(config: &Config) -> Vec<Step> {
    let dispensable = dispensable(config);
    let mut steps = Vec::new();
    for drive in config.drives_in_build_order() {
        let first = steps.len();
        match &drive.kind {
            DriveKind::File { .. } => steps.push(file(drive)),
            DriveKind::Memory { .. } => steps.push(memory(drive)),
            DriveKind::Nvme { transport, namespace } => {
                if controller_name(config, drive, transport) == drive.name.value {
                    steps.push(attach(drive, &transport.value, &transport.place));
                }
                let what = format!("drive {}: namespace {}", drive.name.value, namespace.value);
                steps.push(exists(&what, &bdev_name(config, drive), NAMESPACE_WAIT_MS, &namespace.place));
            }
            DriveKind::Bdev(name) => {
                let what = format!("drive {}: bdev {}", drive.name.value, name.value);
                steps.push(exists(&what, &name.value, FOREIGN_BDEV_WAIT_MS, &name.place));
            }
            DriveKind::Faulty { .. } => steps.push(faulty(config, drive)),
        }
        let may_fail = dispensable.contains(drive.name.value.as_str());
        steps[first..].iter_mut().for_each(|step| step.may_fail = may_fail);
    }
    steps
}

/// Drives of arrays that have their membership on their drives, and what lies below those drives: the array
/// sees what is missing, and knows whether it may go on.
fn dispensable(config: &Config) -> BTreeSet<&str> {
    let arrays = config.arrays.iter().filter(|array| array.metadata.value == Metadata::Drives);
    let mut names: BTreeSet<&str> =
        arrays.flat_map(|array| array.members.iter().filter_map(|member| member.name())).collect();
    for drive in config.drives_in_build_order().into_iter().rev() {
        if let DriveKind::Faulty { over, .. } = &drive.kind
            && names.contains(drive.name.value.as_str())
        {
            names.insert(&over.value);
        }
    }
    names
}

fn file(drive: &Drive) -> Step {
    let DriveKind::File { path, size, block_size } = &drive.kind else { unreachable!("called for files") };
    let name = &drive.name.value;
    Step {
        what: format!("drive {name}: file {}, {}", path.display(), size.value),
        method: "bdev_basalt_file_create",
        params: json!({
            "name": name,
            "path": path.value,
            "size_bytes": size.get(),
            "block_size": block_size.bytes().get(),
            "assume_durable": drive.assume_durable.value,
        }),
        fills: Vec::new(),
        learns: None,
        timeout: SLOW,
        place: path.place.clone(),
        makes: Some(made(name, "bdev_basalt_file_delete")),
        needs: Needs::Nothing,
        may_fail: false,
    }
}

fn memory(drive: &Drive) -> Step {
    let DriveKind::Memory { size, block_size } = &drive.kind else { unreachable!("called for memory") };
    let name = &drive.name.value;
    let block_bytes = block_size.bytes().get();
    Step {
        what: format!("drive {name}: memory, {}", size.value),
        method: "bdev_malloc_create",
        params: json!({
            "name": name,
            "block_size": block_bytes,
            "num_blocks": size.get() / block_bytes,
        }),
        fills: Vec::new(),
        learns: None,
        timeout: QUICK,
        place: size.place.clone(),
        makes: Some(made(name, "bdev_malloc_delete")),
        needs: Needs::Nothing,
        may_fail: false,
    }
}

fn faulty(config: &Config, drive: &Drive) -> Step {
    let DriveKind::Faulty { over, volatile_cache } = &drive.kind else { unreachable!("called for faulty") };
    let name = &drive.name.value;
    let base = config.drive(over).map_or_else(|| over.value.clone(), |base| bdev_name(config, base));
    let cache = if volatile_cache.value { " and a volatile cache" } else { "" };
    Step {
        what: format!("drive {name}: faults{cache} over {}", over.value),
        method: "bdev_basalt_faulty_create",
        params: json!({ "name": name, "base": base, "volatile_cache": volatile_cache.value }),
        fills: Vec::new(),
        learns: None,
        timeout: QUICK,
        place: over.place.clone(),
        makes: Some(made(name, "bdev_basalt_faulty_delete")),
        needs: Needs::Nothing,
        may_fail: false,
    }
}

/// A controller that is gone is tried again each second, fails I/O after 5 s and is given up after 10 s: then
/// its bdevs go, which the arrays see.
fn attach(drive: &Drive, transport: &NvmeTransport, place: &Place) -> Step {
    let name = &drive.name.value;
    let mut params = address(transport);
    params["name"] = json!(name);
    params["ctrlr_loss_timeout_sec"] = json!(10);
    params["reconnect_delay_sec"] = json!(1);
    params["fast_io_fail_timeout_sec"] = json!(5);
    Step {
        what: format!("drive {name}: {}", describe(transport)),
        method: "bdev_nvme_attach_controller",
        params,
        fills: Vec::new(),
        learns: None,
        timeout: SLOW,
        place: place.clone(),
        makes: Some(made(name, "bdev_nvme_detach_controller")),
        needs: Needs::Nothing,
        may_fail: false,
    }
}

fn address(transport: &NvmeTransport) -> Value {
    match transport {
        NvmeTransport::Pcie(address) => json!({ "trtype": "PCIe", "traddr": address.to_string() }),
        NvmeTransport::Tcp { address, nqn } => json!({
            "trtype": "TCP",
            "adrfam": if address.is_ipv4() { "IPv4" } else { "IPv6" },
            "traddr": address.ip().to_string(),
            "trsvcid": address.port().to_string(),
            "subnqn": nqn.to_string(),
        }),
        NvmeTransport::VfioUser(path) => json!({ "trtype": "VFIOUSER", "traddr": path }),
    }
}

fn describe(transport: &NvmeTransport) -> String {
    match transport {
        NvmeTransport::Pcie(address) => format!("NVMe controller at PCI {address}"),
        NvmeTransport::Tcp { address, nqn } => format!("NVMe controller {nqn} at tcp://{address}"),
        NvmeTransport::VfioUser(path) => format!("NVMe controller behind vfio-user {}", path.display()),
    }
}

/// bdev_get_bdevs answers once the bdev is there, or fails after the time.
fn exists(what: &str, bdev: &str, wait_ms: u64, place: &Place) -> Step {
    Step {
        what: what.to_owned(),
        method: "bdev_get_bdevs",
        params: json!({ "name": bdev, "timeout": wait_ms }),
        fills: Vec::new(),
        learns: None,
        timeout: Duration::from_millis(wait_ms) + QUICK,
        place: place.clone(),
        makes: None,
        needs: Needs::Nothing,
        may_fail: false,
    }
}

fn made(name: &str, closed_by: &'static str) -> Made {
    Made::Drive { name: name.to_owned(), closed_by }
}
