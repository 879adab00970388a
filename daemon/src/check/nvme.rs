//! Whether NVMe drives are where they should be, as far as this machine can tell.

use std::path::Path;

use basalt_config::{Config, DriveKind, NvmeTransport};

use super::Finding;

/// Kernel drivers that leave a PCI function to userspace.
const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for drive in &config.drives {
        let DriveKind::Nvme { transport, .. } = &drive.kind else { continue };
        let wrong = match &transport.value {
            NvmeTransport::Pcie(address) => pci(&address.to_string()),
            NvmeTransport::VfioUser(folder) => vfio_user(folder),
            NvmeTransport::Tcp { .. } => None,
        };
        found.extend(wrong.map(|(reason, remedy)| Finding::error(&transport.place, reason, remedy)));
    }
    found
}

fn pci(address: &str) -> Option<(String, String)> {
    let function = Path::new("/sys/bus/pci/devices").join(address);
    if !function.exists() {
        return Some((
            format!("there is no PCI function {address}"),
            "see what there is: `lspci -Dnn`".into(),
        ));
    }
    let driver = std::fs::read_link(function.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    if driver.is_some_and(|driver| USERSPACE_DRIVERS.contains(&driver)) {
        return None;
    }
    let reason = match driver {
        Some(driver) => format!("PCI function {address} belongs to the kernel's driver {driver}"),
        None => format!("PCI function {address} has no driver that gives it to userspace"),
    };
    let remedy =
        format!("make sure that nothing on it is mounted; then `driverctl set-override {address} vfio-pci`");
    Some((reason, remedy))
}

/// The socket that libvfio-user listens on in the folder.
fn vfio_user(folder: &Path) -> Option<(String, String)> {
    let socket = folder.join("cntrl");
    (!socket.exists()).then(|| {
        (
            format!("no drive is behind {}: there is no {}", folder.display(), socket.display()),
            "start its process first".into(),
        )
    })
}
