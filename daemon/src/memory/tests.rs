//! Huge pages or not, for every combination of wish, need and machine.

use basalt_config::Config;

use super::backing::{Backing, NoMemory, decide};
use super::machine::Machine;

const FILES: &str = "drives: [{ name: d0, file: { path: /srv/d0.img, size: 1GiB } }]\n";
const VFIO: &str = "drives: [{ name: v0, nvme: { vfio_user: /run/v0 } }]\n";
const PCIE: &str = "drives: [{ name: p0, nvme: { pcie: \"0000:5e:00.0\" } }]\n";
const TCP: &str =
    "drives: [{ name: t0, nvme: { tcp: \"192.0.2.7:4420\", nqn: \"nqn.2014-08.org.example:d3\" } }]\n";

fn config(hugepages: &str, drives: &str) -> Config {
    let text = format!("runtime: {{ memory: 512MiB, hugepages: {hugepages} }}\n{drives}");
    basalt_config::parse(&text, "test.yaml").unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn machine(available_mib: u64, huge_pages_free: u64) -> Machine {
    Machine {
        available_bytes: available_mib << 20,
        huge_pages_total: huge_pages_free + 100,
        huge_pages_free,
        huge_page_bytes: 2 << 20,
    }
}

#[test]
fn auto_takes_huge_pages_if_enough_are_free() {
    assert_eq!(decide(&config("auto", FILES), &machine(4096, 256)), Ok(Backing::HugePages));
    assert_eq!(decide(&config("auto", FILES), &machine(4096, 255)), Ok(Backing::Ordinary));
    assert_eq!(decide(&config("auto", TCP), &machine(4096, 0)), Ok(Backing::Ordinary));
    assert_eq!(decide(&config("off", FILES), &machine(4096, 256)), Ok(Backing::Ordinary));
}

#[test]
fn required_and_missing_says_how_many_to_make() {
    let refused = decide(&config("required", FILES), &machine(4096, 10)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`hugepages: required` needs 256 huge pages of 2048 KiB for 512 MiB, and 10 are free"
    );
    assert!(
        refused.remedy().contains("echo 356 | sudo tee /proc/sys/vm/nr_hugepages"),
        "{}",
        refused.remedy()
    );
}

#[test]
fn drives_reached_by_dma_need_huge_pages() {
    for drives in [VFIO, PCIE] {
        assert_eq!(decide(&config("auto", drives), &machine(4096, 256)), Ok(Backing::HugePages));
        let refused = decide(&config("auto", drives), &machine(4096, 0)).unwrap_err();
        assert!(matches!(refused, NoMemory::TooFewHugePages { .. }), "{refused:?}");
        assert!(refused.to_string().starts_with("drive '"), "{refused}");
    }
}

#[test]
fn off_with_a_drive_that_needs_them_is_a_contradiction() {
    let Ok(config) = basalt_config::parse(&format!("runtime: {{ hugepages: off }}\n{VFIO}"), "test.yaml")
    else {
        // The configuration itself refuses it: as good.
        return;
    };
    let refused = decide(&config, &machine(4096, 256)).unwrap_err();
    assert!(matches!(refused, NoMemory::OffButNeeded { .. }), "{refused:?}");
}

#[test]
fn a_small_machine_is_refused_before_it_swaps() {
    let refused = decide(&config("auto", FILES), &machine(511, 0)).unwrap_err();
    assert!(matches!(refused, NoMemory::TooLittle { .. }), "{refused:?}");
    assert!(refused.remedy().contains("memory: 256MiB"), "{}", refused.remedy());
    assert_eq!(decide(&config("auto", FILES), &machine(511, 256)), Ok(Backing::HugePages));
}
