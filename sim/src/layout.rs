//! Where blocks must live, worked out a second time, chunk by chunk and without arithmetic tricks, so that
//! the checkers do not lean on `raid::geometry`.

use raid::{GeometrySpec, Level, Slot, SlotSet};

/// Tables over every block of the array and of its members.
#[derive(Debug)]
pub(crate) struct Layout {
    copies: usize,
    /// Per block of the array, its places: `copies` in a row.
    places: Vec<(Slot, u64)>,
    /// Per slot and block of its data, the block of the array that lives there.
    owners: Vec<Vec<Option<u64>>>,
    /// The sets of members that hold some block together, each once.
    copy_sets: Vec<SlotSet>,
    members: usize,
    region_blocks: u64,
    data_offset: u64,
}

impl Layout {
    pub fn new(spec: &GeometrySpec, region_blocks: u64) -> Layout {
        let members = spec.member_blocks.len();
        let copies = match spec.level {
            Level::Concat | Level::Raid0 => 1,
            Level::Raid1 => members,
            Level::Raid10 { near } => usize::from(near),
        };
        let places = match spec.level {
            Level::Concat => concat(spec),
            Level::Raid1 => mirror(spec),
            Level::Raid0 | Level::Raid10 { .. } => striped(spec, copies),
        };
        let mut layout = Layout {
            copies,
            places,
            owners: Vec::new(),
            copy_sets: Vec::new(),
            members,
            region_blocks,
            data_offset: spec.data_offset_blocks,
        };
        layout.owners = layout.invert(spec);
        for block in layout.places.chunks(copies) {
            let set = block.iter().map(|(slot, _)| *slot).collect();
            if !layout.copy_sets.contains(&set) {
                layout.copy_sets.push(set);
            }
        }
        layout
    }

    fn invert(&self, spec: &GeometrySpec) -> Vec<Vec<Option<u64>>> {
        let blocks = |slot: usize| {
            let used = self.places.iter().filter(|place| place.0.index() == slot).map(|place| place.1 + 1);
            spec.member_blocks[slot].unwrap_or(0).max(used.max().unwrap_or(0)).max(self.data_offset)
        };
        let data = |slot| (blocks(slot) - self.data_offset) as usize;
        let mut owners: Vec<_> = (0..self.members).map(|slot| vec![None; data(slot)]).collect();
        for (n, (slot, lba)) in self.places.iter().enumerate() {
            let owner = &mut owners[slot.index()][(*lba - self.data_offset) as usize];
            assert!(owner.is_none(), "two blocks in one place");
            *owner = Some((n / self.copies) as u64);
        }
        owners
    }

    pub fn num_blocks(&self) -> u64 {
        (self.places.len() / self.copies) as u64
    }

    pub fn is_redundant(&self) -> bool {
        self.copies > 1
    }

    pub fn slots(&self) -> SlotSet {
        SlotSet::first(self.members)
    }

    /// The places of block `lba`.
    #[inline]
    pub fn places(&self, lba: u64) -> &[(Slot, u64)] {
        let first = lba as usize * self.copies;
        &self.places[first..first + self.copies]
    }

    /// The members that hold block `lba`.
    pub fn holders(&self, lba: u64) -> SlotSet {
        self.places(lba).iter().map(|(slot, _)| *slot).collect()
    }

    /// The array's block that lives at `lba` of `slot`.
    #[inline]
    pub fn owner(&self, slot: Slot, lba: u64) -> Option<u64> {
        *self.owners[slot.index()].get(lba.checked_sub(self.data_offset)? as usize)?
    }

    /// Where data begins on every member.
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Blocks of data on the member in `slot`.
    pub fn data_blocks(&self, slot: Slot) -> u64 {
        self.owners[slot.index()].len() as u64
    }

    pub fn region_of(&self, lba: u64) -> u32 {
        (lba / self.region_blocks) as u32
    }

    /// The blocks of the array in `region`.
    pub fn blocks_of(&self, region: u32) -> std::ops::Range<u64> {
        let first = u64::from(region) * self.region_blocks;
        first..(first + self.region_blocks).min(self.num_blocks())
    }

    pub fn regions(&self) -> u32 {
        self.region_of(self.num_blocks() - 1) + 1
    }

    /// Whether every block has a copy in `slots`.
    pub fn is_served_by(&self, slots: SlotSet) -> bool {
        self.copy_sets.iter().all(|set| !set.and(slots).is_empty())
    }
}

fn data_blocks(spec: &GeometrySpec, slot: usize) -> Option<u64> {
    spec.member_blocks[slot].map(|blocks| blocks - spec.data_offset_blocks)
}

fn smallest(spec: &GeometrySpec) -> u64 {
    let present = (0..spec.member_blocks.len()).filter_map(|slot| data_blocks(spec, slot));
    present.min().expect("a member is present")
}

fn concat(spec: &GeometrySpec) -> Vec<(Slot, u64)> {
    let mut places = Vec::new();
    for slot in 0..spec.member_blocks.len() {
        let blocks = data_blocks(spec, slot).expect("concat has no empty slots");
        places.extend((0..blocks).map(|block| (Slot(slot as u8), spec.data_offset_blocks + block)));
    }
    places
}

fn mirror(spec: &GeometrySpec) -> Vec<(Slot, u64)> {
    let slots = spec.member_blocks.len() as u8;
    let on_all = |block: u64| (0..slots).map(move |slot| (Slot(slot), spec.data_offset_blocks + block));
    (0..smallest(spec)).flat_map(on_all).collect()
}

/// Deals copies of chunks out to the members like cards, row after row.
fn striped(spec: &GeometrySpec, copies: usize) -> Vec<(Slot, u64)> {
    let (chunk, members) = (spec.chunk_blocks, spec.member_blocks.len());
    let rows = smallest(spec) / chunk;
    let mut chunk_places: Vec<(Slot, u64)> = Vec::new();
    for row in 0..rows {
        chunk_places
            .extend((0..members).map(|slot| (Slot(slot as u8), spec.data_offset_blocks + row * chunk)));
    }
    let whole = chunk_places.len() / copies * copies;
    let mut places = Vec::new();
    for of_chunk in chunk_places[..whole].chunks(copies) {
        for block in 0..chunk {
            places.extend(of_chunk.iter().map(|(slot, first)| (*slot, first + block)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::rng::Rng;

    #[test]
    fn the_product_and_the_reference_agree_on_every_place() {
        for seed in 0..300 {
            let spec = Profile::draw(&mut Rng::new(seed)).geometry;
            let geometry = spec.build().expect("profiles draw possible shapes");
            let layout = Layout::new(&spec, geometry.region_blocks());
            assert_eq!(layout.num_blocks(), geometry.num_blocks());
            assert_eq!(layout.regions(), geometry.regions());
            for lba in 0..layout.num_blocks() {
                let places: Vec<_> = (0..geometry.copies()).map(|copy| geometry.locate(lba, copy)).collect();
                assert_eq!(places, layout.places(lba), "seed {seed}: block {lba} of {spec:?}");
            }
        }
    }
}
