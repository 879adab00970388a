//! I/O that hangs: released, aborted, reset.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use spdk_rs::bdev::IoErrorKind;

use crate::drive::{
    call, faulty, filled, inject, is_out, over, read, release, wait_for, wait_for_held, write,
};
use crate::in_lab;

#[test]
fn what_hangs_goes_on_in_order() {
    in_lab("hang::what_hangs_goes_on_in_order", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        let rule =
            inject(lab, "f", json!({ "ops": ["write"], "lba": 0, "blocks": 100, "do": { "hang": true } }));
        let done = Rc::new(RefCell::new(Vec::new()));
        for n in 0..8u64 {
            let told = Rc::clone(&done);
            lab.on(0, || {
                channel.write_with(n, filled(1 + n as u8, 1), move |result, _| {
                    result.unwrap();
                    told.borrow_mut().push(n);
                });
            });
        }
        let report = wait_for_held(lab, "f", 8);
        assert!(
            report["held"].as_array().unwrap().iter().all(|io| io["state"] == "hangs" && io["op"] == "write")
        );
        write(lab, &channel, 200, 1, 9).unwrap();
        assert_eq!(read(lab, &channel, 0, 8), [0; 8], "nothing has reached the base");
        assert_eq!(release(lab, "f", Some(rule + 1)), 0);
        assert_eq!(release(lab, "f", Some(rule)), 8);
        lab.until("all have ended", |_| done.borrow().len() == 8);
        assert_eq!(*done.borrow(), (0..8).collect::<Vec<_>>());
        assert_eq!(read(lab, &channel, 0, 8), (1..=8).collect::<Vec<u8>>());
        wait_for_held(lab, "f", 0);
        lab.close(channel);
    });
}

#[test]
fn a_rule_that_is_cleared_lets_nothing_go() {
    in_lab("hang::a_rule_that_is_cleared_lets_nothing_go", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        let rule = inject(lab, "f", json!({ "ops": ["read"], "do": { "hang": true } }));
        let mut reading = lab.on(0, || channel.read(0, filled(1, 1)));
        call(lab, "clear", "f");
        assert_eq!(read(lab, &channel, 0, 1), [0]);
        let report = wait_for_held(lab, "f", 1);
        assert_eq!((&report["rules"], &report["held"][0]["rule"]), (&json!([]), &json!(rule)));
        assert!(is_out(lab, &mut reading));
        assert_eq!(release(lab, "f", Some(rule)), 1);
        lab.block_on(0, reading).0.unwrap();
        lab.close(channel);
    });
}

#[test]
fn an_abort_takes_back_what_hangs() {
    in_lab("hang::an_abort_takes_back_what_hangs", |lab| {
        for cached in [false, true] {
            faulty(lab, cached);
            let channel = lab.open("f");
            inject(lab, "f", json!({ "ops": ["write", "flush"], "do": { "hang": true } }));
            let (first, mut second) =
                lab.on(0, || (channel.write(0, filled(1, 1)), channel.write(1, filled(2, 1))));
            let flush = lab.on(0, || channel.flush(0, 1));
            wait_for_held(lab, "f", 3);
            lab.on(0, || first.abort().and(flush.abort())).unwrap();
            assert_eq!(lab.block_on(0, first).0.unwrap_err().kind, IoErrorKind::Aborted);
            assert_eq!(lab.block_on(0, flush).unwrap_err().kind, IoErrorKind::Aborted);
            assert!(is_out(lab, &mut second));
            assert_eq!(release(lab, "f", None), 1);
            lab.block_on(0, second).0.unwrap();
            assert_eq!(read(lab, &channel, 0, 2), [0, 2]);
            lab.close(channel);
            call(lab, "delete", "f");
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
        }
    });
}

/// What hangs in the drive below is aborted there.
#[test]
fn an_abort_reaches_the_base() {
    in_lab("hang::an_abort_reaches_the_base", |lab| {
        faulty(lab, false);
        over(lab, "g", "f", false);
        let channel = lab.open("g");
        inject(lab, "f", json!({ "ops": ["write"], "do": { "hang": true } }));
        let writing = lab.on(0, || channel.write(0, filled(1, 1)));
        wait_for_held(lab, "f", 1);
        lab.on(0, || writing.abort()).unwrap();
        assert_eq!(lab.block_on(0, writing).0.unwrap_err().kind, IoErrorKind::Aborted);
        wait_for_held(lab, "f", 0);
        lab.close(channel);
    });
}

#[test]
fn a_reset_aborts_what_hangs_and_what_is_delayed() {
    in_lab("hang::a_reset_aborts_what_hangs_and_what_is_delayed", |lab| {
        for cached in [false, true] {
            faulty(lab, cached);
            let channel = lab.open("f");
            inject(lab, "f", json!({ "ops": ["write"], "do": { "hang": true } }));
            inject(lab, "f", json!({ "ops": ["read"], "do": { "delay_ms": 3_600_000 } }));
            let aborted = Rc::new(Cell::new(0));
            for n in 0..5 {
                let told = Rc::clone(&aborted);
                lab.on(0, || {
                    channel.write_with(n, filled(1, 1), move |result, _| {
                        assert_eq!(result.unwrap_err().kind, IoErrorKind::Aborted);
                        told.set(told.get() + 1);
                    });
                });
            }
            let slow = lab.on(0, || channel.read(0, filled(0, 1)));
            wait_for_held(lab, "f", 6);
            let reset = lab.on(0, || channel.reset());
            lab.block_on(0, reset).unwrap();
            assert_eq!(aborted.get(), 5, "a reset ends after what it aborts");
            assert_eq!(lab.block_on(0, slow).0.unwrap_err().kind, IoErrorKind::Aborted);
            call(lab, "clear", "f");
            assert_eq!(read(lab, &channel, 0, 5), [0; 5]);
            lab.close(channel);
            call(lab, "delete", "f");
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
        }
    });
}

#[test]
fn a_reset_that_hangs_aborts_nothing_until_it_is_released() {
    in_lab("hang::a_reset_that_hangs_aborts_nothing_until_it_is_released", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        inject(lab, "f", json!({ "ops": ["write"], "do": { "hang": true } }));
        let resets = inject(lab, "f", json!({ "ops": ["reset"], "do": { "hang": true } }));
        let mut writing = lab.on(0, || channel.write(0, filled(1, 1)));
        wait_for_held(lab, "f", 1);
        let reset = lab.on(0, || channel.reset());
        wait_for_held(lab, "f", 2);
        assert!(is_out(lab, &mut writing));
        assert_eq!(release(lab, "f", Some(resets)), 1);
        lab.block_on(0, reset).unwrap();
        assert_eq!(lab.block_on(0, writing).0.unwrap_err().kind, IoErrorKind::Aborted);
        wait_for(lab, "f", |report| report["held"] == json!([]));
        lab.close(channel);
    });
}
