//! SPDK's own RPC client (`spdk` on PyPI) against the daemon: it finds what it finds in an application of
//! SPDK's.

use std::process::Command;
use std::time::Duration;

use basalt_tests::child::{Child, Ended};
use basalt_tests::daemon::{NQN, Place};
use basalt_tests::machine;
use basalt_tests::wait::PATIENCE;
use serde_json::Value;

/// It is installed if need be.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(240);

const MIRROR: &str = "
drives:
  - { name: d0, file: { path: d0.img, size: 16MiB } }
  - { name: d1, memory: { size: 16MiB } }
arrays:
  - { name: data, level: raid1, members: [d0, d1] }
";

struct Client<'a> {
    program: String,
    place: &'a Place,
}

impl Client<'_> {
    fn run(&self, line: &str) -> Ended {
        let mut command = Command::new(&self.program);
        command.arg("-s").arg(self.place.socket()).args(line.split(' '));
        Child::spawn("spdk-rpc", &mut command).wait(PATIENCE)
    }

    /// A command that must succeed, and what it prints: JSON, or nothing.
    fn ask(&self, line: &str) -> Value {
        let ended = self.run(line);
        assert!(ended.status.success(), "{line}: {}{}", ended.stdout, ended.stderr);
        match ended.stdout.trim() {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|error| panic!("{line}: {error}: {json}")),
        }
    }
}

fn install() -> String {
    let script = machine::root().join("scripts/stock-client");
    let ended = Child::spawn("scripts/stock-client", &mut Command::new(script)).wait(INSTALL_TIMEOUT);
    assert!(ended.status.success(), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

/// The list at `path`, which must not be empty, each of its objects with these keys.
fn list<'a>(answer: &'a Value, path: &str, keys: &[&str]) -> &'a Vec<Value> {
    let list = answer.pointer(path).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("a list at {path} of {answer:#}"));
    assert!(!list.is_empty(), "{path} of {answer:#}");
    for one in list {
        for key in keys {
            assert!(one.get(key).is_some(), "no {key} in {one:#}");
        }
    }
    list
}

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(|one| one["name"].as_str()).collect()
}

#[test]
fn it_lists_what_runs() {
    let _alone = machine::alone();
    let (program, place) = (install(), Place::new());
    let runtime = format!("cores: [{}]", machine::cores(2));
    let daemon = place.run(&runtime, &(MIRROR.to_owned() + &Place::export(&["data"])));
    let client = Client { program, place: &place };

    let bdevs = client.ask("bdev_get_bdevs");
    let bdevs =
        list(&bdevs, "", &["name", "uuid", "block_size", "num_blocks", "supported_io_types", "claimed"]);
    assert_eq!(names(bdevs), ["d0", "d1", "data"]);
    let array = bdevs.iter().find(|bdev| bdev["name"] == "data").expect("just seen");
    assert_eq!(array["product_name"], "Basalt raid1");
    assert_eq!(list(&client.ask("bdev_get_bdevs -b data"), "", &[]).len(), 1);

    let subsystems = client.ask("nvmf_get_subsystems");
    let subsystems = list(&subsystems, "", &["nqn", "subtype", "listen_addresses", "hosts"]);
    let ours = subsystems.iter().find(|one| one["nqn"] == NQN).expect("our export");
    assert_eq!(ours["namespaces"][0]["bdev_name"], "data");
    assert_eq!(ours["namespaces"][0]["uuid"], array["uuid"]);
    assert_eq!(ours["listen_addresses"][0]["trsvcid"], place.port.to_string());

    let subsystems = client.ask("framework_get_subsystems");
    let subsystems = list(&subsystems, "", &["subsystem", "depends_on"]);
    assert!(
        ["bdev", "nvmf", "sock"].iter().all(|name| subsystems.iter().any(|one| one["subsystem"] == *name))
    );
    assert_eq!(client.ask("framework_get_scheduler")["scheduler_name"], "static");
    list(&client.ask("rpc_get_methods"), "", &[]);
    list(&client.ask("bdev_get_iostat"), "/bdevs", &["name", "num_read_ops", "num_write_ops"]);
    list(&client.ask("nvmf_get_stats"), "/poll_groups", &["name", "io_qpairs", "transports"]);
    assert!(
        client.ask("spdk_get_version")["version"].as_str().is_some_and(|version| version.contains("SPDK"))
    );
    daemon.stop_well();
}

/// What `spdk_top` asks.
#[test]
fn it_sees_reactors_and_threads() {
    let _alone = machine::alone();
    let (program, place) = (install(), Place::new());
    let cores = machine::cores(2);
    let daemon = place.run(&format!("cores: [{cores}]"), &(MIRROR.to_owned() + &Place::export(&["data"])));
    let client = Client { program, place: &place };

    let reactors = client.ask("framework_get_reactors");
    assert!(reactors["tick_rate"].as_u64().is_some_and(|rate| rate > 0));
    assert_eq!(reactors["pid"], daemon.child.pid());
    let keys = ["lcore", "tid", "busy", "idle", "in_interrupt", "sys", "usr", "lw_threads"];
    let reactors = list(&reactors, "/reactors", &keys);
    let lcores: Vec<String> = reactors.iter().map(|reactor| reactor["lcore"].to_string()).collect();
    assert_eq!(lcores.join(","), cores);
    for reactor in reactors {
        list(reactor, "/lw_threads", &["name", "id", "cpumask", "elapsed"]);
    }

    let threads = client.ask("thread_get_stats");
    let keys = ["name", "id", "cpumask", "busy", "idle", "active_pollers_count", "timed_pollers_count"];
    let threads = list(&threads, "/threads", &keys);
    let all = names(threads);
    assert!(all.contains(&"app_thread") && all.contains(&"basalt_shard_0"), "{all:?}");

    let pollers = client.ask("thread_get_pollers");
    let of_app = |answer: &Value, key: &str| -> Vec<Value> {
        let threads = answer["threads"].as_array().expect("a list");
        let app = threads.iter().find(|thread| thread["name"] == "app_thread").expect("the app thread");
        app[key].as_array().expect("a list").clone()
    };
    let keys = ["active_pollers", "timed_pollers", "paused_pollers", "name", "id"];
    list(&pollers, "/threads", &keys);
    let timed = of_app(&pollers, "timed_pollers");
    assert!(names(&timed).contains(&"rpc_subsystem_poll_servers"), "{timed:?}");
    assert!(timed.iter().all(|poller| poller["period_ticks"].as_u64().is_some()), "{timed:?}");

    let channels = client.ask("thread_get_io_channels");
    let channels = list(&channels, "/threads", &["name", "io_channels"]);
    let open: Vec<&Value> =
        channels.iter().flat_map(|thread| thread["io_channels"].as_array().expect("a list")).collect();
    assert!(open.iter().any(|channel| channel["name"] == "data" && channel["ref"].is_u64()), "{open:?}");
    daemon.stop_well();
}

/// The number of a thread, and the core that it is on.
fn find_thread(client: &Client, name: &str) -> (u64, u64) {
    let answer = client.ask("framework_get_reactors");
    let reactors = list(&answer, "/reactors", &["lcore", "lw_threads"]).iter();
    let found = reactors.flat_map(|reactor| {
        let threads = reactor["lw_threads"].as_array().expect("a list").iter();
        threads.filter(|thread| thread["name"] == name).map(|thread| (&thread["id"], &reactor["lcore"]))
    });
    let found: Vec<_> = found.collect();
    let [(id, core)] = found[..] else { panic!("{name} is not on one core: {answer:#}") };
    (id.as_u64().expect("a number"), core.as_u64().expect("a number"))
}

/// A thread of SPDK's that serves no array moves; one that keeps something of ours stays, and it says what.
#[test]
fn it_moves_threads() {
    let _alone = machine::alone();
    let (program, place) = (install(), Place::new());
    let cores = machine::cores(2);
    let daemon = place.run(&format!("cores: [{cores}]"), MIRROR);
    let client = Client { program, place: &place };
    for core in cores.split(',') {
        let (group, _) = find_thread(&client, "nvmf_tgt_poll_group_000");
        client.ask(&format!("thread_set_cpumask -i {group} -m [{core}]"));
        assert_eq!(find_thread(&client, "nvmf_tgt_poll_group_000").1.to_string(), core);
        let (shard, its_core) = find_thread(&client, "basalt_shard_0");
        if its_core.to_string() != core {
            let refused = client.run(&format!("thread_set_cpumask -i {shard} -m [{core}]"));
            let reason = format!("Thread {shard} (basalt_shard_0) can't leave core {its_core}: ");
            let said = refused.stdout + &refused.stderr;
            assert!(!refused.status.success() && said.contains(&reason), "{said}");
        }
    }
    daemon.stop_well();
}

#[test]
fn it_sets_log_levels() {
    let _alone = machine::alone();
    let (program, place) = (install(), Place::new());
    let daemon = place.run("", MIRROR);
    let client = Client { program, place: &place };
    for level in ["DEBUG", "WARNING"] {
        client.ask(&format!("log_set_level {level}"));
        assert_eq!(client.ask("log_get_level"), level);
        client.ask(&format!("log_set_print_level {level}"));
        assert_eq!(client.ask("log_get_print_level"), level);
    }
    client.ask("log_set_flag bdev");
    assert_eq!(client.ask("log_get_flags")["bdev"], true);
    client.ask("log_clear_flag bdev");
    assert_eq!(client.ask("log_get_flags")["bdev"], false);
    let refused = client.run("log_set_flag no_such_flag");
    assert!(!refused.status.success());
    daemon.stop_well();
}

#[test]
fn it_ends_the_daemon() {
    let _alone = machine::alone();
    let (program, place) = (install(), Place::new());
    let daemon = place.run("", MIRROR);
    // The connection may be gone before the answer has come.
    Client { program, place: &place }.run("spdk_kill_instance SIGTERM");
    let ended = daemon.child.wait(PATIENCE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!place.socket().exists());
}
