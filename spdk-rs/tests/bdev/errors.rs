//! What fails below is seen above as what it is; aborts and resets.

use serde_json::json;
use spdk_rs::bdev::{Channel, Descriptor, IoError, IoErrorKind, IoKind};
use spdk_rs::dma::DmaBuf;
use spdk_rs::error::Errno;
use spdk_rs::module::BdevSpec;

use crate::host::Host;
use crate::in_lab;
use crate::lab::Lab;
use crate::leaf::{Leaf, Mode};
use crate::stripe::Stripe;

fn open(lab: &mut Lab, name: &str) -> Channel {
    lab.on_app(|| Descriptor::open(name, true, |_| {}).expect("it exists").channel().expect("a channel"))
}

fn buffer(lab: &mut Lab, blocks: usize) -> DmaBuf {
    lab.on_app(|| DmaBuf::new(blocks * 512, 4096).expect("memory"))
}

fn read(lab: &mut Lab, channel: &Channel, lba: u64, blocks: usize) -> Result<(), IoError> {
    let buffer = buffer(lab, blocks);
    let reading = lab.on_app(|| channel.read(lba, buffer));
    lab.block_on(reading).0
}

fn inject(lab: &mut Lab, name: &str, io_type: &str, error_type: &str, num: u32) {
    let params = json!({ "name": name, "io_type": io_type, "error_type": error_type, "num": num });
    lab.rpc("bdev_error_inject_error", params);
}

#[test]
fn a_media_error_of_a_member_is_one_for_the_host() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        let (stripe, _) = lab.on_app(|| Stripe::register("s", &["m", "leaf"], 4));
        let channel = open(lab, "s");
        let host = lab.on_app(|| Host::open("s"));
        for (error, status) in [
            (IoError::MEDIA_READ, (2, 0x81)),
            (IoError::from_nvme(2, 0x82), (2, 0x82)),
            (IoError::from_nvme(3, 0x60), (3, 0x60)),
            (IoError::ABORTED, (0, 7)),
            (IoError { kind: IoErrorKind::Other, sct: 0, sc: 0 }, (0, 6)),
        ] {
            controls.set(Mode::Fail(error));
            assert_eq!(read(lab, &channel, 0, 4), Ok(()), "only m is asked");
            let result = read(lab, &channel, 2, 9);
            assert_eq!(result, Err(IoError::from_nvme(status.0 as u8, status.1 as u8)));
            let reply = lab.on_app(|| host.read_without_buffer(4, 1));
            let mut answer = None;
            lab.until("an answer", |_| {
                answer = reply.take();
                answer.is_some()
            });
            assert_eq!(answer.map(|answer| (answer.success, answer.status)), Some((false, status)));
        }
        lab.on_app(|| host.close());
        lab.on_app(|| drop((channel, stripe, leaf)));
    });
}

#[test]
fn injected_errors_pass_through() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        lab.rpc("bdev_error_create", json!({ "base_name": "m" }));
        let (stripe, _) = lab.on_app(|| Stripe::register("s", &["EE_m"], 4));
        let channel = open(lab, "s");
        inject(lab, "EE_m", "read", "failure", 1);
        assert_eq!(read(lab, &channel, 0, 12), Err(IoError::OTHER), "one of three children");
        assert_eq!(read(lab, &channel, 0, 12), Ok(()));
        // A bdev that is out of resources is asked again by SPDK.
        inject(lab, "EE_m", "read", "nomem", 3);
        assert_eq!(read(lab, &channel, 0, 12), Ok(()));
        // A flush that the member does not know.
        let flushing = lab.on_app(|| channel.flush(0, 64));
        assert_eq!(lab.block_on(flushing), Ok(()));
        lab.on_app(|| drop((channel, stripe)));
    });
}

#[test]
fn what_a_device_does_not_do_never_reaches_it() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        *controls.supported.lock().unwrap() = vec![IoKind::Read];
        let channel = open(lab, "leaf");
        let unmapping = lab.on_app(|| channel.unmap(0, 8));
        assert_eq!(lab.block_on(unmapping), Err(IoError::NOT_SUPPORTED));
        let resetting = lab.on_app(|| channel.reset());
        assert_eq!(lab.block_on(resetting), Err(IoError::NOT_SUPPORTED));
        assert_eq!(*controls.seen.lock().unwrap(), []);
        lab.on_app(|| drop((channel, leaf)));
    });
}

#[test]
fn impossible_requests_fail_without_being_sent() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        let channel = open(lab, "m");
        assert_eq!(read(lab, &channel, 60, 5), Err(IoError::OTHER), "beyond the end");
        let odd = lab.on_app(|| channel.read(0, DmaBuf::new(700, 512).expect("memory")));
        assert_eq!(lab.block_on(odd).0, Err(IoError::OTHER), "not whole blocks");
        let reader =
            lab.on_app(|| Descriptor::open("m", false, |_| {}).expect("m").channel().expect("a channel"));
        let buffer = buffer(lab, 1);
        let writing = lab.on_app(|| reader.write(0, buffer));
        assert_eq!(lab.block_on(writing).0, Err(IoError::OTHER), "open to read only");
        lab.on_app(|| drop((channel, reader)));
    });
}

#[test]
fn a_child_that_spdk_gives_up_at_once_is_an_error_of_submission() {
    in_lab(test_name!(), |lab| {
        // SPDK has to split by segments, and finds none that is a whole block.
        let spec = BdevSpec { max_segments: 1, max_segment_bytes: 4096, ..BdevSpec::new("leaf", 512, 64) };
        let (leaf, controls) = lab.on_app(|| Leaf::register(spec));
        let (stripe, _) = lab.on_app(|| Stripe::register("s", &["leaf"], 64));
        let host = lab.on_app(|| Host::open("s"));
        let mut memory = buffer(lab, 2);
        let base = memory.as_mut_ptr();
        let pieces: Vec<_> = (0..4).map(|n| (base.wrapping_add(n * 256), 256)).collect();
        let reply = lab.on_app(|| host.read(0, 2, &pieces));
        let mut answer = None;
        lab.until("an answer", |_| {
            answer = reply.take();
            answer.is_some()
        });
        assert_eq!(answer.map(|answer| (answer.success, answer.status)), Some((false, (0, 6))));
        assert_eq!(*controls.seen.lock().unwrap(), []);
        lab.on_app(|| host.close());
        lab.on_app(|| drop((stripe, leaf, memory)));
    });
}

#[test]
fn an_abort_reaches_the_io_it_is_for() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        let (stripe, _) = lab.on_app(|| Stripe::register("s", &["leaf"], 8));
        let channel = open(lab, "s");
        controls.set(Mode::Hold);
        let buffers = [buffer(lab, 2), buffer(lab, 2)];
        let [first, second] = lab.on_app(|| buffers.map(|buffer| channel.write(3, buffer)));
        lab.until("both have come", |_| controls.held() == 2);
        assert_eq!(lab.on_app(|| second.abort()), Ok(()));
        let (result, _) = lab.block_on(second);
        assert_eq!(result, Err(IoError::ABORTED));
        assert_eq!(controls.held(), 1, "the other one stays");
        lab.on_app(|| controls.release(Ok(())));
        // Until the completion was delivered the abort finds nothing, or an I/O that is done.
        assert_eq!(lab.on_app(|| first.abort()), Ok(()));
        assert_eq!(lab.block_on(first).0, Ok(()));
        lab.on_app(|| drop((channel, stripe)));
        lab.on_app(|| drop(leaf));
    });
}

#[test]
fn aborting_after_the_end_or_without_support_does_no_harm() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        let channel = open(lab, "leaf");
        let writing = {
            let buffer = buffer(lab, 1);
            lab.on_app(|| channel.write(0, buffer))
        };
        lab.until("it is over", |_| channel.in_flight() == 0);
        assert_eq!(lab.on_app(|| writing.abort()), Ok(()));
        assert_eq!(lab.block_on(writing).0, Ok(()));
        lab.on_app(|| drop(channel));
        let gone = lab.begin(|done| {
            leaf.unregister(done);
            Ok(())
        });
        lab.until("the bdev is gone", |_| gone.as_ref().expect("later").borrow().is_some());
        assert!(*controls.dropped.lock().unwrap());

        lab.malloc("m", 512, 64);
        lab.rpc("bdev_error_create", json!({ "base_name": "m" }));
        let channel = open(lab, "EE_m");
        inject(lab, "EE_m", "write", "pending", 1);
        let writing = {
            let buffer = buffer(lab, 1);
            lab.on_app(|| channel.write(0, buffer))
        };
        let abort = lab.on_app(|| writing.abort());
        assert!(matches!(abort, Ok(()) | Err(Errno::ENOTSUP)), "{abort:?}");
        let resetting = lab.on_app(|| channel.reset());
        assert_eq!(lab.block_on(writing).0, Err(IoError::ABORTED), "by the reset");
        assert_eq!(lab.block_on(resetting), Ok(()));
        lab.on_app(|| drop(channel));
    });
}

#[test]
fn a_reset_brings_everything_back() {
    in_lab(test_name!(), |lab| {
        for name in ["m", "n"] {
            lab.malloc(name, 512, 64);
            lab.rpc("bdev_error_create", json!({ "base_name": name }));
        }
        let (stripe, _) = lab.on_app(|| Stripe::register("s", &["EE_m", "EE_n"], 4));
        let channel = open(lab, "s");
        inject(lab, "EE_m", "read", "pending", 3);
        let buffers: Vec<_> = (0..5).map(|_| buffer(lab, 8)).collect();
        let readings: Vec<_> =
            lab.on_app(|| buffers.into_iter().map(|buffer| channel.read(0, buffer)).collect());
        lab.until("what does not hang has come back", |_| channel.in_flight() == 3);
        let resetting = lab.on_app(|| channel.reset());
        assert_eq!(lab.block_on(resetting), Ok(()));
        let results: Vec<_> = readings.into_iter().map(|reading| lab.block_on(reading).0).collect();
        assert_eq!(
            results.iter().filter(|&&result| result == Err(IoError::ABORTED)).count(),
            3,
            "{results:?}"
        );
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2, "{results:?}");
        assert_eq!(read(lab, &channel, 0, 8), Ok(()), "and goes on");
        lab.on_app(|| drop((channel, stripe)));
    });
}
