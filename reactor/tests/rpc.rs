//! The RPC methods of SPDK's event framework: same fields, same kinds of values (`lib/event/app_rpc.c`,
//! `log_rpc.c`).

#[path = "harness/client.rs"]
mod client;
mod harness;
#[path = "harness/spdk.rs"]
mod spdk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::call;
use reactor::executor::timeout;
use reactor::mailbox::{Class, Mailbox};
use reactor::shutdown;
use serde_json::{Value, json};
use spdk_rs::cpuset::CpuSet;
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::rpc::listen;
use spdk_rs::thread::{ThreadBound, ThreadHandle};

#[test]
fn rpc() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("rpc.sock");
    let finished = harness::runtime(&[0, 1]).run(main(socket)).expect("it starts");
    assert_eq!(finished.stuck_threads, Vec::<String>::new());
}

async fn main(socket: PathBuf) {
    spdk::start(&[]).await;
    let server = listen(&socket).expect("it listens");
    assert_eq!(get(&socket, "framework_wait_init").await, true);
    reactors(&socket).await;
    threads(&socket).await;
    pollers(&socket).await;
    io_channels(&socket).await;
    cpumask(&socket).await;
    scheduler(&socket).await;
    log(&socket).await;
    others_are_there(&socket).await;
    kill_instance(&socket).await;
    drop(server);
    spdk::stop().await;
}

/// The fields of an object; `optional` ones may be there.
#[track_caller]
fn assert_fields(object: &Value, fields: &[&str], optional: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    let required: BTreeSet<&str> = fields.iter().copied().collect();
    let allowed: BTreeSet<&str> = fields.iter().chain(optional).copied().collect();
    assert!(found.is_superset(&required) && found.is_subset(&allowed), "{found:?}");
}

#[track_caller]
fn items(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

#[track_caller]
fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    items(list).iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

async fn get(socket: &Path, method: &str) -> Value {
    let refused = call(socket, method, Some(json!({"surplus": 1}))).await.expect_err("no parameters");
    assert_eq!(refused["code"], -32602, "{refused}");
    call(socket, method, None).await.expect("an answer")
}

async fn reactors(socket: &Path) {
    let report = get(socket, "framework_get_reactors").await;
    assert_fields(&report, &["tick_rate", "pid", "reactors"], &[]);
    assert_eq!(report["pid"], std::process::id());
    assert!(report["tick_rate"].as_u64() > Some(1_000_000));
    let reactors = items(&report["reactors"]);
    assert_eq!(reactors.iter().map(|reactor| &reactor["lcore"]).collect::<Vec<_>>(), [&json!(0), &json!(1)]);
    for reactor in reactors {
        let fields = ["lcore", "tid", "busy", "idle", "in_interrupt", "irq", "sys", "usr", "lw_threads"];
        assert_fields(reactor, &fields, &["core_freq"]);
        assert_eq!(reactor["in_interrupt"], false);
        assert!(reactor["busy"].as_u64() > Some(0) && reactor["idle"].as_u64() > Some(0), "{reactor}");
        assert!(!items(&reactor["lw_threads"]).is_empty());
        for thread in items(&reactor["lw_threads"]) {
            assert_fields(thread, &["name", "id", "cpumask", "elapsed"], &[]);
        }
    }
    assert_ne!(reactors[0]["tid"], reactors[1]["tid"]);
    assert_eq!(named(&reactors[0]["lw_threads"], "app_thread")["cpumask"], "1");
    assert_eq!(named(&reactors[1]["lw_threads"], "reactor_1")["cpumask"], "2");
}

async fn threads(socket: &Path) {
    let report = get(socket, "thread_get_stats").await;
    assert_fields(&report, &["tick_rate", "threads"], &[]);
    for thread in items(&report["threads"]) {
        let counts = ["active_pollers_count", "timed_pollers_count", "paused_pollers_count"];
        assert_fields(thread, &[&["name", "id", "cpumask", "busy", "idle"][..], &counts].concat(), &[]);
    }
    let app = named(&report["threads"], "app_thread");
    assert_eq!(app["id"], 1);
    assert!(app["timed_pollers_count"].as_u64() >= Some(1), "the RPC server's: {app}");
}

async fn pollers(socket: &Path) {
    let active = Poller::register("test_active", 0, || Busy::No);
    let timed = Poller::register("test_timed", 1_000_000, || Busy::No);
    let report = get(socket, "thread_get_pollers").await;
    assert_fields(&report, &["tick_rate", "threads"], &[]);
    for thread in items(&report["threads"]) {
        assert_fields(thread, &["name", "id", "active_pollers", "timed_pollers", "paused_pollers"], &[]);
    }
    let app = named(&report["threads"], "app_thread");
    let fields = ["name", "id", "state", "run_count", "busy_count"];
    let found = named(&app["active_pollers"], "test_active");
    assert_fields(found, &fields, &[]);
    assert_eq!((&found["state"], &found["busy_count"]), (&json!("waiting"), &json!(0)));
    assert!(found["run_count"].as_u64() > Some(0));
    let found = named(&app["timed_pollers"], "test_timed");
    assert_fields(found, &[&fields[..], &["period_ticks"]].concat(), &[]);
    assert_eq!(found["period_ticks"], report["tick_rate"]);
    drop((active, timed));
}

async fn io_channels(socket: &Path) {
    let report = get(socket, "thread_get_io_channels").await;
    assert_fields(&report, &["tick_rate", "threads"], &[]);
    for thread in items(&report["threads"]) {
        assert_fields(thread, &["name", "io_channels"], &[]);
        for channel in items(&thread["io_channels"]) {
            assert_fields(channel, &["name", "ref"], &[]);
        }
    }
    named(&report["threads"], "app_thread");
}

/// The core that a thread is on, as `framework_get_reactors` shows it.
async fn lcore(socket: &Path, name: &str) -> u64 {
    let report = get(socket, "framework_get_reactors").await;
    let has = |reactor: &&Value| items(&reactor["lw_threads"]).iter().any(|thread| thread["name"] == name);
    let found: Vec<_> = items(&report["reactors"]).iter().filter(has).collect();
    let [reactor] = found[..] else { panic!("{name} is not on one core: {report}") };
    reactor["lcore"].as_u64().expect("a number")
}

async fn keep_a_poller(thread: &ThreadHandle) -> ThreadBound<Poller> {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    let register = move || {
        let poller = ThreadBound::new(Poller::register("pins", 0, || Busy::No));
        sender.try_send(Class::Data, poller).expect("space");
    };
    thread.send(register).expect("sent");
    answer.recv().await
}

async fn cpumask(socket: &Path) {
    let thread = ThreadHandle::spawn("masked", &CpuSet::of(&[1]).expect("a core")).expect("a thread");
    let set = async |id: u64, cpumask: &str| {
        call(socket, "thread_set_cpumask", Some(json!({"id": id, "cpumask": cpumask}))).await
    };
    let id = thread.id().raw();
    let shown =
        async || named(&get(socket, "thread_get_stats").await["threads"], "masked")["cpumask"].clone();
    assert_eq!(shown().await, "2");
    assert_eq!(set(id, "0x3").await, Ok(json!(true)));
    assert_eq!((shown().await, lcore(socket, "masked").await), (json!("3"), 1));
    assert_eq!(set(id, "0x1").await, Ok(json!(true)));
    assert_eq!((shown().await, lcore(socket, "masked").await), (json!("1"), 0));

    assert_eq!(set(1, "0x2").await.expect_err("the app thread")["code"], -16);
    let poller = keep_a_poller(&thread).await;
    let refused = set(id, "0x2").await.expect_err("it is pinned");
    let message = format!(
        "Thread {id} (masked) can't leave core 0: 1 poller, 1 bound value. Close what uses it there first, \
         or name a mask with core 0"
    );
    assert_eq!(refused, json!({"code": -16, "message": message}));
    assert_eq!((shown().await, lcore(socket, "masked").await), (json!("1"), 0), "nothing was changed");
    thread.send(move || drop(poller)).expect("sent");
    assert_eq!(set(id, "0x2").await, Ok(json!(true)));
    assert_eq!((shown().await, lcore(socket, "masked").await), (json!("2"), 1));

    // One that C code made, with a poller and channels: it moves, and serves on.
    let report = get(socket, "thread_get_stats").await;
    let group = named(&report["threads"], "nvmf_tgt_poll_group_001")["id"].as_u64().expect("a number");
    for core in [0, 1] {
        assert_eq!(set(group, &format!("[{core}]")).await, Ok(json!(true)));
        assert_eq!(lcore(socket, "nvmf_tgt_poll_group_001").await, core);
    }
    let refusals = [
        (999, "0x1", -32602, "Thread 999 does not exist"),
        (id, "zz", -32603, "Invalid cpumask zz"),
        (id, "0xf0", -32603, "No CPU is selected from reactor mask 3"),
    ];
    for (id, mask, code, message) in refusals {
        assert_eq!(set(id, mask).await, Err(json!({"code": code, "message": message})));
    }
}

async fn scheduler(socket: &Path) {
    let report = get(socket, "framework_get_scheduler").await;
    let fields = ["scheduler_name", "scheduler_period", "isolated_core_mask", "scheduling_core"];
    assert_fields(&report, &fields, &["governor_name"]);
    assert_eq!(report["scheduler_name"], "static");
}

async fn log(socket: &Path) {
    for what in ["log_set_level", "log_set_print_level"] {
        let getter = what.replace("set", "get");
        let before = get(socket, &getter).await;
        assert_eq!(call(socket, what, Some(json!({"level": "debug"}))).await, Ok(json!(true)));
        assert_eq!(get(socket, &getter).await, "DEBUG");
        let refused = call(socket, what, Some(json!({"level": "loud"}))).await.expect_err("no such level");
        assert_eq!(refused["code"], -32602);
        assert_eq!(call(socket, what, Some(json!({"level": before}))).await, Ok(json!(true)));
        assert_eq!(get(socket, &getter).await, before);
    }
    let is_set = async || get(socket, "log_get_flags").await["nvmf"].clone();
    assert_eq!(is_set().await, false);
    assert_eq!(call(socket, "log_set_flag", Some(json!({"flag": "nvmf"}))).await, Ok(json!(true)));
    assert_eq!(is_set().await, true);
    assert_eq!(call(socket, "log_clear_flag", Some(json!({"flag": "nvmf"}))).await, Ok(json!(true)));
    assert_eq!(is_set().await, false);
    let refused =
        call(socket, "log_set_flag", Some(json!({"flag": "none such"}))).await.expect_err("no such flag");
    assert_eq!(refused["code"], -32602);
}

/// What SPDK's own libraries register stays theirs, and no name is taken twice (the server would not have
/// started).
async fn others_are_there(socket: &Path) {
    let methods = call(socket, "rpc_get_methods", None).await.expect("an answer");
    for method in ["spdk_get_version", "framework_get_config", "bdev_get_bdevs", "thread_get_stats"] {
        assert!(items(&methods).contains(&json!(method)), "{method}");
    }
}

async fn kill_instance(socket: &Path) {
    let refused = call(socket, "spdk_kill_instance", Some(json!({"sig_name": "SIGSTOP"}))).await;
    assert_eq!(refused.expect_err("not offered")["code"], -32602);
    assert_eq!(shutdown::requests().current(), 0);
    assert_eq!(
        call(socket, "spdk_kill_instance", Some(json!({"sig_name": "SIGTERM"}))).await,
        Ok(json!(true))
    );
    timeout(Duration::from_secs(20), shutdown::requested()).await.expect("the signal is noticed");
}
