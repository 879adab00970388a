//! Drives come, vanish, return and go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use spdk_rs::bdev::{BdevEvent, Channel, IoErrorKind};

use crate::drive::{
    BLOCKS, call, comes_back, faulty, filled, inject, is_out, memory, over, power_cut, read, release,
    wait_for, wait_for_held, write,
};
use crate::in_lab;
use crate::lab::Lab;

/// Writes over and over until it is told "gone", then lets go of the drive.
struct Writer {
    channel: RefCell<Option<Channel>>,
    out: Cell<usize>,
    good: Cell<u64>,
    gone: Cell<u64>,
}

impl Writer {
    fn start(lab: &mut Lab, name: &str, depth: u64) -> (Rc<Writer>, Rc<Cell<bool>>) {
        let removed = Rc::new(Cell::new(false));
        let told = Rc::clone(&removed);
        let channel = lab.open_with(name, move |event| told.set(event == BdevEvent::Removed));
        let writer = Rc::new(Writer {
            channel: RefCell::new(Some(channel)),
            out: Cell::default(),
            good: Cell::default(),
            gone: Cell::default(),
        });
        lab.on(0, || (0..depth).for_each(|lba| writer.write(lba)));
        (writer, removed)
    }

    fn write(self: &Rc<Self>, lba: u64) {
        let (this, channel) = (Rc::clone(self), self.channel.borrow());
        self.out.set(self.out.get() + 1);
        channel.as_ref().unwrap().write_with(lba, filled(1, 1), move |result, _| {
            this.out.set(this.out.get() - 1);
            match result {
                Ok(()) => {
                    this.good.set(this.good.get() + 1);
                    this.write(lba);
                }
                Err(error) => {
                    assert_eq!(error.kind, IoErrorKind::Gone);
                    this.gone.set(this.gone.get() + 1);
                }
            }
        });
    }
}

#[test]
fn a_drive_vanishes_under_io_and_returns() {
    in_lab("life::a_drive_vanishes_under_io_and_returns", |lab| {
        for cached in [false, true] {
            faulty(lab, cached);
            let before = lab.call("bdev_get_bdevs", json!({ "name": "f" })).unwrap()[0].clone();
            let channel = lab.open("f");
            write(lab, &channel, 1000, 4, 7).unwrap();
            let flush = lab.on(0, || channel.flush(0, BLOCKS));
            lab.block_on(0, flush).unwrap();
            lab.close(channel);
            // Some hang, some are delayed, the others run.
            inject(lab, "f", json!({ "ops": ["write"], "lba": 0, "blocks": 4, "do": { "hang": true } }));
            let rule = json!({ "ops": ["write"], "lba": 4, "blocks": 4, "do": { "delay_ms": 3_600_000 } });
            inject(lab, "f", rule);
            let (writer, removed) = Writer::start(lab, "f", 32);
            wait_for_held(lab, "f", 8);
            lab.until("the others run", |_| writer.good.get() > 1000);

            assert_eq!(call(lab, "vanish", "f"), json!(true));
            lab.until("everything is answered", |_| writer.out.get() == 0);
            assert_eq!(writer.gone.get(), 32);
            lab.until("the host is told", |_| removed.get());
            let report = call(lab, "get", "f");
            assert_eq!((&report["state"], &report["held"]), (&json!("leaving"), &json!([])));
            let (code, message) = lab.call("bdev_basalt_faulty_return", json!({ "name": "f" })).unwrap_err();
            assert!(code == -16 && message.contains("still has it open"), "{code} {message}");
            lab.close(writer.channel.take());
            call(lab, "clear", "f");
            comes_back(lab, "f");

            let after = lab.call("bdev_get_bdevs", json!({ "name": "f" })).unwrap()[0].clone();
            assert_eq!(before, after, "the same name, UUID and shape");
            let channel = lab.open("f");
            assert_eq!(read(lab, &channel, 1000, 4), [7; 4]);
            assert_eq!(read(lab, &channel, 0, 8), [0; 8], "what was held never reached the medium");
            write(lab, &channel, 0, 1, 3).unwrap();
            lab.close(channel);
            call(lab, "delete", "f");
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
        }
    });
}

#[test]
fn a_drive_vanishes_many_times() {
    in_lab("life::a_drive_vanishes_many_times", |lab| {
        faulty(lab, true);
        for round in 0..50u8 {
            let (writer, _) = Writer::start(lab, "f", 8);
            lab.until("writes", |_| writer.good.get() > 100);
            power_cut(lab, "f", if round % 2 == 0 { "torn" } else { "none" }, round.into());
            lab.until("everything is answered", |_| writer.out.get() == 0);
            lab.close(writer.channel.take());
            comes_back(lab, "f");
        }
        assert_eq!(call(lab, "get", "f")["counters"]["gone"], 50 * 8);
    });
}

#[test]
fn io_that_is_with_the_base_is_answered_when_it_is_back() {
    in_lab("life::io_that_is_with_the_base_is_answered_when_it_is_back", |lab| {
        memory(lab, "m");
        over(lab, "g", "m", false);
        for (round, cached) in [(1, false), (2, true)] {
            over(lab, "f", "g", cached);
            let channel = lab.open("f");
            inject(lab, "g", json!({ "ops": ["read", "write"], "do": { "hang": true } }));
            let (mut reading, mut writing) =
                lab.on(0, || (channel.read(0, filled(0, 1)), channel.write(0, filled(round, 1))));
            wait_for_held(lab, "g", if cached { 1 } else { 2 });
            call(lab, "vanish", "f");
            wait_for(lab, "f", |report| report["state"] == "leaving");
            assert!(is_out(lab, &mut reading), "its buffer is still with the base");
            assert!(cached || is_out(lab, &mut writing));
            call(lab, "clear", "g");
            release(lab, "g", None);
            assert_eq!(lab.block_on(0, reading).0.unwrap_err().kind, IoErrorKind::Gone);
            let result = lab.block_on(0, writing).0;
            assert_eq!(
                result.map_err(|error| error.kind),
                if cached { Ok(()) } else { Err(IoErrorKind::Gone) }
            );
            lab.close(channel);
            comes_back(lab, "f");
            let channel = lab.open("f");
            assert_eq!(
                read(lab, &channel, 0, 1),
                [1],
                "the first write was on its way, the second in the cache"
            );
            lab.close(channel);
            call(lab, "delete", "f");
        }
    });
}

/// A reset hangs, and I/O behind it, when the drive vanishes.
#[test]
fn a_reset_that_hangs_ends_with_the_drive() {
    in_lab("life::a_reset_that_hangs_ends_with_the_drive", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        inject(lab, "f", json!({ "ops": ["reset", "write"], "do": { "hang": true } }));
        let writing = lab.on(0, || channel.write(0, filled(1, 1)));
        wait_for_held(lab, "f", 1);
        let reset = lab.on(0, || channel.reset());
        wait_for_held(lab, "f", 2);
        call(lab, "vanish", "f");
        assert_eq!(lab.block_on(0, writing).0.unwrap_err().kind, IoErrorKind::Gone);
        assert_eq!(lab.block_on(0, reset).unwrap_err().kind, IoErrorKind::Gone);
        lab.close(channel);
        comes_back(lab, "f");
    });
}

#[test]
fn what_hangs_in_a_drive_that_is_deleted_goes_on() {
    in_lab("life::what_hangs_in_a_drive_that_is_deleted_goes_on", |lab| {
        faulty(lab, true);
        let removed = Rc::new(Cell::new(false));
        let told = Rc::clone(&removed);
        let channel = lab.open_with("f", move |event| told.set(event == BdevEvent::Removed));
        inject(lab, "f", json!({ "ops": ["write"], "do": { "hang": true } }));
        let mut writing = lab.on(0, || channel.write(0, filled(6, 2)));
        wait_for_held(lab, "f", 1);
        assert!(is_out(lab, &mut writing));
        let deleting = lab.begin_call("bdev_basalt_faulty_delete", json!({ "name": "f" }));
        lab.block_on(0, writing).0.unwrap();
        lab.until("the host is told", |_| removed.get());
        assert!(!deleting.is_finished());
        let again = Rc::new(Cell::new(false));
        let told = Rc::clone(&again);
        lab.on(0, || basalt_drives::faulty::delete("f", move |result| told.set(result.is_ok())));
        lab.close(channel);
        lab.until("it is deleted", |_| deleting.is_finished() && again.get());
        assert_eq!(deleting.join(), Ok(json!(true)));
        // Its base is free, and has what was in the cache.
        let channel = lab.open("m");
        assert_eq!(read(lab, &channel, 0, 3), [6, 6, 0]);
        lab.close(channel);
    });
}

#[test]
fn a_drive_that_is_away_can_be_deleted() {
    in_lab("life::a_drive_that_is_away_can_be_deleted", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        call(lab, "vanish", "f");
        let deleting = lab.begin_call("bdev_basalt_faulty_delete", json!({ "name": "f" }));
        lab.close(channel);
        lab.until("it is deleted", |_| deleting.is_finished());
        over(lab, "f", "m", true);
        call(lab, "vanish", "f");
        wait_for(lab, "f", |report| report["state"] == "absent");
        assert_eq!(call(lab, "delete", "f"), json!(true));
        over(lab, "f", "m", false);
    });
}

#[test]
fn the_base_takes_the_drive_with_it() {
    in_lab("life::the_base_takes_the_drive_with_it", |lab| {
        for away in [false, true] {
            faulty(lab, true);
            if away {
                call(lab, "vanish", "f");
                wait_for(lab, "f", |report| report["state"] == "absent");
            }
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
            let (code, _) = lab.call("bdev_basalt_faulty_get", json!({ "name": "f" })).unwrap_err();
            assert_eq!(code, -19);
            assert_eq!(lab.call("bdev_get_bdevs", json!({})), Ok(json!([])));
        }
    });
}

#[test]
fn config_brings_the_drives_back() {
    in_lab("life::config_brings_the_drives_back", |lab| {
        faulty(lab, true);
        let config = lab.call("framework_get_config", json!({ "name": "bdev" })).unwrap();
        let ours: Vec<_> = config
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["method"] == "bdev_basalt_faulty_create")
            .cloned()
            .collect();
        let params = json!({ "name": "f", "base": "m", "volatile_cache": true });
        assert_eq!(ours, [json!({ "method": "bdev_basalt_faulty_create", "params": params })]);
    });
}

/// The lab stops with a drive that is there with something in its cache, and one that is away.
#[test]
fn spdk_ends_with_drives_alive() {
    in_lab("life::spdk_ends_with_drives_alive", |lab| {
        lab.create("d0", 1 << 20);
        over(lab, "f0", "d0", true);
        let channel = lab.open("f0");
        write(lab, &channel, 0, 1, 1).unwrap();
        lab.close(channel);
        lab.create("d1", 1 << 20);
        over(lab, "f1", "d1", false);
        over(lab, "g1", "f1", false);
        call(lab, "vanish", "g1");
        wait_for(lab, "g1", |report| report["state"] == "absent");
    });
}
