//! Buffers of all shapes, and FUA.

use spdk_rs::dma::DmaBuf;

use crate::data::pattern;
use crate::host::{End, Host};
use crate::in_lab;
use crate::lab::Lab;

const BLOCK: usize = 512;

fn wait(lab: &mut Lab, end: &End) {
    lab.until("an I/O ends", |_| end.get().is_some());
    assert_eq!(end.get(), Some(true));
}

/// Pieces of these lengths, from `start` on.
fn pieces(buffer: &mut DmaBuf, start: usize, lengths: &[usize]) -> Vec<(*mut u8, usize)> {
    let mut at = start;
    let piece = |&len: &usize| {
        let piece = (buffer.as_mut_ptr().wrapping_add(at), len);
        at += len;
        piece
    };
    lengths.iter().map(piece).collect()
}

#[test]
fn every_shape_of_buffer_carries_the_data() {
    in_lab("shapes::every_shape_of_buffer_carries_the_data", |lab| {
        lab.create("d0", 8 << 20);
        let host = lab.on(0, || Host::open("d0"));
        let many = vec![BLOCK; 1500];
        let shapes: [(usize, &[usize]); 10] = [
            (0, &[4096]),
            (0, &[512, 3584]),
            (0, &[4096, 512, 512, 3072]),
            (0, &[100, 412]),
            (0, &[1, 4094, 1]),
            (1, &[4096]),
            (256, &[4096, 4096]),
            (64, &[1 << 20]),
            (3, &[700_000, 348_576]),
            (0, &many),
        ];
        for (seed, (start, lengths)) in shapes.into_iter().enumerate() {
            let bytes: usize = lengths.iter().sum();
            let (lba, blocks) = (seed as u64 * 8, (bytes / BLOCK) as u64);
            let data = pattern(seed, bytes);
            let mut buffer = DmaBuf::new(start + bytes, 4096).unwrap();
            buffer.as_mut_slice()[start..].copy_from_slice(&data);
            let list = pieces(&mut buffer, start, lengths);
            let end = lab.on(0, || host.write(lba, blocks, &list, false));
            wait(lab, &end);

            buffer.as_mut_slice().fill(0xff);
            let list = pieces(&mut buffer, start, lengths);
            let end = lab.on(0, || host.read(lba, blocks, &list));
            wait(lab, &end);
            assert!(buffer.as_slice()[start..] == data, "shape {lengths:?} from {start}");

            let (end, found) = lab.on(0, || host.read_without_buffer(lba, blocks.min(256)));
            wait(lab, &end);
            assert!(found.take() == data[..bytes.min(256 * BLOCK)], "without a buffer");
        }
        lab.on(0, || host.close());
    });
}

/// SPDK looks only at where a buffer begins: pieces of odd lengths come to the drive, which copies them.
#[test]
fn odd_lengths_at_even_places_are_bounced() {
    in_lab("shapes::odd_lengths_at_even_places_are_bounced", |lab| {
        lab.create("d0", 1 << 20);
        let host = lab.on(0, || Host::open("d0"));
        let data = pattern(5, BLOCK);
        let mut buffer = DmaBuf::new(8192, 4096).unwrap();
        buffer.as_mut_slice()[..100].copy_from_slice(&data[..100]);
        buffer.as_mut_slice()[4096..4096 + 412].copy_from_slice(&data[100..]);
        let start = buffer.as_mut_ptr();
        let end = lab.on(0, || host.write(8, 1, &[(start, 100), (start.wrapping_add(4096), 412)], false));
        wait(lab, &end);
        let (end, found) = lab.on(0, || host.read_without_buffer(8, 1));
        wait(lab, &end);
        assert!(found.take() == data);
        assert_eq!(lab.counter("d0", "bounces"), 1);
        lab.on(0, || host.close());
    });
}

#[test]
fn only_fua_syncs_a_write() {
    in_lab("shapes::only_fua_syncs_a_write", |lab| {
        lab.create("d0", 1 << 20);
        let host = lab.on(0, || Host::open("d0"));
        let mut buffer = DmaBuf::new(4096, 4096).unwrap();
        let list = pieces(&mut buffer, 0, &[4096]);
        for (fua, synced) in [(false, 0), (true, 1), (true, 2)] {
            let end = lab.on(0, || host.write(0, 8, &list, fua));
            wait(lab, &end);
            let counted = (lab.counter("d0", "dsync_writes"), lab.counter("d0", "fua_writes"));
            assert_eq!(counted, (synced, synced));
        }
        lab.on(0, || host.close());
    });
}
