//! Errors and delays.

use std::time::{Duration, Instant};

use serde_json::json;
use spdk_rs::bdev::{Channel, IoError, IoErrorKind};

use crate::drive::{BLOCKS, call, faulty, filled, inject, read, wait_for, write};
use crate::in_lab;
use crate::lab::Lab;

fn one_of_each(lab: &mut Lab, channel: &Channel) -> Vec<Result<(), IoError>> {
    let (reading, writing) = lab.on(0, || (channel.read(0, filled(0, 8)), channel.write(0, filled(7, 8))));
    let (flush, unmap) = lab.on(0, || (channel.flush(0, BLOCKS), channel.unmap(0, 8)));
    let zeroes = lab.on(0, || channel.write_zeroes(0, 8));
    let mut results = vec![lab.block_on(0, reading).0, lab.block_on(0, writing).0];
    results.extend([lab.block_on(0, flush), lab.block_on(0, unmap), lab.block_on(0, zeroes)]);
    let reset = lab.on(0, || channel.reset());
    results.push(lab.block_on(0, reset));
    results
}

const OPS: [&str; 6] = ["read", "write", "flush", "unmap", "write_zeroes", "reset"];

#[test]
fn each_error_reaches_the_host_and_no_io_the_base() {
    in_lab("rules::each_error_reaches_the_host_and_no_io_the_base", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        write(lab, &channel, 0, 8, 1).unwrap();
        for (name, kind) in [
            ("media_read", IoErrorKind::Media),
            ("media_write", IoErrorKind::Media),
            ("path", IoErrorKind::Path),
            ("gone", IoErrorKind::Gone),
            ("aborted", IoErrorKind::Aborted),
            ("no_resources", IoErrorKind::Other),
            ("other", IoErrorKind::Other),
        ] {
            let rule = inject(lab, "f", json!({ "ops": OPS, "do": { "error": name } }));
            for result in one_of_each(lab, &channel) {
                assert_eq!(result.unwrap_err().kind, kind, "{name}");
            }
            let report = call(lab, "get", "f");
            let hits = report["rules"].as_array().unwrap().iter().find(|one| one["rule"] == rule).unwrap();
            assert_eq!((&hits["seen"], &hits["hits"]), (&json!(6), &json!(6)));
            assert_eq!(
                lab.call("bdev_basalt_faulty_clear", json!({ "name": "f", "rule": rule })).unwrap(),
                json!({ "cleared": 1 })
            );
            assert_eq!(read(lab, &channel, 0, 8), [1; 8]);
        }
        assert!(one_of_each(lab, &channel).iter().all(Result::is_ok));
        assert_eq!(read(lab, &channel, 0, 8), [0; 8]);
        assert_eq!(call(lab, "get", "f")["counters"]["failed"], 42);
        lab.close(channel);
    });
}

/// One kind of I/O is hit, the others are not.
#[test]
fn each_kind_of_io_is_told_apart() {
    in_lab("rules::each_kind_of_io_is_told_apart", |lab| {
        for cached in [false, true] {
            faulty(lab, cached);
            let channel = lab.open("f");
            for (at, op) in OPS.iter().enumerate() {
                inject(lab, "f", json!({ "ops": [op], "do": { "error": "path" } }));
                let results = one_of_each(lab, &channel);
                let failed: Vec<_> = results
                    .iter()
                    .enumerate()
                    .filter(|(_, result)| result.is_err())
                    .map(|(at, _)| at)
                    .collect();
                assert_eq!(failed, [at], "{op}");
                call(lab, "clear", "f");
            }
            lab.close(channel);
            call(lab, "delete", "f");
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
        }
    });
}

#[test]
fn a_range_some_io_first_and_a_number_of_times() {
    in_lab("rules::a_range_some_io_first_and_a_number_of_times", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        let rule = json!({ "ops": ["write"], "lba": 100, "blocks": 10, "after": 1, "count": 2,
            "do": { "error": "media_write" } });
        inject(lab, "f", rule);
        let tries = [(92, 8), (110, 8), (92, 9), (109, 1), (100, 10), (100, 1)];
        let results: Vec<_> =
            tries.map(|(lba, blocks)| write(lab, &channel, lba, blocks, 3).is_ok()).into_iter().collect();
        assert_eq!(results, [true, true, true, false, false, true]);
        assert_eq!(call(lab, "get", "f")["rules"][0]["state"], "spent");
        lab.close(channel);
    });
}

#[test]
fn a_rule_ends_when_its_time_is_over() {
    in_lab("rules::a_rule_ends_when_its_time_is_over", |lab| {
        faulty(lab, false);
        let channel = lab.open("f");
        inject(lab, "f", json!({ "ops": ["write"], "for_ms": 1500, "do": { "error": "path" } }));
        assert_eq!(write(lab, &channel, 0, 1, 1).unwrap_err().kind, IoErrorKind::Path);
        wait_for(lab, "f", |report| report["rules"][0]["state"] == "expired");
        write(lab, &channel, 0, 1, 1).unwrap();
        lab.close(channel);
    });
}

#[test]
fn a_delay_takes_its_time_and_holds_up_nobody_else() {
    in_lab("rules::a_delay_takes_its_time_and_holds_up_nobody_else", |lab| {
        for cached in [false, true] {
            faulty(lab, cached);
            let channel = lab.open("f");
            let rule = json!({ "ops": ["write"], "lba": 0, "blocks": 8, "do": { "delay_ms": 1000 } });
            inject(lab, "f", rule);
            let begun = Instant::now();
            let slow = lab.on(0, || channel.write(0, filled(1, 8)));
            write(lab, &channel, 8, 8, 2).unwrap();
            assert_eq!(read(lab, &channel, 0, 16), [[0; 8], [2; 8]].concat());
            let report = call(lab, "get", "f");
            assert_eq!(report["held"][0]["state"], "delayed");
            assert!(begun.elapsed() < Duration::from_millis(1000), "this machine is too slow for the test");
            lab.block_on(0, slow).0.unwrap();
            assert!(begun.elapsed() >= Duration::from_millis(1000));
            assert_eq!(read(lab, &channel, 0, 8), [1; 8]);
            lab.close(channel);
            call(lab, "delete", "f");
            assert_eq!(lab.call("bdev_malloc_delete", json!({ "name": "m" })), Ok(json!(true)));
        }
    });
}
