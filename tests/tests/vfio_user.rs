//! NVMe drives through SPDK's real NVMe driver, without hardware: a second SPDK process (upstream's `nvmf_tgt`) is a
//! farm of NVMe controllers over vfio-user. The driver works from huge pages only.

use std::path::PathBuf;
use std::process::Command;

use basalt_tests::child::Child;
use basalt_tests::daemon::Place;
use basalt_tests::machine;
use basalt_tests::rpc::Client;
use basalt_tests::wait::{self, PATIENCE};
use serde_json::json;

const DRIVES: usize = 2;
/// Of 2 MiB: what the farm and the daemon take together, and some more.
const HUGE_PAGES: usize = 600;

fn free_huge_pages() -> usize {
    let info = std::fs::read_to_string("/proc/meminfo").expect("proc");
    let line = info.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// A farm with controllers at `farm0`, `farm1`, ... in the place's folder.
fn farm(place: &Place) -> Child {
    let socket = place.path("farm.sock");
    let mut command = Command::new(machine::spdk().join("build/bin/nvmf_tgt"));
    command.args(["-m", "0x2", "--disable-cpumask-locks", "-s", "256", "--huge-unlink", "-r"]).arg(&socket);
    let farm = Child::spawn("nvmf_tgt", &mut command);
    wait::until("the farm's socket", || {
        Client::connect(&socket, PATIENCE).map(drop).map_err(|e| e.to_string())
    });
    let call = |method: &str, params| {
        let mut client = Client::connect(&socket, PATIENCE).expect("the farm listens");
        client.call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    };
    wait::until("the farm", || {
        let mut client = Client::connect(&socket, PATIENCE).map_err(|e| e.to_string())?;
        client.call("bdev_get_bdevs", json!({})).map(drop).map_err(|e| e.to_string())
    });
    call("nvmf_create_transport", json!({ "trtype": "VFIOUSER" }));
    for n in 0..DRIVES {
        let (name, nqn) = (format!("f{n}"), format!("nqn.2026-11.io.basalt:farm{n}"));
        let folder: PathBuf = place.path(&format!("farm{n}"));
        std::fs::create_dir(&folder).expect("a folder in ours");
        call("bdev_malloc_create", json!({ "name": name, "num_blocks": 98304, "block_size": 512 }));
        call("nvmf_create_subsystem", json!({ "nqn": nqn, "allow_any_host": true, "serial_number": name }));
        call("nvmf_subsystem_add_ns", json!({ "nqn": nqn, "namespace": { "bdev_name": name } }));
        let address = json!({ "trtype": "VFIOUSER", "traddr": folder, "trsvcid": "0" });
        call("nvmf_subsystem_add_listener", json!({ "nqn": nqn, "listen_address": address }));
    }
    farm
}

#[test]
fn a_mirror_of_nvme_drives_is_whole_with_a_member_failing_in_the_middle() {
    let _alone = machine::alone();
    if free_huge_pages() < HUGE_PAGES {
        println!("not run: {HUGE_PAGES} huge pages are needed and {} are free", free_huge_pages());
        return;
    }
    let place = Place::new();
    let _farm = farm(&place);
    let body = "
drives:
  - { name: n0, nvme: { vfio_user: farm0, namespace: 1 } }
  - { name: n1, nvme: { vfio_user: farm1, namespace: 1 } }
arrays:
  - { name: data, level: raid1, members: [n0, n1] }
";
    let daemon = place.run(
        "hugepages: required, memory: 512MiB, cores: [0]",
        &(body.to_owned() + &Place::export(&["data"])),
    );
    let run = place.model(1, &machine::last_core(2)).option("--ios", 3_000);
    let fail = json!({ "name": "data", "drive": "n1n1" });
    run.fault_there(1_000, &place.socket(), "bdev_basalt_fail_member", fail).must_pass();
    assert_eq!(daemon.array("data")["state"], "degraded");
    assert_eq!(daemon.event_kinds("data"), ["array_started", "member_failed", "array_degraded"]);
    daemon.stop_well();
}
