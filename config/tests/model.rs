//! What valid files come to.

use std::path::Path;
use std::time::Duration;

use basalt_config::{
    Bytes, Config, Consistency, DEFAULT_YAML, DriveKind, Hosts, HugePages, Idle, Initial, Layout, Level,
    Member, Metadata, NvmeTransport, OnFailed, ParityLayout, RateBytesPerS, StartDegraded, load, parse,
};

fn config(text: &str) -> Config {
    parse(text, "f.yaml").unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// A file with these drives and arrays.
fn file_with(drives: &[&str], arrays: &[&str]) -> String {
    let list = |items: &[&str]| -> String { items.iter().map(|item| format!("  - {item}\n")).collect() };
    format!("drives:\n{}arrays:\n{}", list(drives), list(arrays))
}

/// The codes of what is wrong with the arrays, over six drives d0 to d5 and one with large blocks, `big`.
fn codes(arrays: &str) -> Vec<&'static str> {
    let drives: String =
        (0..6).map(|i| format!("  - {{ name: d{i}, memory: {{ size: 64MiB }} }}\n")).collect();
    let big = "  - { name: big, memory: { size: 64MiB }, block_size: 4096 }\n";
    match parse(&format!("drives:\n{drives}{big}arrays:\n{arrays}"), "f.yaml") {
        Ok(_) => Vec::new(),
        Err(diagnostics) => diagnostics.list.iter().map(|found| found.kind.code()).collect(),
    }
}

fn array(level: &str, members: &str, rest: &str) -> String {
    format!("  - {{ name: a, level: {level}, members: [{members}]{rest} }}\n")
}

#[test]
fn every_example_parses() {
    let mut seen = 0;
    for entry in std::fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        if let Err(diagnostics) = load(&path) {
            panic!("{diagnostics}");
        }
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn the_default_system_is_a_mirror_on_files_beside_its_file() {
    let config = parse(DEFAULT_YAML, "/state/basalt/basalt.yaml").unwrap();
    let paths = config.drives.iter().filter_map(|drive| match &drive.kind {
        DriveKind::File { path, size, .. } if **size == Bytes::gib(1) => Some(path.as_path()),
        _ => None,
    });
    let paths: Vec<_> = paths.collect();
    assert_eq!(paths, [0, 1, 2, 3].map(|i| format!("/state/basalt/d{i}.img")).each_ref().map(Path::new));
    let data = config.array("data").unwrap();
    assert_eq!((data.level.value, data.layout.value), (Level::Raid10, Layout::Near(2)));
    let export = &config.exports[0];
    assert_eq!(export.nqn.as_str(), "nqn.2026-11.io.basalt:data");
    assert_eq!(*export.listen[0], "127.0.0.1:4420".parse().unwrap());
    assert_eq!(export.hosts, Hosts::Any);
}

#[test]
fn defaults_are_filled_in() {
    let text =
        file_with(&["{ name: m, memory: { size: 300MiB } }"], &["{ name: a, level: concat, members: [m] }"]);
    let config = config(&text);
    let runtime = &config.runtime;
    assert_eq!(*runtime.cores, [0]);
    assert_eq!(*runtime.memory, Bytes::mib(812));
    assert_eq!((*runtime.hugepages, *runtime.idle), (HugePages::Auto, Idle::Adaptive));
    assert_eq!(*runtime.rpc_socket, Path::new("/var/tmp/basalt.sock"));
    let array = &config.arrays[0];
    assert!(array.chunk.is_none() && array.region.is_none() && array.data_offset.is_none());
    assert_eq!((*array.layout, *array.consistency), (Layout::Plain, Consistency::None));
    assert_eq!((*array.initial, *array.metadata), (Initial::Auto, Metadata::Drives));
    assert_eq!(*array.start_degraded, StartDegraded::After(Duration::from_secs(30)));
    assert_eq!((*array.member_timeout, *array.on_failed), (Duration::from_secs(10), OnFailed::Error));
    assert_eq!((*array.max_errors.read, *array.max_errors.write), (20, 1));
    assert_eq!(*array.sync.min_rate, RateBytesPerS(50 << 20));
    assert!(array.sync.max_rate.is_none() && array.sync.after.is_empty());
    assert_eq!(*array.sync.host_p99, Duration::from_millis(2));
    assert!(!*config.drives[0].assume_durable);
}

#[test]
fn all_keys_are_read() {
    let config = load("examples/parity.yaml").unwrap();
    let data = config.array("data").unwrap();
    let members: Vec<_> = data.members.iter().map(|member| member.value.clone()).collect();
    assert_eq!(members, [Member::Drive("d0".into()), Member::Drive("d1".into()), Member::Missing]);
    assert_eq!(*data.layout, Layout::Parity(ParityLayout::LeftSymmetric));
    assert_eq!(data.chunk.as_deref(), Some(&Bytes::kib(64)));
    assert_eq!(data.region.as_deref(), Some(&Bytes::mib(16)));
    assert_eq!(data.data_offset.as_deref(), Some(&Bytes::mib(16)));
    assert_eq!((*data.start_degraded, *data.on_failed), (StartDegraded::Never, OnFailed::Wait));
    assert_eq!((*data.initial, *data.consistency), (Initial::Lazy, Consistency::Log));
    assert_eq!(*data.sync.after[0], "scratch");
    let scratch = config.array("scratch").unwrap();
    assert_eq!((*scratch.metadata, *scratch.consistency), (Metadata::None, Consistency::None));
}

#[test]
fn nvme_drives_are_reached_in_three_ways() {
    let config = load("examples/nvme.yaml").unwrap();
    let transport = |name: &str| match &config.drive(name).unwrap().kind {
        DriveKind::Nvme { transport, namespace } => (transport.value.clone(), **namespace),
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(transport("d0"), (NvmeTransport::Pcie(address), 1) if address.to_string() == "0000:5e:00.0")
    );
    assert!(matches!(transport("d3"), (NvmeTransport::Tcp { address, .. }, 1) if address.is_ipv6()));
    assert!(
        matches!(transport("d4"), (NvmeTransport::VfioUser(path), 1) if path == Path::new("/run/drives/d4"))
    );
    assert!(matches!(&config.exports[0].hosts, Hosts::Listed(hosts) if hosts.len() == 2));
    assert_eq!(*config.array("fast").unwrap().sync.max_rate.as_deref().unwrap(), RateBytesPerS(2 << 30));
}

#[test]
fn what_lies_over_others_is_built_after_them() {
    let config = load("examples/nested.yaml").unwrap();
    let names: Vec<_> = config.arrays_in_build_order().iter().map(|array| array.name.as_str()).collect();
    assert_eq!(names, ["left", "right", "data"]);
    let text = "drives:\n  - { name: f, faulty: { over: d } }\n  - { name: d, memory: { size: 1MiB } }\n";
    let config = self::config(text);
    let names: Vec<_> = config.drives_in_build_order().iter().map(|drive| drive.name.as_str()).collect();
    assert_eq!(names, ["d", "f"]);
}

#[test]
fn faulty_drives_may_have_a_volatile_cache() {
    let config = load("examples/faults.yaml").unwrap();
    let cache = |name: &str| match &config.drive(name).unwrap().kind {
        DriveKind::Faulty { over, volatile_cache } => (over.value.clone(), volatile_cache.value),
        other => panic!("{other:?}"),
    };
    assert_eq!(cache("f0"), ("d0".to_owned(), false));
    assert_eq!(cache("f1"), ("d1".to_owned(), true));
}

#[test]
fn items_know_their_place() {
    let config = load("examples/nested.yaml").unwrap();
    let right = config.array("right").unwrap();
    assert_eq!(right.place.to_string(), "examples/nested.yaml:22:5");
    assert_eq!(&*right.place.line_text, "  - name: right");
    assert_eq!(right.members[1].place.to_string(), "examples/nested.yaml:24:19");
    let message = right.members[1].place.point_out("gone", "plug it in", basalt_config::Colour::Never);
    assert!(message.contains("    members: [d3, d4, d5]\n    |                   ^^\n"), "{message}");
}

#[test]
fn line_breaks_and_byte_order_marks_of_other_systems_are_taken() {
    let config = config("\u{feff}drives:\r\n  - { name: m, memory: { size: 1MiB } }\r\n");
    assert_eq!(config.drives[0].place.line, 2);
}

#[test]
fn relative_paths_start_at_the_file() {
    let text =
        "runtime: { rpc_socket: b.sock }\ndrives:\n  - { name: d, file: { path: d.img, size: 1MiB } }\n";
    for (file, folder) in [("/etc/b/x.yaml", "/etc/b/"), ("x.yaml", "")] {
        let config = parse(text, file).unwrap();
        assert_eq!(*config.runtime.rpc_socket, Path::new(&format!("{folder}b.sock")));
        let DriveKind::File { path, .. } = &config.drives[0].kind else { panic!("a file") };
        assert_eq!(**path, Path::new(&format!("{folder}d.img")));
    }
}

#[test]
fn missing_members_are_taken_as_far_as_redundancy_goes() {
    for (level, members, rest, is_good) in [
        ("raid1", "missing, d1, missing", "", true),
        ("raid5", "d0, missing, d2", "", true),
        ("raid6", "d0, missing, d2, missing", "", true),
        ("raid6", "missing, missing, d2, missing", "", false),
        ("raid10", "missing, d1, d2, missing", "", true),
        ("raid10", "d0, d1, missing, missing", "", false),
        // Three members, two copies: chunk 1 is on the slots 2 and 0.
        ("raid10", "d0, missing, d2", "", true),
        ("raid10", "missing, d1, missing", "", false),
        ("raid10", "missing, d1, missing", ", layout: near=3", true),
        ("concat", "d0, missing", "", false),
    ] {
        let codes = codes(&array(level, members, rest));
        assert_eq!(codes.is_empty(), is_good, "{level} {members} {rest}: {codes:?}");
    }
}

#[test]
fn layouts_belong_to_levels() {
    for (level, layout, is_good) in [
        ("raid5", "left-symmetric", true),
        ("raid5", "parity-last", true),
        ("raid5", "ddf-N-continue", false),
        ("raid5", "near=2", false),
        ("raid6", "ddf-N-continue", true),
        ("raid6", "left-symmetric-6", true),
        ("raid10", "near=4", true),
        ("raid10", "near=1", false),
        ("raid10", "near=5", false),
        ("raid10", "near=-2", false),
        ("raid0", "near=2", false),
    ] {
        let codes = codes(&array(level, "d0, d1, d2, d3", &format!(", layout: {layout}")));
        assert_eq!(codes.is_empty(), is_good, "{level} {layout}: {codes:?}");
    }
}

#[test]
fn consistency_belongs_to_levels() {
    for (level, consistency, is_good) in [
        ("raid5", "log", true),
        ("raid5", "bitmap", true),
        ("raid6", "none", true),
        ("raid1", "bitmap", true),
        ("raid1", "log", false),
        ("raid10", "none", true),
        ("raid0", "none", true),
        ("raid0", "auto", true),
        ("raid0", "bitmap", false),
    ] {
        let codes = codes(&array(level, "d0, d1, d2, d3", &format!(", consistency: {consistency}")));
        assert_eq!(codes.is_empty(), is_good, "{level} {consistency}: {codes:?}");
    }
}

#[test]
fn chunks_have_bounds() {
    for (level, chunk, is_good) in [
        ("raid5", "4KiB", true),
        ("raid5", "4MiB", true),
        ("raid5", "2KiB", false),
        ("raid5", "8MiB", false),
        ("raid0", "1KiB", true),
        ("raid0", "512B", false),
        ("raid0", "64MiB", true),
        ("raid0", "48KiB", false),
        ("concat", "64KiB", false),
    ] {
        let codes = codes(&array(level, "d0, d1, d2", &format!(", chunk: {chunk}")));
        assert_eq!(codes.is_empty(), is_good, "{level} {chunk}: {codes:?}");
    }
}

#[test]
fn block_sizes_are_known_through_arrays_and_spares() {
    assert_eq!(codes(&array("raid1", "d0, big", "")), ["block_sizes_mixed"]);
    assert_eq!(codes(&array("raid1", "d0, d1", ", spares: [big]")), ["block_sizes_mixed"]);
    let nested = array("raid1", "d0, d1", "") + "  - { name: b, level: concat, members: [a, big] }\n";
    assert_eq!(codes(&nested), ["block_sizes_mixed"]);
}

#[test]
fn a_default_rate_gives_way_to_what_is_written() {
    let array = "{ name: a, level: concat, members: [m], sync: { max_rate: 1MiB/s } }";
    let text = file_with(&["{ name: m, memory: { size: 1MiB } }"], &[array]);
    assert_eq!(*config(&text).arrays[0].sync.min_rate, RateBytesPerS(1 << 20));
}

#[test]
fn one_fault_does_not_make_others() {
    // The drive is unusable, but its name is known; the array is unusable, but it may be exported.
    let arrays =
        file_with(&["{ name: d0, memory: { size: 0MiB } }"], &["{ name: a, level: raid9, members: [d0] }"]);
    let export = "{ nqn: nqn.2026-11.io.basalt:a, listen: [\"tcp://[::1]:4420\"], namespaces: [a] }";
    let text = format!("{arrays}exports:\n  - {export}\n");
    let codes: Vec<_> = parse(&text, "f").unwrap_err().list.iter().map(|found| found.kind.code()).collect();
    assert_eq!(codes, ["size_zero", "value_unknown"]);
}

#[test]
fn more_faults_than_anyone_reads_are_counted() {
    let text: String = (0..100).map(|i| format!("key{i}: 1\n")).collect();
    let diagnostics = parse(&text, "f").unwrap_err();
    assert_eq!((diagnostics.list.len(), diagnostics.left_out), (64, 36));
    assert!(diagnostics.to_string().ends_with("(36 more not shown)\nf: 100 errors; nothing was changed\n"));
}
