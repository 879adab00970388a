use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn spec(level: Level, member_blocks: &[u64], chunk_blocks: u64) -> GeometrySpec {
    GeometrySpec {
        level,
        block_size: 512,
        member_blocks: member_blocks.iter().map(|blocks| Some(*blocks)).collect(),
        chunk_blocks,
        region_blocks: Some(8),
        data_offset_blocks: 16,
    }
}

fn any_geometry() -> impl Strategy<Value = Geometry> {
    (0u8..4, 2usize..9, 2u8..5, 0u32..5, prop::collection::vec(48u64..200, 9)).prop_map(
        |(level, members, near, chunk_shift, blocks)| {
            let near = near.min(members as u8);
            let level = [Level::Concat, Level::Raid0, Level::Raid1, Level::Raid10 { near }][level as usize];
            spec(level, &blocks[..members], 1 << chunk_shift).build().expect("a possible shape")
        },
    )
}

/// Every (member, member block) of every copy, by walking block by block.
fn walk(geometry: &Geometry, lba: u64, blocks: u64) -> HashMap<(Slot, u64), u64> {
    let mut owners = HashMap::new();
    for block in lba..lba + blocks {
        for copy in 0..geometry.copies() {
            let before = owners.insert(geometry.locate(block, copy), block);
            assert_eq!(before, None, "two blocks share a place");
        }
    }
    owners
}

proptest! {
    #[test]
    fn every_block_has_its_own_places_and_stays_in_the_data_area(geometry in any_geometry()) {
        let owners = walk(&geometry, 0, geometry.num_blocks());
        prop_assert!(owners.keys().all(|(slot, lba)| slot.index() < geometry.members() && *lba >= 16));
        prop_assert_eq!(owners.len() as u64, geometry.num_blocks() * u64::from(geometry.copies()));
    }

    #[test]
    fn a_run_is_contiguous_on_every_copy(geometry in any_geometry(), at in 0.0..1.0f64) {
        let lba = (geometry.num_blocks() as f64 * at) as u64;
        let run = geometry.run_blocks(lba).min(geometry.num_blocks() - lba);
        for copy in 0..geometry.copies() {
            let (slot, first) = geometry.locate(lba, copy);
            for block in 0..run {
                prop_assert_eq!(geometry.locate(lba + block, copy), (slot, first + block));
            }
        }
    }

    #[test]
    fn extents_cover_exactly_what_the_blocks_cover(
        geometry in any_geometry(), from in 0.0..1.0f64, len in 0.0..1.0f64
    ) {
        let lba = (geometry.num_blocks() as f64 * from) as u64;
        let blocks = (((geometry.num_blocks() - lba) as f64 * len) as u64).max(1);
        let mut owners = walk(&geometry, lba, blocks);
        for slot in geometry.slots().iter() {
            if let Some(extent) = geometry.extent_on(slot, lba, blocks) {
                for block in extent.lba..extent.lba + extent.blocks {
                    prop_assert!(owners.remove(&(slot, block)).is_some(), "{slot} {block} is not of the range");
                }
            }
        }
        prop_assert!(owners.is_empty(), "not covered: {owners:?}");
    }

    #[test]
    fn served_means_that_every_block_has_a_copy_left(geometry in any_geometry(), left in any::<u32>()) {
        let left: SlotSet = geometry.slots().iter().filter(|slot| left >> slot.0 & 1 == 1).collect();
        let by_walking = (0..geometry.num_blocks())
            .all(|lba| (0..geometry.copies()).any(|copy| left.contains(geometry.locate(lba, copy).0)));
        prop_assert_eq!(geometry.is_served_by(left), by_walking);
    }
}

#[test]
fn raid10_with_an_odd_count_is_mds_near_layout() {
    // md(4), "near": with 3 drives and 2 copies, chunks lie 0 0 1 / 1 2 2 / 3 3 4.
    let geometry = spec(Level::Raid10 { near: 2 }, &[48; 3], 8).build().unwrap();
    let place = |chunk: u64, copy| {
        let (slot, lba) = geometry.locate(chunk * 8, copy);
        (slot.0, (lba - 16) / 8)
    };
    let places: Vec<_> = (0..4).flat_map(|chunk| [place(chunk, 0), place(chunk, 1)]).collect();
    assert_eq!(places, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2)]);
    assert_eq!(geometry.num_blocks(), 6 * 8, "4 rows of 3 chunks, two copies each");
}

#[test]
fn sizes_follow_the_smallest_member_except_for_concat() {
    let blocks = [116, 216, 316];
    assert_eq!(spec(Level::Raid1, &blocks, 8).build().unwrap().num_blocks(), 100);
    assert_eq!(spec(Level::Raid0, &blocks, 8).build().unwrap().num_blocks(), 3 * 96);
    assert_eq!(spec(Level::Concat, &blocks, 8).build().unwrap().num_blocks(), 600);
}

#[test]
fn default_regions_are_at_least_1_mib_and_at_most_32_ki() {
    let with = |blocks: u64| {
        let mut spec = spec(Level::Raid1, &[blocks + 16, blocks + 16], 8);
        spec.region_blocks = None;
        let geometry = spec.build().unwrap();
        (geometry.region_blocks() * 512, geometry.regions())
    };
    assert_eq!(with(2048 * 64), (1 << 20, 64));
    assert_eq!(with((1 << 40) / 512), (32 << 20, 32 * 1024));
    assert_eq!(with((1 << 40) / 512 + 1), (64 << 20, 16 * 1024 + 1));
}

#[test]
fn impossible_shapes_are_refused_with_what_would_be_right() {
    let refused = |spec: GeometrySpec| spec.build().unwrap_err().to_string();
    assert!(refused(spec(Level::Raid1, &[100], 8)).contains("raid1 needs 2 to 32 members, and got 1"));
    assert!(refused(spec(Level::Raid0, &[100; 33], 8)).contains("and got 33"));
    assert!(refused(spec(Level::Raid10 { near: 4 }, &[100; 3], 8)).contains("near must be from 2"));
    assert!(refused(spec(Level::Raid0, &[100; 2], 12)).contains("power of two"));
    assert!(refused(spec(Level::Raid1, &[100, 16], 8)).contains("slot 1 has 16 blocks; 17 are needed"));
    let mut missing = spec(Level::Raid0, &[100; 2], 8);
    missing.member_blocks[1] = None;
    assert!(refused(missing).contains("fill the slots"));
    let mut odd_blocks = spec(Level::Raid0, &[100; 2], 8);
    odd_blocks.block_size = 520;
    assert!(refused(odd_blocks).contains("512 or 4096"));
    assert!("raid5".parse::<Level>().unwrap_err().to_string().contains("later version"));
}

/// Found by the property test above: with fewer chunks than members, patterns of members that no chunk has
/// were asked for.
#[test]
fn an_array_of_two_chunks_is_served_by_the_members_that_hold_them() {
    let geometry = spec(Level::Raid10 { near: 3 }, &[40; 4], 16).build().unwrap();
    assert_eq!(geometry.num_blocks(), 16, "one row of four chunks holds one chunk thrice");
    assert!(geometry.is_served_by([Slot(2)].into_iter().collect()));
    assert!(!geometry.is_served_by([Slot(3)].into_iter().collect()), "slot 3 holds nothing");
}
