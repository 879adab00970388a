//! What `check` finds, on real files, folders and ports.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use basalt_config::{Colour, Config};

use super::{Finding, Report, Severity, Sums, report};
use crate::memory::backing::Backing;
use crate::memory::machine::Machine;

const PLENTY: Machine =
    Machine { available_bytes: 64 << 30, huge_pages_total: 0, huge_pages_free: 0, huge_page_bytes: 2 << 20 };

fn config(text: &str) -> Config {
    basalt_config::parse(text, "test.yaml").unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn checked(text: &str) -> Report {
    report(&config(text), &PLENTY)
}

fn file_drive(path: &Path, size: &str) -> String {
    format!("drives: [{{ name: d0, file: {{ path: \"{}\", size: {size} }} }}]\n", path.display())
}

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    &report.findings[0]
}

#[test]
fn a_file_that_is_not_there_yet_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let found = checked(&file_drive(&dir.path().join("d0.img"), "1MiB"));
    assert!(found.findings.is_empty() && found.passes(), "{:?}", found.findings);
    assert_eq!(found.backing, Some(Backing::Ordinary));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "check must make nothing");
}

#[test]
fn a_missing_folder_says_how_to_make_it() {
    let dir = tempfile::tempdir().unwrap();
    let found = checked(&file_drive(&dir.path().join("no/d0.img"), "1MiB"));
    assert!(!found.passes());
    assert!(only(&found).remedy.contains(&format!("mkdir -p {}/no", dir.path().display())));
}

#[test]
fn a_file_of_another_size_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d0.img");
    for (there, remedy) in [(512 * 1024, "write its own size here, 512KiB"), (0, "remove it")] {
        std::fs::write(&path, vec![7; there]).unwrap();
        let found = checked(&file_drive(&path, "1MiB"));
        assert!(only(&found).remedy.contains(remedy), "{}", only(&found).remedy);
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; there]);
    }
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    assert!(checked(&file_drive(&path, "1MiB")).findings.is_empty());
}

#[test]
fn a_folder_in_the_place_of_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let found = checked(&file_drive(dir.path(), "1MiB"));
    assert!(only(&found).reason.contains("is a folder"), "{}", only(&found).reason);
}

#[test]
fn a_file_that_may_not_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d0.img");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let found = checked(&file_drive(&path, "1MiB"));
    // Root may write whatever the mode says; then there is nothing to find.
    if rustix::process::geteuid().is_root() {
        assert!(found.passes());
    } else {
        assert!(only(&found).reason.contains("can't be written"), "{}", only(&found).reason);
    }
}

#[test]
fn sparse_files_that_outgrow_their_file_system_are_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let found = checked(&file_drive(&dir.path().join("d0.img"), "8388607TiB"));
    assert!(found.passes());
    assert_eq!(only(&found).severity, Severity::Warning);
    assert!(only(&found).render(Colour::Never).starts_with("warning: "));
}

#[test]
fn a_port_in_use_and_a_foreign_address_are_found() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let text = format!(
        r#"
drives: [{{ name: d0, memory: {{ size: 64MiB }} }}]
arrays: [{{ name: a, level: concat, members: [d0] }}]
exports:
  - nqn: "nqn.2026-11.io.basalt:a"
    listen: ["tcp://127.0.0.1:{port}", "tcp://192.0.2.7:4420"]
    namespaces: [a]
"#
    );
    let found = checked(&text);
    assert_eq!(found.findings.len(), 2, "{:?}", found.findings);
    assert!(found.findings[0].remedy.contains(&format!("sport = :{port}")), "{}", found.findings[0].remedy);
    assert!(found.findings[1].remedy.contains("ip addr"), "{}", found.findings[1].remedy);
}

#[test]
fn a_core_that_is_not_there_is_found() {
    let found = checked("runtime: { cores: [0, 1023] }\n");
    assert!(only(&found).reason.contains("core 1023"), "{}", only(&found).reason);
    assert!(only(&found).remedy.starts_with("choose of these: 0"), "{}", only(&found).remedy);
}

#[test]
fn a_vfio_user_drive_without_its_process_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("drives: [{{ name: v0, nvme: {{ vfio_user: \"{}\" }} }}]\n", dir.path().display());
    let found = report(&config(&text), &Machine { huge_pages_free: 4096, ..PLENTY });
    assert!(only(&found).reason.contains("cntrl"), "{}", only(&found).reason);
}

#[test]
fn a_pci_function_that_is_not_there_is_found() {
    let text = "drives: [{ name: p0, nvme: { pcie: \"ffff:ff:1f.7\" } }]\n";
    let found = report(&config(text), &Machine { huge_pages_free: 4096, ..PLENTY });
    assert!(only(&found).reason.contains("there is no PCI function ffff:ff:1f.7"), "{}", only(&found).reason);
}

#[test]
fn too_little_memory_points_at_the_setting() {
    let found =
        report(&config("runtime: { memory: 1GiB }\n"), &Machine { available_bytes: 1 << 20, ..PLENTY });
    insta::assert_snapshot!(only(&found).render(Colour::Never));
    assert_eq!(found.backing, None);
}

#[test]
fn the_summary_says_all_in_a_few_lines() {
    let config = config(include_str!("../plan/yaml/nvme.yaml"));
    insta::assert_snapshot!(Sums { config: &config, backing: Some(Backing::HugePages) }.text());
}
