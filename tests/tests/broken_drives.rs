//! Drive files that can't be used, and a daemon that runs beside them: each refusal names place, reason and remedy, and
//! neither the running daemon nor any file changes.

use std::collections::BTreeMap;
use std::path::Path;

use basalt_tests::daemon::{Daemon, Place};
use basalt_tests::machine;
use basalt_tests::wait::PATIENCE;
use serde_json::{Value, json};

const MIRROR: &str = "
drives:
  - { name: d0, file: { path: d0.img, size: 16MiB } }
  - { name: d1, file: { path: d1.img, size: 16MiB } }
arrays:
  - { name: data, level: raid1, members: [d0, d1] }
";

/// A regular file that nobody may write, not even root.
const READ_ONLY: &str = "/sys/kernel/uevent_seqnum";

/// Every file below a folder, but sockets and configurations.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("our folder").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().expect("a type").is_file());
    let drives = files.filter(|entry| entry.path().extension().is_none_or(|extension| extension != "yaml"));
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    drives.map(|entry| (name(&entry.path()), std::fs::read(entry.path()).expect("a file"))).collect()
}

/// A file that a drive can't use.
struct Broken {
    path: String,
    /// What the refusal of a start must say.
    start_says: [&'static str; 2],
    /// What the refusal of a call must say.
    call_says: [&'static str; 2],
}

/// `busy`: a file that a running daemon uses.
fn broken(place: &Place, busy: &Path) -> Vec<Broken> {
    std::fs::write(place.path("short.img"), vec![7; 1 << 20]).expect("a file in our folder");
    std::fs::create_dir(place.path("folder.img")).expect("a folder in our folder");
    let broken = |path: &str, start_says, call_says| Broken { path: path.to_owned(), start_says, call_says };
    vec![
        broken(
            "short.img",
            ["short.img exists and has 1048576 bytes", "name another file"],
            ["1048576", "16777216"],
        ),
        broken("no/such/d.img", ["there is no folder", "mkdir -p"], ["there is no directory", "create it"]),
        broken("folder.img", ["folder.img is a folder", "name a file"], ["it is a directory", "name a file"]),
        broken(READ_ONLY, ["can't be written", "ls -l"], [READ_ONLY, "permission"]),
        broken(&busy.display().to_string(), ["process", "stop that process"], ["process", "stop"]),
    ]
}

/// The daemon's arrays, and the drives' contents.
fn state(daemon: &Daemon, place: &Place) -> (Value, BTreeMap<String, Vec<u8>>) {
    (daemon.call("bdev_basalt_get_arrays", json!({})), contents(place.folder()))
}

#[test]
fn a_start_on_a_broken_drive_is_refused_and_changes_nothing() {
    let _alone = machine::alone();
    let (place, other) = (Place::new(), Place::new());
    let daemon = place.run("cores: [0]", MIRROR);
    let broken = broken(&other, &place.path("d0.img"));
    let before = (state(&daemon, &place), contents(other.folder()));
    for Broken { path, start_says, .. } in broken {
        let body = format!(
            "drives:\n  - {{ name: good, file: {{ path: good.img, size: 16MiB }} }}\n  \
             - {{ name: bad, file: {{ path: \"{path}\", size: 16MiB }} }}\n"
        );
        let refused = other.start("", &body).child.wait(PATIENCE);
        assert_eq!(refused.status.code(), Some(1), "{path}: {}", refused.stderr);
        for part in start_says.iter().chain(&["basalt.yaml:4:", "help: "]) {
            assert!(refused.stderr.contains(part), "`{part}` is missing for {path}:\n{}", refused.stderr);
        }
        // A file that was made on the way is empty of data, and no refusal.
        let _ = std::fs::remove_file(other.path("good.img"));
        assert!(!other.socket().exists(), "{path}");
        assert!(before == (state(&daemon, &place), contents(other.folder())), "{path} changed something");
    }
    daemon.stop_well();
}

#[test]
fn a_call_for_a_broken_drive_is_refused_and_changes_nothing() {
    let _alone = machine::alone();
    let (place, other) = (Place::new(), Place::new());
    let daemon = place.run("cores: [0]", MIRROR);
    let rival = other.run("cores: [0]", "drives: [{ name: r, file: { path: r.img, size: 16MiB } }]\n");
    for Broken { path, call_says, .. } in broken(&place, &other.path("r.img")) {
        let before = state(&daemon, &place);
        let params = json!({ "name": "bad", "path": place.path(&path), "size_bytes": 16 << 20 });
        let error = daemon.try_call("bdev_basalt_file_create", params).expect_err("it must be refused");
        for part in call_says {
            assert!(error.message().contains(part), "`{part}` is missing for {path}: {error}");
        }
        assert!(before == state(&daemon, &place), "{path} changed something");
    }
    rival.stop_well();
    daemon.stop_well();
}
