//! Random I/O with power cuts against a model: what a host may find in each block.

use crate::drive::{bytes_of, call, comes_back, faulty, filled, flush, power_cut, read, write};
use crate::in_lab;

const SMALL: u64 = 64;
const STEPS: u32 = 1500;

/// SplitMix64, as a stream of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A block: what was flushed, and what was written since, in order.
#[derive(Clone, Default)]
struct Block {
    hard: u8,
    soft: Vec<u8>,
}

impl Block {
    fn now(&self) -> u8 {
        *self.soft.last().unwrap_or(&self.hard)
    }

    fn harden(&mut self) {
        self.hard = self.now();
        self.soft.clear();
    }

    fn cut(&mut self, keep: &str, found: u8) {
        let possible = match keep {
            "all" => found == self.now(),
            "none" => found == self.hard,
            _ => found == self.hard || self.soft.contains(&found),
        };
        assert!(possible, "{keep}: {found} is neither {} nor of {:?}", self.hard, self.soft);
        (self.hard, self.soft) = (found, Vec::new());
    }
}

#[test]
fn random_io_and_power_cuts() {
    in_lab("model::random_io_and_power_cuts", |lab| {
        faulty(lab, true);
        let (mut dice, mut model) = (Dice(20_261_121), vec![Block::default(); SMALL as usize]);
        let mut channel = Some(lab.open("f"));
        let mut cuts = 0;
        for step in 0..STEPS {
            let lba = dice.below(SMALL);
            let blocks = 1 + dice.below((SMALL - lba).min(12));
            let range = lba as usize..(lba + blocks) as usize;
            let open = channel.as_ref().unwrap();
            match dice.below(20) {
                0..9 => {
                    let byte = 1 + (step % 250) as u8;
                    write(lab, open, lba, blocks, byte).unwrap();
                    model[range].iter_mut().for_each(|block| block.soft.push(byte));
                }
                9 => {
                    let zeroes = lab.on(0, || open.write_zeroes(lba, blocks));
                    lab.block_on(0, zeroes).unwrap();
                    model[range].iter_mut().for_each(|block| block.soft.push(0));
                }
                10 | 11 => {
                    flush(lab, open).unwrap();
                    model.iter_mut().for_each(Block::harden);
                }
                12 => {
                    // A flush and a read under way at once.
                    let (reading, flushing) =
                        lab.on(0, || (open.read(lba, filled(0xee, blocks)), open.flush(0, SMALL)));
                    let (result, found) = lab.block_on(0, reading);
                    result.unwrap();
                    lab.block_on(0, flushing).unwrap();
                    let expected: Vec<u8> = model[range].iter().map(Block::now).collect();
                    assert_eq!(bytes_of(&found), expected);
                    model.iter_mut().for_each(Block::harden);
                }
                13 => {
                    lab.close(channel.take());
                    let keep = ["all", "none", "random", "torn"][dice.below(4) as usize];
                    power_cut(lab, "f", keep, dice.below(1 << 40));
                    comes_back(lab, "f");
                    let open = channel.insert(lab.open("f"));
                    let found = read(lab, open, 0, SMALL);
                    model.iter_mut().zip(found).for_each(|(block, found)| block.cut(keep, found));
                    cuts += 1;
                }
                _ => {
                    let expected: Vec<u8> = model[range].iter().map(Block::now).collect();
                    assert_eq!(read(lab, open, lba, blocks), expected, "step {step}");
                }
            }
        }
        assert!(cuts > 50);
        lab.close(channel);
        // An orderly end loses nothing.
        call(lab, "delete", "f");
        let open = lab.open("m");
        let expected: Vec<u8> = model.iter().map(Block::now).collect();
        assert_eq!(read(lab, &open, 0, SMALL), expected);
        lab.close(open);
    });
}
