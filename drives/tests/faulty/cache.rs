//! The volatile cache: what is there before and after a power cut.

use serde_json::json;
use spdk_rs::bdev::IoErrorKind;

use crate::drive::{
    BLOCK, BLOCKS, call, comes_back, faulty, filled, flush, inject, is_out, memory, over, power_cut, read,
    release, wait_for, wait_for_held, write,
};
use crate::host::Host;
use crate::in_lab;
use crate::lab::Lab;

/// The power fails while nobody uses the drive, and comes back.
#[track_caller]
fn cut(lab: &mut Lab, keep: &str, seed: u64) {
    power_cut(lab, "f", keep, seed);
    comes_back(lab, "f");
}

#[test]
fn what_was_not_flushed_is_lost_and_what_was_is_not() {
    in_lab("cache::what_was_not_flushed_is_lost_and_what_was_is_not", |lab| {
        faulty(lab, true);
        let channel = lab.open("f");
        write(lab, &channel, 0, 8, 1).unwrap();
        flush(lab, &channel).unwrap();
        write(lab, &channel, 2, 4, 2).unwrap();
        write(lab, &channel, 100, 1, 3).unwrap();
        assert_eq!(read(lab, &channel, 0, 8), [1, 1, 2, 2, 2, 2, 1, 1], "reads see the cache");
        assert_eq!(call(lab, "get", "f")["cache"]["blocks"], 5);
        lab.close(channel);
        cut(lab, "none", 0);
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 8), [1; 8]);
        assert_eq!(read(lab, &channel, 100, 1), [0]);
        assert_eq!(call(lab, "get", "f")["cache"]["blocks"], 0);

        write(lab, &channel, 0, 8, 4).unwrap();
        lab.close(channel);
        cut(lab, "all", 0);
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 8), [4; 8]);
        lab.close(channel);
    });
}

#[test]
fn a_cut_keeps_some_writes_whole_or_tears_them() {
    in_lab("cache::a_cut_keeps_some_writes_whole_or_tears_them", |lab| {
        faulty(lab, true);
        let mut media = Vec::new();
        for (keep, seed) in [("random", 1), ("random", 1), ("random", 2), ("torn", 1), ("torn", 1)] {
            let channel = lab.open("f");
            write(lab, &channel, 0, 256, 1).unwrap();
            flush(lab, &channel).unwrap();
            for n in 0..32 {
                write(lab, &channel, n * 8, 8, 2).unwrap();
            }
            lab.close(channel);
            cut(lab, keep, seed);
            let channel = lab.open("f");
            let medium = read(lab, &channel, 0, 256);
            lab.close(channel);
            assert!(medium.contains(&1) && medium.contains(&2), "{medium:?}");
            let whole = medium.chunks(8).all(|write| write.iter().all(|block| *block == write[0]));
            assert_eq!(whole, keep == "random");
            media.push(medium);
        }
        assert!(media[0] == media[1] && media[3] == media[4], "the same seed, the same loss");
        assert_ne!(media[0], media[2]);
    });
}

#[test]
fn a_flush_covers_what_was_done_before_it_came() {
    in_lab("cache::a_flush_covers_what_was_done_before_it_came", |lab| {
        faulty(lab, true);
        let channel = lab.open("f");
        inject(lab, "f", json!({ "ops": ["flush"], "do": { "hang": true } }));
        write(lab, &channel, 0, 2, 1).unwrap();
        let flushing = lab.on(0, || channel.flush(0, BLOCKS));
        wait_for_held(lab, "f", 1);
        write(lab, &channel, 1, 2, 2).unwrap();
        release(lab, "f", None);
        lab.block_on(0, flushing).unwrap();
        assert_eq!(read(lab, &channel, 0, 4), [1, 2, 2, 0]);
        lab.close(channel);
        cut(lab, "none", 0);
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 4), [1, 1, 0, 0]);
        lab.close(channel);
    });
}

#[test]
fn zeroes_and_discards_wait_in_the_cache_too() {
    in_lab("cache::zeroes_and_discards_wait_in_the_cache_too", |lab| {
        faulty(lab, true);
        let channel = lab.open("f");
        write(lab, &channel, 0, 8, 1).unwrap();
        flush(lab, &channel).unwrap();
        lab.close(channel);
        for (keep, left) in [("none", [1; 8]), ("all", [0, 0, 1, 1, 0, 0, 1, 1])] {
            let channel = lab.open("f");
            let (zeroes, unmap) = lab.on(0, || (channel.write_zeroes(0, 2), channel.unmap(4, 2)));
            lab.block_on(0, zeroes).unwrap();
            lab.block_on(0, unmap).unwrap();
            assert_eq!(read(lab, &channel, 0, 8), [0, 0, 1, 1, 0, 0, 1, 1]);
            lab.close(channel);
            cut(lab, keep, 0);
            let channel = lab.open("f");
            assert_eq!(read(lab, &channel, 0, 8), left);
            lab.close(channel);
        }
    });
}

/// Over a file, whose counters tell what has reached it.
#[test]
fn a_write_with_fua_is_on_the_medium() {
    in_lab("cache::a_write_with_fua_is_on_the_medium", |lab| {
        lab.create("d0", BLOCKS * BLOCK as u64);
        // When it was deleted the first drive flushed, too.
        for (cached, flushes) in [(true, 1), (false, 3)] {
            over(lab, "f", "d0", cached);
            let host = lab.on(0, || Host::open("f"));
            let (mut plain, mut fua) = (filled(1, 2), filled(2, 3));
            // The host's buffers in pieces that are no blocks.
            let pieces = [(plain.as_mut_ptr(), 100), (plain.as_mut_ptr().wrapping_add(100), 2 * BLOCK - 100)];
            let end = lab.on(0, || host.write(0, 2, &pieces, false));
            lab.until("the write", |_| end.get().is_some());
            let pieces = [(fua.as_mut_ptr(), 3 * BLOCK)];
            let end = lab.on(0, || host.write(1, 3, &pieces, true));
            lab.until("the write with FUA", |_| end.get().is_some());
            assert_eq!(end.get(), Some(true));
            assert_eq!(lab.counter("d0", "flushes"), flushes);

            let mut back = filled(0xee, 5);
            let pieces = [(back.as_mut_ptr(), 700), (back.as_mut_ptr().wrapping_add(700), 5 * BLOCK - 700)];
            let end = lab.on(0, || host.read(0, 5, &pieces));
            lab.until("the read", |_| end.get() == Some(true));
            assert_eq!(crate::drive::bytes_of(&back), [1, 2, 2, 2, 0]);
            let (end, found) = lab.on(0, || host.read_without_buffer(0, 5));
            lab.until("the read", |_| end.get() == Some(true));
            assert_eq!(found.take(), *back);
            lab.close((end, found));
            lab.on(0, || host.close());
            cut(lab, "none", 0);
            let channel = lab.open("f");
            assert_eq!(read(lab, &channel, 0, 5), [1, 2, 2, 2, 0]);
            let zeroes = lab.on(0, || channel.write_zeroes(0, 8));
            lab.block_on(0, zeroes).unwrap();
            lab.close(channel);
            call(lab, "delete", "f");
        }
        assert!(
            std::fs::read(lab.file("d0")).unwrap().iter().all(|byte| *byte == 0),
            "a deleted drive wrote its cache"
        );
    });
}

/// 80 MiB into a cache of 64.
#[test]
fn a_full_cache_writes_itself_out() {
    in_lab("cache::a_full_cache_writes_itself_out", |lab| {
        const PIECE: u64 = 2048;
        lab.create("d0", 80 * PIECE * BLOCK as u64);
        over(lab, "f", "d0", true);
        let channel = lab.open("f");
        for n in 0..80u8 {
            write(lab, &channel, u64::from(n) * PIECE, PIECE, n + 1).unwrap();
        }
        let cache = &call(lab, "get", "f")["cache"];
        assert!(cache["bytes"].as_u64() <= cache["limit_bytes"].as_u64(), "{cache}");
        assert!(lab.counter("d0", "writes") > 0 && lab.counter("d0", "flushes") > 0);
        for n in 0..80u8 {
            assert_eq!(read(lab, &channel, u64::from(n) * PIECE, 16), [n + 1; 16]);
        }
        lab.close(channel);
        cut(lab, "none", 0);
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 16), [1; 16], "the oldest were written out");
        assert_eq!(read(lab, &channel, 79 * PIECE, 16), [0; 16], "the newest were not");
        lab.close(channel);
    });
}

/// `f` with a cache over `g`, whose errors are those of the medium.
fn two_layers(lab: &mut Lab) {
    memory(lab, "m");
    over(lab, "g", "m", false);
    over(lab, "f", "g", true);
}

#[test]
fn a_flush_that_fails_loses_nothing() {
    in_lab("cache::a_flush_that_fails_loses_nothing", |lab| {
        two_layers(lab);
        let channel = lab.open("f");
        for op in ["write", "flush"] {
            write(lab, &channel, 0, 4, 5).unwrap();
            let rule = json!({ "ops": [op], "count": 1, "do": { "error": "media_write" } });
            inject(lab, "g", rule);
            assert_eq!(flush(lab, &channel).unwrap_err().kind, IoErrorKind::Media);
            assert_eq!(call(lab, "get", "f")["cache"]["blocks"], 4);
            assert_eq!(read(lab, &channel, 0, 4), [5; 4]);
            flush(lab, &channel).unwrap();
            assert_eq!(call(lab, "get", "f")["cache"]["blocks"], 0);
        }
        lab.close(channel);
        cut(lab, "none", 0);
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 4), [5; 4]);
        lab.close(channel);
    });
}

/// One write to the medium fails while another one hangs there.
#[test]
fn a_flush_that_fails_waits_for_its_other_writes() {
    in_lab("cache::a_flush_that_fails_waits_for_its_other_writes", |lab| {
        two_layers(lab);
        let channel = lab.open("f");
        inject(lab, "g", json!({ "ops": ["write"], "lba": 0, "blocks": 1, "do": { "hang": true } }));
        let failing = json!({ "ops": ["write"], "lba": 10, "blocks": 1, "do": { "error": "media_write" } });
        inject(lab, "g", failing);
        write(lab, &channel, 0, 1, 1).unwrap();
        write(lab, &channel, 10, 1, 2).unwrap();
        let mut flushing = lab.on(0, || channel.flush(0, BLOCKS));
        wait_for(lab, "g", |report| report["counters"]["failed"] == 1);
        wait_for_held(lab, "g", 1);
        assert!(is_out(lab, &mut flushing), "a buffer of the flush is still with the medium");
        call(lab, "clear", "g");
        release(lab, "g", None);
        assert_eq!(lab.block_on(0, flushing).unwrap_err().kind, IoErrorKind::Media);
        flush(lab, &channel).unwrap();
        assert_eq!(call(lab, "get", "f")["cache"]["blocks"], 0);
        lab.close(channel);
    });
}

/// Flushes take turns, and what comes meanwhile is not held up.
#[test]
fn flushes_take_turns() {
    in_lab("cache::flushes_take_turns", |lab| {
        two_layers(lab);
        let channel = lab.open("f");
        inject(lab, "g", json!({ "ops": ["write"], "do": { "hang": true } }));
        write(lab, &channel, 0, 4, 1).unwrap();
        let mut first = lab.on(0, || channel.flush(0, BLOCKS));
        wait_for_held(lab, "g", 1);
        write(lab, &channel, 2, 4, 2).unwrap();
        let mut second = lab.on(0, || channel.flush(0, BLOCKS));
        assert_eq!(read(lab, &channel, 0, 8), [1, 1, 2, 2, 2, 2, 0, 0]);
        assert!(is_out(lab, &mut first) && is_out(lab, &mut second));
        assert_eq!(
            call(lab, "get", "g")["held"].as_array().unwrap().len(),
            1,
            "the second waits for the first"
        );
        release(lab, "g", None);
        lab.block_on(0, first).unwrap();
        wait_for_held(lab, "g", 1);
        call(lab, "clear", "g");
        release(lab, "g", None);
        lab.block_on(0, second).unwrap();
        lab.close(channel);
        cut(lab, "none", 0);
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 8), [1, 1, 2, 2, 2, 2, 0, 0]);
        lab.close(channel);
    });
}

/// A read that is sent before a flush and comes back after it finds the old block on the medium, and nothing
/// in the cache. (That the flush wins is seldom here, and common in `threads`.)
#[test]
fn a_read_that_a_flush_overtakes_sees_the_write() {
    in_lab("cache::a_read_that_a_flush_overtakes_sees_the_write", |lab| {
        faulty(lab, true);
        let channel = lab.open("f");
        for round in 1..=200u8 {
            write(lab, &channel, 0, 8, round).unwrap();
            let (reading, flushing) =
                lab.on(0, || (channel.read(0, filled(0xee, 8)), channel.flush(0, BLOCKS)));
            lab.block_on(0, flushing).unwrap();
            let (result, found) = lab.block_on(0, reading);
            result.unwrap();
            assert_eq!(crate::drive::bytes_of(&found), [round; 8]);
        }
        lab.close(channel);
    });
}

/// The flush hangs in the medium when the power fails: it is answered when the medium has given the buffers
/// back, and never with success.
#[test]
fn a_cut_during_a_flush() {
    in_lab("cache::a_cut_during_a_flush", |lab| {
        two_layers(lab);
        let channel = lab.open("f");
        inject(lab, "g", json!({ "ops": ["write"], "do": { "hang": true } }));
        write(lab, &channel, 0, 1, 1).unwrap();
        write(lab, &channel, 10, 1, 1).unwrap();
        let (mut flushing, mut waiting) = lab.on(0, || (channel.flush(0, BLOCKS), channel.flush(0, BLOCKS)));
        wait_for_held(lab, "g", 2);
        power_cut(lab, "f", "none", 0);
        assert_eq!(write(lab, &channel, 0, 1, 9).unwrap_err().kind, IoErrorKind::Gone);
        assert_eq!(lab.block_on(0, &mut waiting).unwrap_err().kind, IoErrorKind::Gone);
        assert!(is_out(lab, &mut flushing), "its buffers are still with the medium");
        call(lab, "clear", "g");
        release(lab, "g", None);
        assert_eq!(lab.block_on(0, flushing).unwrap_err().kind, IoErrorKind::Gone);
        lab.close((channel, waiting));
        comes_back(lab, "f");
        let channel = lab.open("f");
        assert_eq!(read(lab, &channel, 0, 1), [1], "that was on its way");
        lab.close(channel);
    });
}

#[test]
fn blocks_of_4096_are_never_torn() {
    in_lab("cache::blocks_of_4096_are_never_torn", |lab| {
        let params = json!({ "name": "m", "block_size": 4096, "num_blocks": 512 });
        assert_eq!(lab.call("bdev_malloc_create", params), Ok(json!("m")));
        over(lab, "f", "m", true);
        for (keep, byte) in [("none", 2), ("torn", 3)] {
            let channel = lab.open("f");
            for (lba, fill) in [(0, 1), (8, byte)] {
                let writing = lab.on(0, || channel.write(lba, filled(fill, 64)));
                lab.block_on(0, writing).0.unwrap();
                if fill == 1 {
                    let flushing = lab.on(0, || channel.flush(0, 512));
                    lab.block_on(0, flushing).unwrap();
                }
            }
            lab.close(channel);
            cut(lab, keep, 5);
            let channel = lab.open("f");
            let reading = lab.on(0, || channel.read(0, filled(0xee, 16 * 8)));
            let (result, found) = lab.block_on(0, reading);
            result.unwrap();
            lab.close(channel);
            let blocks: Vec<u8> = found
                .chunks(4096)
                .map(|block| {
                    assert!(block.iter().all(|byte| *byte == block[0]));
                    block[0]
                })
                .collect();
            assert_eq!(blocks[..8], [1; 8]);
            let written = blocks[8..].iter().filter(|found| **found == byte).count();
            assert!(if keep == "none" { written == 0 } else { (1..8).contains(&written) }, "{blocks:?}");
        }
    });
}
