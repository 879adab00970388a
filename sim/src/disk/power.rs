//! What becomes of a drive when the process, or the power, goes.

use raid::channel::Op;

use super::{Disk, MetaPhase, Torn};
use crate::rng::Rng;

impl Disk {
    /// The process is gone: what was under way lands, or does not, or in part. The cache survives.
    pub fn lose_process(&mut self, rng: &mut Rng) {
        self.meta_version += 1;
        for pending in std::mem::take(&mut self.pending) {
            if pending.child.op.modifies() {
                if !pending.early {
                    let chosen = Torn::draw(rng, pending.child.blocks);
                    self.put(&pending, chosen);
                }
                self.note_written(pending.child.lba, pending.child.blocks);
            }
        }
        for meta in std::mem::take(&mut self.meta) {
            if let MetaPhase::Writing { early } = meta.phase {
                let chosen = if early { Torn::Everything } else { Torn::draw(rng, 64) };
                self.end_meta_write(&meta, chosen);
            }
        }
    }

    /// The power is gone: everything in the cache and under way is kept, lost, or torn.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        self.meta_version += 1;
        self.cache.cut_power(rng);
        for pending in std::mem::take(&mut self.pending) {
            let child = pending.child;
            let is_hint = child.op == Op::Unmap && !self.unmap_wipes;
            if !child.op.modifies() || is_hint {
                continue;
            }
            let chosen = Torn::draw(rng, child.blocks);
            for block in (0..child.blocks).filter(|block| chosen.takes(*block)) {
                self.cache.force(child.lba + block - self.data_offset, pending.stamp(block));
            }
        }
        for meta in std::mem::take(&mut self.meta) {
            if matches!(meta.phase, MetaPhase::Writing { .. }) {
                let chosen = Torn::draw(rng, 64);
                self.end_meta_write(&meta, chosen);
                self.cache.harden(self.cache.now());
            }
        }
        self.written = self.cache.durable_blocks().to_vec();
        self.written_bytes = self.cache.durable_bytes.clone();
    }

    /// Blocks of which a power cut may leave an older content.
    pub fn unhardened(&self) -> impl Iterator<Item = u64> {
        self.cache.unhardened().map(|block| block + self.data_offset)
    }
}
