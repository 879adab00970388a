//! Data goes both ways, in every shape of buffer.

use spdk_rs::bdev::{Descriptor, IoKind};
use spdk_rs::dma::DmaBuf;
use spdk_rs::module::BdevSpec;

use crate::host::{Answer, Host, Reply};
use crate::in_lab;
use crate::lab::Lab;
use crate::leaf::Leaf;
use crate::stripe::{Layout, over_malloc};

const BLOCK: usize = 512;

/// Pseudo-random numbers (xorshift64), the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// Cuts `len` bytes into pieces, with gaps between them in memory. How: by the number of `shape`.
    fn pieces(&mut self, memory: &mut DmaBuf, len: usize, shape: u64) -> Vec<(*mut u8, usize)> {
        let start = memory.as_mut_ptr();
        let mut at = self.below(3) as usize * 4;
        let mut left = len;
        let mut pieces = Vec::new();
        while left > 0 {
            let piece = match shape {
                0 => left,
                1 => BLOCK,
                2 => 4 * BLOCK,
                3 => BLOCK * (1 + self.below(7) as usize),
                4 => 1 + self.below(2000) as usize,
                5 if pieces.is_empty() => 3,
                _ => 100 + self.below(60) as usize,
            };
            let piece = piece.min(left);
            pieces.push((start.wrapping_add(at), piece));
            at += piece + 4 * self.below(20) as usize;
            left -= piece;
        }
        assert!(at <= memory.len());
        pieces
    }
}

fn fill(pieces: &[(*mut u8, usize)], mut bytes: &[u8]) {
    for &(base, len) in pieces {
        let (now, later) = bytes.split_at(len);
        // SAFETY: pieces of a buffer of ours that nobody uses at the moment.
        unsafe { base.copy_from_nonoverlapping(now.as_ptr(), len) };
        bytes = later;
    }
}

fn gather(pieces: &[(*mut u8, usize)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(base, len) in pieces {
        // SAFETY: as above.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(base, len) });
    }
    bytes
}

fn answer(lab: &mut Lab, reply: &Reply) -> Answer {
    let mut answer = None;
    lab.until("an answer", |_| {
        answer = reply.take();
        answer.is_some()
    });
    answer.expect("until it was there")
}

fn assert_success(lab: &mut Lab, reply: &Reply) {
    let answer = answer(lab, reply);
    assert!(answer.success, "{answer:?}");
}

#[test]
fn any_shape_of_buffer_reaches_the_right_blocks() {
    in_lab(test_name!(), |lab| {
        let (stripe, _) = over_malloc(lab);
        let blocks = 4096u64;
        let mut model = vec![0; blocks as usize * BLOCK];
        let mut memory = lab.on_app(|| DmaBuf::new(256 * 1024, 4096).expect("memory"));
        let host = lab.on_app(|| Host::open("s"));
        let mut dice = Dice(0x5eed);
        for round in 0..600 {
            // Up to 15 chunks and two partial ones: more than there are slots.
            let count = 1 + dice.below(60);
            let lba = dice.below(blocks - count);
            let range = lba as usize * BLOCK..(lba + count) as usize * BLOCK;
            let pieces = dice.pieces(&mut memory, range.len(), round % 7);
            if dice.below(2) == 0 {
                let bytes = dice.bytes(range.len());
                fill(&pieces, &bytes);
                let reply = lab.on_app(|| host.write(lba, count, &pieces, false));
                assert_success(lab, &reply);
                model[range].copy_from_slice(&bytes);
            } else {
                fill(&pieces, &vec![0xa5; range.len()]);
                let reply = lab.on_app(|| host.read(lba, count, &pieces));
                assert_success(lab, &reply);
                assert_eq!(gather(&pieces), model[range], "round {round}: {lba}+{count}");
            }
        }
        lab.on_app(|| host.close());

        // The members hold what the layout says.
        let layout = Layout { chunk_blocks: 4, members: 2 };
        for (member, name) in ["m0", "m1"].into_iter().enumerate() {
            let held = lab.on_app(|| {
                let member = Descriptor::open(name, false, |_| {}).expect("a member");
                let channel = member.channel().expect("a channel");
                channel.read(0, DmaBuf::new(2048 * BLOCK, 4096).expect("memory"))
            });
            let (result, held) = lab.block_on(held);
            assert_eq!(result, Ok(()));
            for lba in (0..blocks).filter(|&lba| layout.place(lba).0 == member) {
                let place = layout.place(lba).1 as usize * BLOCK;
                let expected = &model[lba as usize * BLOCK..][..BLOCK];
                assert_eq!(&held[place..place + BLOCK], expected, "block {lba}");
            }
        }
        lab.later(|done| {
            stripe.unregister(done);
            Ok(())
        })
        .expect("unregister");
    });
}

#[test]
fn commands_without_data_go_where_data_goes() {
    in_lab(test_name!(), |lab| {
        let (stripe, _) = over_malloc(lab);
        let channel =
            lab.on_app(|| Descriptor::open("s", true, |_| {}).expect("s").channel().expect("a channel"));
        let mut bytes = lab.on_app(|| DmaBuf::new(64 * BLOCK, 4096).expect("memory"));
        bytes.fill(0xff);
        let writing = lab.on_app(|| channel.write(10, bytes));
        assert_eq!(lab.block_on(writing).0, Ok(()));
        // Zeroes over blocks 13..30, and unmapped (malloc bdevs then read zeroes) over 40..43.
        let zeroing = lab.on_app(|| channel.write_zeroes(13, 17));
        assert_eq!(lab.block_on(zeroing), Ok(()));
        let unmapping = lab.on_app(|| channel.unmap(40, 3));
        assert_eq!(lab.block_on(unmapping), Ok(()));
        let flushing = lab.on_app(|| channel.flush(0, 4096));
        assert_eq!(lab.block_on(flushing), Ok(()));
        let reading = lab.on_app(|| channel.read(10, DmaBuf::new(64 * BLOCK, 4096).expect("memory")));
        let (result, read) = lab.block_on(reading);
        assert_eq!(result, Ok(()));
        for (n, block) in read.chunks(BLOCK).enumerate() {
            let lba = n as u64 + 10;
            let zero = (13..30).contains(&lba) || (40..43).contains(&lba);
            assert!(block.iter().all(|&byte| byte == if zero { 0 } else { 0xff }), "block {lba}");
        }
        lab.on_app(|| drop((channel, read, stripe)));
    });
}

#[test]
fn a_read_without_a_buffer_is_given_one() {
    in_lab(test_name!(), |lab| {
        let (stripe, _) = over_malloc(lab);
        let host = lab.on_app(|| Host::open("s"));
        let mut memory = lab.on_app(|| DmaBuf::new(128 * 1024, 4096).expect("memory"));
        let bytes = Dice(77).bytes(256 * BLOCK);
        memory.copy_from_slice(&bytes);
        let reply = lab.on_app(|| host.write(5, 256, &[(memory.as_mut_ptr(), memory.len())], false));
        assert_success(lab, &reply);
        // More at once than there are large buffers (128), so that some wait for one. SPDK frees a buffer
        // with its I/O.
        let replies: Vec<_> =
            lab.on_app(|| (0..400).map(|n| host.read_without_buffer(5 + n % 8, 200)).collect());
        for (n, reply) in replies.iter().enumerate() {
            let from = n % 8 * BLOCK;
            let answer = answer(lab, reply);
            assert!(answer.success && answer.data == bytes[from..from + 200 * BLOCK], "read {n}");
        }
        // Larger than SPDK's buffers: an error, at once.
        let reply = lab.on_app(|| host.read_without_buffer(0, 2048));
        assert_eq!(answer(lab, &reply).status, (0, 6));
        lab.on_app(|| host.close());
        lab.on_app(|| drop(stripe));
    });
}

#[test]
fn buffers_come_aligned_as_the_bdev_asks() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| {
            Leaf::register(BdevSpec { required_alignment_log2: 9, ..BdevSpec::new("leaf", 512, 1024) })
        });
        let host = lab.on_app(|| Host::open("leaf"));
        let mut memory = lab.on_app(|| DmaBuf::new(64 * 1024, 4096).expect("memory"));
        let mut dice = Dice(3);
        let bytes = dice.bytes(32 * BLOCK);
        let pieces = dice.pieces(&mut memory, bytes.len(), 6);
        fill(&pieces, &bytes);
        let reply = lab.on_app(|| host.write(7, 32, &pieces, false));
        assert_success(lab, &reply);
        assert_eq!(controls.data.lock().unwrap()[7 * BLOCK..39 * BLOCK], bytes);
        fill(&pieces, &vec![0; bytes.len()]);
        let reply = lab.on_app(|| host.read(7, 32, &pieces));
        assert_success(lab, &reply);
        assert_eq!(gather(&pieces), bytes);
        let reply = lab.on_app(|| host.read_without_buffer(7, 32));
        assert_eq!(answer(lab, &reply).data, bytes);
        // Answered from within `submit`, also those that had to wait for one of SPDK's 128 buffers.
        let replies: Vec<_> = lab.on_app(|| (0..400).map(|_| host.read_without_buffer(7, 32)).collect());
        assert!(replies.iter().all(|reply| answer(lab, reply).data == bytes));
        assert!(*controls.alignment_log2.lock().unwrap() >= 9);
        controls.seen.lock().unwrap().clear();
        // Larger than SPDK's large buffers: split by SPDK, not refused.
        let reply = lab.on_app(|| host.write(0, 1024, &unaligned(&mut memory), false));
        assert_success(lab, &reply);
        let sizes: Vec<_> = controls.seen.lock().unwrap().iter().map(|seen| seen.2).collect();
        assert!(sizes.len() > 1 && sizes.iter().sum::<u64>() == 1024, "{sizes:?}");
        lab.on_app(|| host.close());
        lab.on_app(|| drop((leaf, memory)));
    });
}

/// 512 KiB out of the same 64 KiB, over and over, all but aligned.
fn unaligned(memory: &mut DmaBuf) -> Vec<(*mut u8, usize)> {
    vec![(memory.as_mut_ptr().wrapping_add(8), 32 * 1024); 16]
}

#[test]
fn force_unit_access_reaches_the_members() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 1024)));
        let (stripe, _) = lab.on_app(|| crate::stripe::Stripe::register("s", &["leaf"], 8));
        let host = lab.on_app(|| Host::open("s"));
        let mut memory = lab.on_app(|| DmaBuf::new(16 * BLOCK, 4096).expect("memory"));
        let pieces = [(memory.as_mut_ptr(), memory.len())];
        for fua in [true, false, true] {
            let reply = lab.on_app(|| host.write(4, 16, &pieces, fua));
            assert_success(lab, &reply);
            let seen = std::mem::take(&mut *controls.seen.lock().unwrap());
            let expected = [(4, 4), (8, 8), (16, 4)].map(|(lba, blocks)| (IoKind::Write, lba, blocks, fua));
            assert_eq!(seen, expected);
        }
        lab.on_app(|| host.close());
        lab.on_app(|| drop((stripe, leaf, memory)));
    });
}
