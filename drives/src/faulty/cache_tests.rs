//! The cache against an oracle that keeps everything and computes nothing cleverly.

use super::cache::{Cache, Content, Mark, Run};
use super::loss::{Keep, Loss};
use proptest::prelude::*;

const BLOCK: usize = 512;
const DISK: u64 = 24;

/// Each write brings blocks that no other brings: filled with its number. Zeroes are number 0.
struct Oracle {
    medium: Vec<u8>,
    log: Vec<(Mark, u64, u64, u8)>,
}

impl Oracle {
    fn apply(&mut self, mark: Mark) {
        let done: Vec<_> = self.log.extract_if(.., |write| write.0 <= mark).collect();
        done.into_iter().for_each(|write| apply(&mut self.medium, &write));
    }

    fn seen(&self) -> Vec<u8> {
        let mut seen = self.medium.clone();
        self.log.iter().for_each(|write| apply(&mut seen, write));
        seen
    }

    /// The writes to a block that are in the log, in order.
    fn writes_to(&self, block: u64) -> impl Iterator<Item = &(Mark, u64, u64, u8)> {
        self.log.iter().filter(move |write| (write.1..write.1 + write.2).contains(&block))
    }
}

fn apply(medium: &mut [u8], &(_, lba, blocks, value): &(Mark, u64, u64, u8)) {
    medium[lba as usize..(lba + blocks) as usize].fill(value);
}

fn bring(cache: &Cache, runs: &[Run], medium: &mut [u8]) {
    let mut last_end = 0;
    for run in runs {
        assert!(run.lba >= last_end, "runs are in order and apart");
        last_end = run.lba + run.writes.len() as u64;
        let mut bytes = vec![0xee; run.writes.len() * BLOCK];
        cache.fill(run, &mut bytes);
        for (at, block) in bytes.chunks(BLOCK).enumerate() {
            assert!(block.iter().all(|byte| *byte == block[0]), "a block is of one write");
            medium[run.lba as usize + at] = block[0];
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        lba: u64,
        blocks: u64,
    },
    Zeroes {
        lba: u64,
        blocks: u64,
    },
    /// Everything up to so many writes before the last.
    Flush {
        behind: u64,
    },
    Read {
        lba: u64,
        blocks: u64,
    },
    Cut {
        loss: Loss,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0..DISK).prop_flat_map(|lba| (Just(lba), 1..=(DISK - lba).min(9)));
    let keep = prop_oneof![Just(Keep::All), Just(Keep::None), Just(Keep::Random), Just(Keep::Torn)];
    prop_oneof![
        5 => range().prop_map(|(lba, blocks)| Step::Write { lba, blocks }),
        1 => range().prop_map(|(lba, blocks)| Step::Zeroes { lba, blocks }),
        2 => (0..4u64).prop_map(|behind| Step::Flush { behind }),
        3 => range().prop_map(|(lba, blocks)| Step::Read { lba, blocks }),
        1 => (keep, any::<u64>()).prop_map(|(keep, seed)| Step::Cut { loss: Loss { keep, seed } }),
    ]
}

/// What a loss may leave, and how whole.
fn check_loss(oracle: &Oracle, keep: Keep, left: &[u8]) {
    match keep {
        Keep::All => assert_eq!(left, oracle.seen()),
        Keep::None => assert_eq!(left, oracle.medium),
        Keep::Random | Keep::Torn => {
            for block in 0..DISK {
                let found = left[block as usize];
                let old = oracle.medium[block as usize] == found;
                assert!(old || oracle.writes_to(block).any(|write| write.3 == found), "block {block}");
            }
        }
    }
    if keep == Keep::Random {
        // Where it was the last to write, a write shows everywhere or nowhere.
        for write in oracle.log.iter().filter(|write| write.3 != 0) {
            let last = |block: &u64| oracle.writes_to(*block).last().is_some_and(|last| last.0 == write.0);
            let mut shows = (write.1..write.1 + write.2).filter(last).map(|b| left[b as usize] == write.3);
            if let Some(first) = shows.next() {
                assert!(shows.all(|one| one == first), "write {} is torn", write.0);
            }
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut cache = Cache::new(BLOCK as u32, u64::MAX);
    let mut oracle = Oracle { medium: vec![0xff; DISK as usize], log: Vec::new() };
    let mut medium = oracle.medium.clone();
    let mut value = 0;
    for step in steps {
        match step {
            Step::Write { lba, blocks } => {
                // 0 and 255 are taken.
                value = value % 250 + 1;
                let bytes = vec![value; blocks as usize * BLOCK].into_boxed_slice();
                let mark = cache.put(lba, blocks, Content::Data(bytes));
                oracle.log.push((mark, lba, blocks, value));
            }
            Step::Zeroes { lba, blocks } => {
                let mark = cache.put(lba, blocks, Content::Zeroes);
                oracle.log.push((mark, lba, blocks, 0));
            }
            Step::Flush { behind } => {
                let mark = cache.mark().saturating_sub(behind);
                bring(&cache, &cache.runs(mark, 4), &mut medium);
                cache.evict(mark);
                oracle.apply(mark);
                assert_eq!(medium, oracle.medium);
            }
            Step::Read { lba, blocks } => {
                let mut found = medium[lba as usize..(lba + blocks) as usize].to_vec();
                cache.overlay(lba, blocks, |at, bytes| found[at as usize] = bytes[0]);
                assert_eq!(found, oracle.seen()[lba as usize..(lba + blocks) as usize]);
            }
            Step::Cut { loss } => {
                let runs = cache.survivors(loss, 4);
                assert_eq!(runs, cache.survivors(loss, 4), "the same seed, the same loss");
                bring(&cache, &runs, &mut medium);
                check_loss(&oracle, loss.keep, &medium);
                cache.evict(cache.mark());
                oracle.log.clear();
                oracle.medium.clone_from(&medium);
            }
        }
        let (writes, blocks) = cache.size();
        assert_eq!(writes, oracle.log.len() as u64);
        assert_eq!(blocks, oracle.log.iter().map(|write| write.2).sum::<u64>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cache_does_what_the_oracle_does(steps in prop::collection::vec(step(), 1..60)) {
        run(steps);
    }
}

fn lost(keep: Keep, seed: u64) -> Vec<u8> {
    let mut cache = Cache::new(BLOCK as u32, u64::MAX);
    for number in 1..=8u8 {
        let bytes = vec![number; 4 * BLOCK].into_boxed_slice();
        cache.put(u64::from(number - 1) * 4, 4, Content::Data(bytes));
    }
    let mut medium = vec![0; 32];
    bring(&cache, &cache.survivors(Loss { keep, seed }, 128), &mut medium);
    medium
}

/// The dice really fall both ways, and differently for each seed.
#[test]
fn losses_differ_by_seed() {
    let whole = |medium: &[u8]| medium.chunks(4).all(|write| write.iter().all(|block| *block == write[0]));
    let random: Vec<_> = (0..8).map(|seed| lost(Keep::Random, seed)).collect();
    let torn: Vec<_> = (0..8).map(|seed| lost(Keep::Torn, seed)).collect();
    assert!(random.iter().all(|medium| whole(medium)));
    assert!(random.iter().any(|medium| *medium != random[0]));
    assert!(torn.iter().all(|medium| !whole(medium)));
    assert!(torn.iter().any(|medium| *medium != torn[0]));
    for medium in random.iter().chain(&torn) {
        assert!(medium.contains(&0) && medium.iter().any(|block| *block != 0), "{medium:?}");
    }
}

#[test]
fn room_is_counted_in_all_blocks_of_the_log() {
    let mut cache = Cache::new(BLOCK as u32, 8 * BLOCK as u64);
    assert!(cache.has_room(100), "a write that is larger than the cache fits when it is empty");
    cache.put(0, 4, Content::Zeroes);
    cache.put(0, 3, Content::Zeroes);
    assert!(cache.has_room(1) && !cache.has_room(2));
    cache.evict(1);
    assert!(cache.has_room(5) && !cache.has_room(6));
}
