//! What is written is read: through SPDK, and in the file.

use std::os::unix::fs::MetadataExt;

use serde_json::json;
use spdk_rs::bdev::{Channel, IoErrorKind, list};
use spdk_rs::dma::DmaBuf;

use crate::in_lab;
use crate::lab::Lab;

const BLOCK: usize = 512;
const MIB: u64 = 1 << 20;

pub fn pattern(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at / 3 + seed * 89) % 255) as u8 + 1).collect()
}

pub fn buffer_of(data: &[u8]) -> DmaBuf {
    let mut buffer = DmaBuf::new(data.len(), 4096).unwrap();
    buffer.as_mut_slice().copy_from_slice(data);
    buffer
}

fn write(lab: &mut Lab, channel: &Channel, block: usize, data: &[u8]) {
    let writing = lab.on(0, || channel.write(block as u64, buffer_of(data)));
    lab.block_on(0, writing).0.unwrap();
}

fn read(lab: &mut Lab, channel: &Channel, block: usize, blocks: usize) -> Vec<u8> {
    let reading = lab.on(0, || channel.read(block as u64, DmaBuf::new(blocks * BLOCK, 4096).unwrap()));
    let (result, buffer) = lab.block_on(0, reading);
    result.unwrap();
    buffer.as_slice().to_vec()
}

/// A generator of numbers that are the same each time (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn a_history_agrees_with_a_model_and_the_file() {
    in_lab("data::a_history_agrees_with_a_model_and_the_file", |lab| {
        const BLOCKS: usize = 2048;
        lab.create("d0", (BLOCKS * BLOCK) as u64);
        assert_eq!(lab.info("d0")["direct"], true);
        let channel = lab.open("d0");
        let mut model = vec![0u8; BLOCKS * BLOCK];
        let mut dice = Dice(0x5eed);
        for step in 0..300 {
            let blocks = 1 + dice.below(if step % 10 == 0 { 800 } else { 40 });
            let block = dice.below(BLOCKS - blocks);
            let bytes = block * BLOCK..(block + blocks) * BLOCK;
            let (at, count) = (block as u64, blocks as u64);
            match dice.below(8) {
                0..3 => {
                    write(lab, &channel, block, &pattern(step, bytes.len()));
                    model[bytes.clone()].copy_from_slice(&pattern(step, bytes.len()));
                }
                3..6 => assert_eq!(read(lab, &channel, block, blocks), model[bytes], "step {step}"),
                6 => {
                    let unmap = lab.on(0, || channel.unmap(at, count));
                    lab.block_on(0, unmap).unwrap();
                    model[bytes].fill(0);
                }
                _ => {
                    let zero = lab.on(0, || channel.write_zeroes(at, count));
                    lab.block_on(0, zero).unwrap();
                    model[bytes].fill(0);
                }
            }
        }
        let flush = lab.on(0, || channel.flush(0, BLOCKS as u64));
        lab.block_on(0, flush).unwrap();
        assert_eq!(lab.counter("d0", "syncs"), 1);
        lab.close(channel);
        assert!(std::fs::read(lab.file("d0")).unwrap() == model, "the file has what the drive has");
    });
}

#[test]
fn unmap_gives_space_back() {
    in_lab("data::unmap_gives_space_back", |lab| {
        lab.create("d0", 8 * MIB);
        let channel = lab.open("d0");
        for part in 0..8 {
            write(lab, &channel, part * 2048, &pattern(part, 1 << 20));
        }
        let allocated = |lab: &Lab| lab.file("d0").metadata().unwrap().blocks() * 512;
        assert!(allocated(lab) >= 8 * MIB);
        let unmap = lab.on(0, || channel.unmap(2048, 6 * 2048));
        lab.block_on(0, unmap).unwrap();
        assert!(allocated(lab) <= 3 * MIB, "{}", allocated(lab));
        assert_eq!(read(lab, &channel, 4096, 2048), vec![0; 1 << 20]);
        assert_eq!(read(lab, &channel, 7 * 2048, 2048), pattern(7, 1 << 20));
        lab.close(channel);
    });
}

#[test]
fn the_bdev_says_what_it_is() {
    in_lab("data::the_bdev_says_what_it_is", |lab| {
        let create =
            json!({ "name": "wide", "path": lab.file("wide"), "size_bytes": MIB, "block_size": 4096 });
        lab.call("bdev_basalt_file_create", create).unwrap();
        let volatile = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        volatile.as_file().set_len(MIB).unwrap();
        let create = json!({ "name": "ram", "path": volatile.path(), "assume_durable": true });
        lab.call("bdev_basalt_file_create", create).unwrap();

        let bdevs = lab.on(0, list).unwrap();
        let (wide, ram) = (&bdevs[0], &bdevs[1]);
        assert_eq!((wide.block_size, wide.num_blocks, wide.write_cache), (4096, 256, true));
        assert_eq!((ram.block_size, ram.num_blocks, ram.write_cache), (512, 2048, false));
        assert_eq!((&*wide.product, &*wide.module), ("Basalt file drive", "basalt_file"));
        let uuid = wide.uuid;

        let info = lab.info("ram");
        assert_eq!((&info["direct"], &info["assume_durable"]), (&json!(false), &json!(true)));
        assert!(info["note"].as_str().unwrap().contains("tmpfs"), "{info}");
        assert_eq!(lab.info("wide")["note"], json!(null));

        lab.call("bdev_basalt_file_delete", json!({ "name": "wide" })).unwrap();
        let again = json!({ "name": "other", "path": lab.file("wide"), "block_size": 4096 });
        lab.call("bdev_basalt_file_create", again).unwrap();
        assert_eq!(lab.on(0, list).unwrap()[1].uuid, uuid, "the same file, the same drive");
    });
}

#[test]
fn aborted_before_it_starts() {
    in_lab("data::aborted_before_it_starts", |lab| {
        lab.create("d0", MIB);
        let channel = lab.open("d0");
        let writing = lab.on(0, || {
            let writing = channel.write(0, buffer_of(&pattern(1, BLOCK)));
            writing.abort().unwrap();
            writing
        });
        assert_eq!(lab.block_on(0, writing).0.unwrap_err().kind, IoErrorKind::Aborted);
        assert_eq!(read(lab, &channel, 0, 1), vec![0; BLOCK]);
        assert_eq!(lab.counter("d0", "aborts"), 1);
        lab.close(channel);
    });
}

#[test]
fn a_file_cut_behind_our_back_is_a_media_error() {
    in_lab("data::a_file_cut_behind_our_back_is_a_media_error", |lab| {
        lab.create("d0", MIB);
        let channel = lab.open("d0");
        std::fs::File::options().write(true).open(lab.file("d0")).unwrap().set_len(4096).unwrap();
        let reading = lab.on(0, || channel.read(1024, DmaBuf::new(4096, 4096).unwrap()));
        assert_eq!(lab.block_on(0, reading).0.unwrap_err().kind, IoErrorKind::Media);
        // Writing there makes the file whole again.
        write(lab, &channel, 1024, &pattern(1, 4096));
        assert_eq!(read(lab, &channel, 1024, 8), pattern(1, 4096));
        lab.close(channel);
    });
}
