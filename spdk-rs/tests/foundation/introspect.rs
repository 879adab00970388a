//! What clients see of threads, pollers and channels, in SPDK's field names.

use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::introspect::{self, CpumaskRefused};
use spdk_rs::io_device::{IoDevice, Registered};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{ThreadBound, ThreadHandle, current};

use crate::own_process::in_own_process;
use crate::process::Process;

struct Device;

impl IoDevice for Device {
    type Channel = ();
    fn open(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// Runs a collector on the app thread and waits for its report, as JSON.
fn report<T: Serialize + Send + 'static>(
    process: &mut Process,
    collect: impl FnOnce(Box<dyn FnOnce(T)>) -> Result<(), Errno> + Send + 'static,
) -> Value {
    let slot: Arc<Mutex<Option<Value>>> = Arc::default();
    let inside = slot.clone();
    process
        .on_app(move || {
            let app = current();
            collect(Box::new(move |report| {
                assert_eq!(current(), app, "done is called where it was asked");
                *inside.lock().unwrap() = Some(serde_json::to_value(&report).unwrap());
            }))
        })
        .unwrap();
    process.poll_until(|| slot.lock().unwrap().is_some());
    slot.lock().unwrap().take().unwrap()
}

#[test]
fn introspection() {
    in_own_process(test_name!(), run);
}

fn run() {
    assert_eq!(introspect::thread_stats(|_| unreachable!()), Err(Errno::ESRCH));
    let mut process = Process::start();
    let worker = ThreadHandle::spawn("worker", &CpuSet::all()).unwrap();
    let kept = process.on_app(|| {
        let device = Registered::new("dev", Device).unwrap();
        let channels = (device.channel().unwrap(), device.channel().unwrap());
        let pollers =
            (Poller::register("spin", 0, || Busy::Yes), Poller::register("tick", 1000, || Busy::No));
        ThreadBound::new((channels, pollers, device))
    });

    stats(&mut process, &worker);
    pollers(&mut process);
    channels(&mut process);
    cpumask(&mut process, &worker);

    drop(worker);
    process.on_app(move || drop(kept));
    process.stop();
}

fn stats(process: &mut Process, worker: &ThreadHandle) {
    let stats = report(process, introspect::thread_stats);
    assert!(stats["tick_rate"].as_u64().unwrap() > 0);
    let [app, other] = stats["threads"].as_array().unwrap().as_slice() else { panic!("{stats}") };
    assert_eq!((&app["name"], &app["id"]), (&json!("app"), &json!(process.app().id())));
    assert_eq!((&other["name"], &other["id"]), (&json!("worker"), &json!(worker.id())));
    assert_eq!(app["active_pollers_count"], 1);
    assert_eq!(app["timed_pollers_count"], 1);
    assert_eq!(app["paused_pollers_count"], 0);
    assert!(app["busy"].as_u64().unwrap() > 0 && app["idle"].is_u64());
    let cores = CpuSet::of(&process.cores()).unwrap();
    assert_eq!(app["cpumask"], cores.to_string(), "only cores of this process");
}

fn pollers(process: &mut Process) {
    let pollers = report(process, introspect::pollers);
    let app = &pollers["threads"][0];
    let spin = &app["active_pollers"][0];
    assert_eq!((&spin["name"], &spin["state"]), (&json!("spin"), &json!("waiting")));
    assert!(spin["run_count"].as_u64().unwrap() > 0);
    assert_eq!(spin["run_count"], spin["busy_count"]);
    assert!(spin.get("period_ticks").is_none());
    let tick = &app["timed_pollers"][0];
    assert_eq!(tick["name"], "tick");
    assert_eq!(tick["busy_count"], 0);
    assert_eq!(tick["period_ticks"].as_u64().unwrap(), spdk_rs::env::ticks_hz() / 1000);
    assert_eq!(app["paused_pollers"], json!([]));
}

fn channels(process: &mut Process) {
    let channels = report(process, introspect::io_channels);
    assert_eq!(channels["threads"][0]["io_channels"], json!([{"name": "dev", "ref": 2}]));
    assert_eq!(channels["threads"][1], json!({"name": "worker", "io_channels": []}));
}

fn cpumask(process: &mut Process, worker: &ThreadHandle) {
    let core = process.cores()[0];
    let id = worker.id();
    let mut set = |id, mask: CpuSet| {
        let outcome: Arc<Mutex<Option<Result<(), CpumaskRefused>>>> = Arc::default();
        let slot = outcome.clone();
        process
            .on_app(move || {
                introspect::set_cpumask(id, mask, move |result| *slot.lock().unwrap() = Some(result))
            })
            .unwrap();
        process.poll_until(|| outcome.lock().unwrap().is_some());
        outcome.lock().unwrap().take().unwrap()
    };
    assert_eq!(set(id, CpuSet::of(&[core, 99]).unwrap()), Ok(()));
    assert_eq!(
        set(id, CpuSet::of(&[99]).unwrap()),
        Err(CpumaskRefused::NoCore),
        "none of this process's cores"
    );
    assert_eq!(process.rescheduled(), [id]);
    let mask = process.threads().iter().find(|thread| thread.id() == id).unwrap().cpumask();
    assert_eq!(mask, CpuSet::of(&[core, 99]).unwrap());
}
