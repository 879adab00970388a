//! Broken calls: the daemon refuses each with place, reason and remedy, does not die, and changes nothing.
//! (Broken YAML is in `config/broken`; broken drive files and sockets are in `daemon/tests`.)

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;

use basalt_tests::daemon::{Daemon, Place};
use basalt_tests::{machine, wait};
use raid::format::{self, COPY_OFFSETS, SUPERBLOCK_BYTES, Superblock};
use serde_json::{Value, json};

const DRIVES: &str = "
drives:
  - { name: d0, file: { path: d0.img, size: 64MiB } }
  - { name: d1, file: { path: d1.img, size: 64MiB } }
  - { name: d2, file: { path: d2.img, size: 64MiB } }
  - { name: d3, file: { path: d3.img, size: 64MiB } }
  - { name: tiny, file: { path: tiny.img, size: 8MiB } }
  - { name: big_blocks, file: { path: big.img, size: 64MiB }, block_size: 4096 }
  - { name: m0, memory: { size: 32MiB } }
arrays:
  - { name: low, level: raid1, members: [d0, d1] }
  - { name: high, level: raid0, members: [low, d2], metadata: none }  # no heartbeat of its own in low's data
";

/// (method, parameters, what the answer must say).
fn broken_calls() -> Vec<(&'static str, Value, &'static str)> {
    let create = |more: Value| {
        let mut params = json!({ "name": "new", "level": "raid1", "members": ["d3", "m0"] });
        let params_map = params.as_object_mut().expect("an object");
        params_map.extend(more.as_object().expect("an object").clone());
        params_map.retain(|_, value| *value != json!("(left out)"));
        ("bdev_basalt_create", params)
    };
    let with = |(method, params), says| (method, params, says);
    vec![
        with(create(json!({ "name": "(left out)" })), "missing field `name`"),
        with(create(json!({ "name": 7 })), "invalid type"),
        with(create(json!({ "name": "" })), "no name for an array"),
        with(create(json!({ "name": "a b" })), "letters, digits"),
        with(create(json!({ "name": "low" })), "there is an array 'low' already"),
        with(create(json!({ "name": "d3" })), "can't be its own member"),
        with(create(json!({ "name": "d2" })), "there is a bdev 'd2' already"),
        with(create(json!({ "colour": "blue" })), "unknown field `colour`"),
        with(create(json!({ "level": "raid7" })), "concat, raid0, raid1, raid10"),
        with(create(json!({ "level": "raid5" })), "later version"),
        with(create(json!({ "level": 1 })), "invalid type"),
        with(create(json!({ "members": "d3" })), "invalid type"),
        with(create(json!({ "members": [] })), "raid1 needs 2 to 32 members, and got 0"),
        with(create(json!({ "members": ["d3"] })), "raid1 needs 2 to 32 members, and got 1"),
        with(create(json!({ "members": ["d3", "d3"] })), "listed twice"),
        with(create(json!({ "members": ["d3", "d1"] })), "belongs to array 'low'"),
        with(create(json!({ "members": ["d3", "nowhere"] })), "there is no drive 'nowhere'"),
        with(create(json!({ "members": [null, null] })), "every slot is missing"),
        with(create(json!({ "members": ["d3", "big_blocks"] })), "use drives with one block size"),
        with(create(json!({ "members": ["d3", "tiny"] })), "slot 1 has 16384 blocks"),
        with(create(json!({ "level": "raid0", "members": ["d3", null] })), "fill the slots"),
        with(create(json!({ "level": "raid10", "layout": "near=5" })), "near must be from 2"),
        with(create(json!({ "level": "raid10", "layout": "far=2" })), "near=N"),
        with(create(json!({ "layout": "left-symmetric" })), "leave it out"),
        with(create(json!({ "chunk_kb": 64 })), "has no chunks"),
        with(create(json!({ "level": "raid0", "chunk_kb": 48 })), "power of two"),
        with(create(json!({ "level": "raid0", "chunk_kb": 0 })), "power of two"),
        with(create(json!({ "region_kb": 3 })), "power of two"),
        with(create(json!({ "data_offset_kb": 4 })), "at least 8192"),
        with(create(json!({ "data_offset_kb": 1u64 << 50 })), "are needed before any data fits"),
        with(create(json!({ "consistency": "log" })), "raid5 and raid6"),
        with(create(json!({ "consistency": "maybe" })), "use auto, bitmap or none"),
        with(create(json!({ "consistency": "bitmap", "metadata": "none" })), "needs a place on the drives"),
        with(create(json!({ "existing": "ignore" })), "unknown variant"),
        with(create(json!({ "initial": "zero" })), "comes with sync jobs"),
        with(create(json!({ "spares": ["m0"] })), "spares come with rebuild"),
        with(create(json!({ "assume_durable": ["d0"] })), "not a member"),
        with(create(json!({ "max_errors": { "write": 3 } })), "must be 1"),
        with(create(json!({ "on_failed": "panic" })), "unknown variant"),
        with(create(json!({ "uuid": "xyz" })), "UUID"),
        ("bdev_basalt_delete", json!({ "name": "nowhere" }), "basalt status"),
        ("bdev_basalt_delete", json!({ "name": "low" }), "is a member of array 'high'"),
        ("bdev_basalt_delete", json!({}), "missing field `name`"),
        ("bdev_basalt_fail_member", json!({ "name": "nowhere", "drive": "d0" }), "there is no array"),
        ("bdev_basalt_fail_member", json!({ "name": "low", "drive": "d9" }), "its members are d0, d1"),
        ("bdev_basalt_fail_member", json!({ "name": "high", "drive": "d2" }), "would lose them"),
        ("bdev_basalt_fail_member", json!({ "name": "low" }), "missing field `drive`"),
        ("bdev_basalt_remove_member", json!({ "name": "low", "drive": "d0" }), "fail it first"),
        ("bdev_basalt_stop", json!({ "name": "nowhere" }), "there is no array"),
        ("bdev_basalt_stop", json!({ "name": "low" }), "is a member of array 'high'"),
        ("bdev_basalt_start", json!({ "name": "nowhere" }), "there is no array 'nowhere' that waits"),
        ("bdev_basalt_start", json!({ "name": "low" }), "there is no array 'low' that waits"),
        ("bdev_basalt_start", json!({ "name": "low", "really": true }), "unknown field `really`"),
        ("bdev_basalt_resolve", json!({ "name": "low" }), "missing field `keep`"),
        ("bdev_basalt_resolve", json!({ "name": "low", "keep": "d0" }), "there is no array 'low' that waits"),
        ("bdev_basalt_add_member", json!({ "name": "low", "drive": "d3" }), "comes with rebuild"),
        ("bdev_basalt_start_sync", json!({ "name": "low" }), "later version"),
        ("bdev_basalt_get_events", json!({ "name": "nowhere" }), "there is no array"),
        ("bdev_basalt_get_events", json!({ "name": "low", "since": -1 }), "invalid value"),
        ("bdev_basalt_get_arrays", json!({ "name": "nowhere" }), "there is no array"),
        ("bdev_basalt_get_arrays", json!([1, 2]), "Invalid parameters"),
        ("bdev_basalt_file_create", json!({ "name": "d0", "path": "x.img", "size_bytes": 1 << 20 }), "d0"),
        ("bdev_basalt_no_such_method", json!({}), "Method not found"),
    ]
}

/// Puts what the superblocks of a drive say in their place, but for the heartbeat, which beats all the time.
fn still(mut bytes: Vec<u8>) -> (Vec<u8>, Option<Superblock>) {
    let area = COPY_OFFSETS.map(|at| at as usize..at as usize + SUPERBLOCK_BYTES);
    if bytes.len() < area[1].end {
        return (bytes, None);
    }
    let copies = area.clone().map(|area| format::decode(&bytes[area]));
    let newest = copies.into_iter().flatten().max_by_key(|superblock| superblock.version);
    if newest.is_some() {
        area.into_iter().for_each(|area| bytes[area].fill(0));
    }
    (bytes, newest.map(|superblock| Superblock { version: 0, heartbeat_ms: 0, ..superblock }))
}

type Contents = BTreeMap<String, (Vec<u8>, Option<Superblock>)>;

/// Everything that a refused call could have changed.
fn state(daemon: &Daemon, folder: &Path) -> (Value, Value, Contents) {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("our folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "img") {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            files.insert(name, still(std::fs::read(&path).expect("a drive file")));
        }
    }
    let bdevs = daemon.call("bdev_get_bdevs", json!({}));
    let names = bdevs.as_array().expect("bdevs").iter().map(|bdev| bdev["name"].clone()).collect();
    (daemon.call("bdev_basalt_get_arrays", json!({})), names, files)
}

#[test]
fn broken_calls_are_refused_and_change_nothing() {
    let _alone = machine::alone();
    let place = Place::new();
    let daemon = place.run("cores: [0]", DRIVES);
    // The first superblocks and log pages are written after the answer that the array is there.
    let mut before = state(&daemon, place.folder());
    wait::until("the arrays to have written what they begin with", || {
        let earlier = std::mem::replace(&mut before, state(&daemon, place.folder()));
        if earlier == before { Ok(()) } else { Err("the drives still change".to_owned()) }
    });
    for (method, params, says) in broken_calls() {
        let error = daemon.try_call(method, params.clone()).expect_err("it must be refused");
        let message = error.message();
        assert!(message.contains(says), "{method} {params}\nsays: {message}\nand not: {says}");
    }
    let after = state(&daemon, place.folder());
    assert!(before.0 == after.0, "the arrays changed: {:#}\n{:#}", before.0, after.0);
    assert_eq!(before.1, after.1, "the bdevs changed");
    for (name, (bytes, superblock)) in &before.2 {
        let (bytes_after, superblock_after) = &after.2[name];
        assert_eq!(superblock, superblock_after, "the superblock of {name} changed");
        let at = bytes.iter().zip(bytes_after).position(|(before, after)| before != after);
        assert_eq!(at, None, "{name} changed");
    }
    daemon.stop_well();
}

#[test]
fn what_is_no_json_rpc_at_all_does_not_end_the_daemon() {
    let _alone = machine::alone();
    let place = Place::new();
    let daemon = place.run("cores: [0]", DRIVES);
    for garbage in
        ["", "{", "[]", "null", "\u{0}\u{1}\u{2}", "{\"jsonrpc\":\"2.0\"}", "GET / HTTP/1.1\r\n\r\n"]
    {
        let mut stream = UnixStream::connect(place.socket()).expect("the daemon listens");
        stream.write_all(garbage.as_bytes()).expect("it reads");
        // The answer, if there is one, is SPDK's; what counts is that the next caller is served.
        assert_eq!(daemon.array("low")["state"], "active", "after {garbage:?}");
    }
    daemon.stop_well();
}
