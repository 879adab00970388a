//! What the tests do to a faulty drive `f` over a base `m` in memory.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk_rs::bdev::{Channel, IoError};
use spdk_rs::dma::DmaBuf;

use crate::lab::Lab;

pub const BLOCK: usize = 512;
pub const BLOCKS: u64 = 2048;

/// A drive in memory.
#[track_caller]
pub fn memory(lab: &mut Lab, name: &str) {
    let params = json!({ "name": name, "block_size": BLOCK, "num_blocks": BLOCKS });
    assert_eq!(lab.call("bdev_malloc_create", params), Ok(json!(name)));
}

#[track_caller]
pub fn over(lab: &mut Lab, name: &str, base: &str, volatile_cache: bool) {
    let params = json!({ "name": name, "base": base, "volatile_cache": volatile_cache });
    assert_eq!(lab.call("bdev_basalt_faulty_create", params), Ok(json!(name)));
}

/// `f` over `m`.
#[track_caller]
pub fn faulty(lab: &mut Lab, volatile_cache: bool) {
    memory(lab, "m");
    over(lab, "f", "m", volatile_cache);
}

#[track_caller]
pub fn call(lab: &mut Lab, what: &str, name: &str) -> Value {
    lab.call(&format!("bdev_basalt_faulty_{what}"), json!({ "name": name })).unwrap()
}

/// A new rule's number.
#[track_caller]
pub fn inject(lab: &mut Lab, name: &str, rule: Value) -> u64 {
    let params = json!({ "name": name, "rule": rule });
    lab.call("bdev_basalt_faulty_inject", params).unwrap()["rule"].as_u64().unwrap()
}

#[track_caller]
pub fn release(lab: &mut Lab, name: &str, rule: Option<u64>) -> u64 {
    let params = json!({ "name": name, "rule": rule });
    lab.call("bdev_basalt_faulty_release", params).unwrap()["released"].as_u64().unwrap()
}

#[track_caller]
pub fn power_cut(lab: &mut Lab, name: &str, keep: &str, seed: u64) {
    let params = json!({ "name": name, "keep": keep, "seed": seed });
    assert_eq!(lab.call("bdev_basalt_faulty_power_cut", params), Ok(json!(true)));
}

/// Asks the drive about itself until it says what it should.
#[track_caller]
pub fn wait_for(lab: &mut Lab, name: &str, what: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let report = call(lab, "get", name);
        if what(&report) {
            return report;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {report}");
    }
}

/// Until so many I/Os hang or are delayed.
#[track_caller]
pub fn wait_for_held(lab: &mut Lab, name: &str, count: usize) -> Value {
    wait_for(lab, name, |report| report["held"].as_array().unwrap().len() == count)
}

/// The drive is away, and returns.
#[track_caller]
pub fn comes_back(lab: &mut Lab, name: &str) {
    wait_for(lab, name, |report| report["state"] == "absent");
    assert_eq!(call(lab, "return", name), json!(true));
    assert_eq!(call(lab, "get", name)["state"], "present");
}

pub fn filled(byte: u8, blocks: u64) -> DmaBuf {
    let mut buffer = DmaBuf::new(blocks as usize * BLOCK, 4096).unwrap();
    buffer.fill(byte);
    buffer
}

#[track_caller]
pub fn write(lab: &mut Lab, channel: &Channel, lba: u64, blocks: u64, byte: u8) -> Result<(), IoError> {
    let writing = lab.on(0, || channel.write(lba, filled(byte, blocks)));
    lab.block_on(0, writing).0
}

#[track_caller]
pub fn flush(lab: &mut Lab, channel: &Channel) -> Result<(), IoError> {
    let flushing = lab.on(0, || channel.flush(0, BLOCKS));
    lab.block_on(0, flushing)
}

/// The byte that each block is full of.
#[track_caller]
pub fn read(lab: &mut Lab, channel: &Channel, lba: u64, blocks: u64) -> Vec<u8> {
    let reading = lab.on(0, || channel.read(lba, filled(0xee, blocks)));
    let (result, buffer) = lab.block_on(0, reading);
    result.unwrap();
    bytes_of(&buffer)
}

#[track_caller]
pub fn bytes_of(buffer: &[u8]) -> Vec<u8> {
    let byte = |block: &[u8]| {
        assert!(block.iter().all(|byte| *byte == block[0]), "a block is of one write");
        block[0]
    };
    buffer.chunks(BLOCK).map(byte).collect()
}

/// Whether an I/O is still under way.
pub fn is_out(lab: &mut Lab, io: &mut (impl Future + Unpin)) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(lab.on(0, || Pin::new(io).poll(&mut context)), Poll::Pending)
}
