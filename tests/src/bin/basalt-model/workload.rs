//! What is done next: kind, place, size, and how the buffer is cut up. Pure.

use crate::rng::Rng;

/// A host I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Read,
    Write,
    /// A write that is durable when it completes.
    WriteFua,
    WriteZeroes,
    Unmap,
    Flush,
}

impl Op {
    /// The name in the verdict.
    pub fn name(self) -> &'static str {
        match self {
            Op::Read => "read",
            Op::Write => "write",
            Op::WriteFua => "write_fua",
            Op::WriteZeroes => "write_zeroes",
            Op::Unmap => "unmap",
            Op::Flush => "flush",
        }
    }

    pub fn has_data(self) -> bool {
        matches!(self, Op::Read | Op::Write | Op::WriteFua)
    }
}

/// Out of 100.
const WEIGHTS: [(u64, Op); 6] = [
    (40, Op::Read),
    (34, Op::Write),
    (8, Op::WriteFua),
    (7, Op::WriteZeroes),
    (7, Op::Unmap),
    (4, Op::Flush),
];

/// The shape of the device and of what is done to it.
#[derive(Clone, Debug)]
pub struct Shape {
    pub num_blocks: u64,
    pub block_size: u32,
    /// The largest read or write.
    pub max_blocks: u64,
    /// Blocks at which something begins: ends of members, for one. Multiples of powers of two are tried
    /// anyway.
    pub borders: Vec<u64>,
    /// Kinds that the device does not have.
    pub without: Vec<Op>,
}

/// An I/O to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub op: Op,
    pub lba: u64,
    pub blocks: u64,
}

impl Shape {
    /// A random I/O within the device.
    pub fn plan(&self, rng: &mut Rng) -> Planned {
        let op = self.pick_op(rng);
        let blocks = self.pick_blocks(rng, op);
        Planned { op, lba: self.pick_lba(rng, blocks), blocks }
    }

    fn pick_op(&self, rng: &mut Rng) -> Op {
        loop {
            let mut roll = rng.below(100);
            let (_, op) = WEIGHTS
                .iter()
                .find(|(weight, _)| {
                    let hit = roll < *weight;
                    roll = roll.wrapping_sub(*weight);
                    hit
                })
                .expect("the weights add up to 100");
            if !self.without.contains(op) {
                return *op;
            }
        }
    }

    /// Mostly small; around powers of two (chunks, regions) often; up to the largest now and then.
    fn pick_blocks(&self, rng: &mut Rng, op: Op) -> u64 {
        let max = if op.has_data() { self.max_blocks } else { self.max_blocks * 4 };
        let max = max.min(self.num_blocks);
        let blocks = match rng.below(16) {
            0..4 => 1,
            4..10 => rng.between(1, 16),
            10..15 => (1 << rng.below(u64::from(max.ilog2()) + 1)) + rng.between(0, 2) - rng.between(0, 1),
            _ => rng.between(1, max),
        };
        blocks.clamp(1, max)
    }

    /// Anywhere, or so that it ends, begins or reaches over a border.
    fn pick_lba(&self, rng: &mut Rng, blocks: u64) -> u64 {
        let last = self.num_blocks - blocks;
        let lba = match rng.below(8) {
            0..4 => rng.between(0, last),
            4..6 => self.pick_border(rng).saturating_sub(rng.between(0, blocks)),
            6 => self.pick_border(rng),
            _ if rng.one_in(2) => last,
            _ => 0,
        };
        lba.min(last)
    }

    fn pick_border(&self, rng: &mut Rng) -> u64 {
        if !self.borders.is_empty() && rng.one_in(3) {
            return self.borders[rng.below(self.borders.len() as u64) as usize];
        }
        let step = 1 << rng.below(u64::from(self.num_blocks.ilog2()) + 1);
        rng.below(self.num_blocks / step + 1) * step
    }
}

/// A piece of a scattered buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes that lie before it and are not part of the buffer.
    pub gap: usize,
    pub len: usize,
}

/// The most pieces: what the bdev layer passes on without splitting.
pub const PIECES_MAX: usize = 16;
/// The most bytes that lie between two pieces.
pub const GAP_MAX: usize = 520;

/// Cuts a buffer of `bytes` up: whole, into blocks or parts of blocks, into pieces of any length, at
/// addresses that are multiples of `alignment`, a power of two.
pub fn scatter(rng: &mut Rng, bytes: usize, alignment: usize) -> Vec<Piece> {
    let unit = match rng.below(4) {
        0 => return vec![Piece { gap: 0, len: bytes }],
        1 => 512,
        2 => 4,
        _ => 1,
    }
    .max(alignment);
    let pieces = rng.between(1, PIECES_MAX as u64) as usize;
    let mut cuts: Vec<usize> =
        (1..pieces).map(|_| rng.below(bytes as u64) as usize / unit * unit).filter(|cut| *cut > 0).collect();
    cuts.push(bytes);
    cuts.sort_unstable();
    cuts.dedup();
    let mut start = 0;
    cuts.into_iter()
        .map(|cut| {
            let len = cut - start;
            start = cut;
            Piece { gap: rng.between(0, GAP_MAX as u64) as usize / alignment * alignment, len }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            num_blocks: 1000,
            block_size: 512,
            max_blocks: 300,
            borders: vec![333],
            without: vec![Op::Unmap],
        }
    }

    #[test]
    fn plans_stay_within_the_device_and_reach_its_ends_and_borders() {
        let (shape, mut rng) = (shape(), Rng::new(1));
        let plans: Vec<Planned> = (0..20_000).map(|_| shape.plan(&mut rng)).collect();
        assert!(plans.iter().all(|io| io.blocks > 0 && io.lba + io.blocks <= 1000));
        assert!(plans.iter().all(|io| !io.op.has_data() || io.blocks <= 300));
        assert!(plans.iter().all(|io| io.op != Op::Unmap));
        for (_, op) in WEIGHTS.into_iter().filter(|(_, op)| *op != Op::Unmap) {
            assert!(plans.iter().any(|io| io.op == op), "{op:?}");
        }
        let across = |border: u64| plans.iter().any(|io| io.lba < border && io.lba + io.blocks > border);
        assert!(across(333) && across(512) && across(64));
        assert!(plans.iter().any(|io| io.lba == 0) && plans.iter().any(|io| io.lba + io.blocks == 1000));
        assert!(plans.iter().any(|io| io.blocks == 1) && plans.iter().any(|io| io.blocks > 256));
    }

    #[test]
    fn pieces_make_up_the_whole_at_aligned_places() {
        let mut rng = Rng::new(2);
        let mut odd = false;
        for alignment in [1, 4, 512] {
            for bytes in [512, 4096, 12_800] {
                for _ in 0..500 {
                    let pieces = scatter(&mut rng, bytes, alignment);
                    assert_eq!(pieces.iter().map(|piece| piece.len).sum::<usize>(), bytes);
                    assert!(pieces.len() <= PIECES_MAX && pieces.iter().all(|piece| piece.len > 0));
                    assert!(pieces.iter().all(|piece| piece.gap <= GAP_MAX && piece.gap % alignment == 0));
                    assert!(pieces[..pieces.len() - 1].iter().all(|piece| piece.len % alignment == 0));
                    odd |= pieces.iter().any(|piece| piece.len % 2 == 1);
                }
            }
        }
        assert!(odd, "pieces that are no multiple of anything");
    }
}
