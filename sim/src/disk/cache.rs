//! The volatile write cache: what has completed, and is not on the durable image yet.
//!
//! It is kept as a log in the order of completion. A flush hardens a prefix of it. Nothing is destaged
//! without one, which is the worst that a drive may do as long as the power stays on. A power cut keeps,
//! drops or tears each entry of the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::bytes::Bytes;
use super::faults::Torn;
use crate::rng::Rng;
use crate::stamp::Stamp;

/// Beyond this many entries the oldest are destaged, as a real cache would.
const LOG_MAX: usize = 16 * 1024;

/// In the place of a block: the entry is the next piece of metadata.
const PIECE: u32 = u32::MAX;

/// A write of metadata, or what came through of it.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub offset: u64,
    pub bytes: Arc<[u8]>,
    /// Which of its atomic units.
    pub takes: Torn,
}

impl Piece {
    /// Whether it writes into these bytes of the drive.
    pub fn touches(&self, offset: u64, len: u64) -> bool {
        self.offset < offset + len && offset < self.offset + self.bytes.len() as u64
    }
}

#[derive(Clone, Debug)]
pub(super) struct WriteCache {
    durable: Vec<Stamp>,
    pub durable_bytes: Bytes,
    log: VecDeque<(u32, Stamp)>,
    pub pieces: VecDeque<Piece>,
    /// The number of the oldest entry in the log.
    first: u64,
    is_volatile: bool,
}

impl WriteCache {
    pub fn new(blocks: u64, content: Stamp, is_volatile: bool) -> WriteCache {
        WriteCache {
            durable: vec![content; blocks as usize],
            durable_bytes: Bytes::default(),
            log: VecDeque::new(),
            pieces: VecDeque::new(),
            first: 0,
            is_volatile,
        }
    }

    #[inline]
    pub fn write(&mut self, block: u64, stamp: Stamp) {
        if !self.is_volatile {
            self.durable[block as usize] = stamp;
            return;
        }
        self.push(block as u32, stamp);
    }

    pub fn write_piece(&mut self, piece: Piece) {
        if !self.is_volatile {
            self.durable_bytes.put(&piece);
            return;
        }
        self.pieces.push_back(piece);
        self.push(PIECE, Stamp::BLANK);
    }

    #[inline]
    fn push(&mut self, block: u32, stamp: Stamp) {
        if self.log.len() == LOG_MAX {
            self.harden(self.first + 1);
        }
        self.log.push_back((block, stamp));
    }

    /// The number that the next entry will have.
    #[inline]
    pub fn now(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// Everything before entry `until` is durable.
    pub fn harden(&mut self, until: u64) {
        while self.first < until {
            self.end_oldest(|piece| Some(piece.takes), || true);
        }
    }

    /// The power goes: each entry of the log is kept, dropped or, if it is metadata, torn.
    pub fn cut_power(&mut self, rng: &mut Rng) {
        let keeps_all = rng.once_in(4);
        let drops_all = !keeps_all && rng.once_in(3);
        while !self.log.is_empty() {
            let keeps = keeps_all || !drops_all && rng.once_in(2);
            let torn = if keeps { Torn::Everything } else { Torn::draw(rng, 64) };
            let kept = |piece: &Piece| (keeps || !drops_all).then(|| piece.takes.and(torn));
            self.end_oldest(kept, || keeps);
        }
    }

    /// Takes the oldest entry out of the log, to the durable image as far as it is kept.
    fn end_oldest(&mut self, takes: impl FnOnce(&Piece) -> Option<Torn>, keeps: impl FnOnce() -> bool) {
        let (block, stamp) = self.log.pop_front().expect("there is an oldest entry");
        self.first += 1;
        if block != PIECE {
            if keeps() {
                self.durable[block as usize] = stamp;
            }
            return;
        }
        let piece = self.pieces.pop_front().expect("it is in the log");
        if let Some(takes) = takes(&piece) {
            self.durable_bytes.put(&Piece { takes, ..piece });
        }
    }

    /// Writes past the cache: what was under way when the power went.
    pub fn force(&mut self, block: u64, stamp: Stamp) {
        self.durable[block as usize] = stamp;
    }

    #[inline]
    pub fn durable(&self, block: u64) -> Stamp {
        self.durable[block as usize]
    }

    pub fn durable_blocks(&self) -> &[Stamp] {
        &self.durable
    }

    /// Blocks with something in the log.
    pub fn unhardened(&self) -> impl Iterator<Item = u64> {
        self.log.iter().filter(|(block, _)| *block != PIECE).map(|(block, _)| u64::from(*block))
    }
}
