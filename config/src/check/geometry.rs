//! Whether an array can exist: enough members, not too many missing, chunks and blocks that fit.

use std::collections::HashMap;

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::order::post_order;
use crate::{Array, BlockSize, Config, Layout, Level, Member, Spanned};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let blocks = block_sizes(config);
    for array in &config.arrays {
        members(array, findings);
        block_size(array, &blocks, findings);
    }
}

fn members(array: &Array, findings: &mut Findings) {
    let (level, found) = (array.level.value, array.members.len());
    let missing: Vec<usize> =
        (0..found).filter(|slot| array.members[*slot].value == Member::Missing).collect();
    let min = level.members_min();
    if found < min {
        findings.refuse(&array.members.place, DiagnosticKind::MembersTooFew { level, min, found });
    } else if let Layout::Near(near) = array.layout.value
        && near as usize > found
    {
        findings.refuse(&array.layout.place, DiagnosticKind::NearTooLarge { near, members: found });
    } else if missing.len() == found {
        findings.refuse(&array.members.place, DiagnosticKind::MembersAllMissing);
    } else if !survives(array, &missing) {
        let kind = DiagnosticKind::MembersMissingTooMany { level, missing: missing.len() };
        findings.refuse(&array.members[missing[missing.len() - 1]].place, kind);
    }
}

/// Whether the array has all its data without these slots.
fn survives(array: &Array, missing: &[usize]) -> bool {
    match (array.level.value, array.layout.value) {
        (Level::Raid1, _) => missing.len() < array.members.len(),
        (Level::Raid5, _) => missing.len() <= 1,
        (Level::Raid6, _) => missing.len() <= 2,
        (Level::Raid10, Layout::Near(near)) => {
            // md(4): copies stand side by side, so chunk c is on the slots c*near, c*near+1, ... modulo the
            // members.
            let slots = array.members.len();
            let is_lost = |chunk: usize| {
                (0..near as usize).all(|i| missing.contains(&((chunk * near as usize + i) % slots)))
            };
            !(0..slots).any(is_lost)
        }
        (Level::Raid10 | Level::Concat | Level::Raid0, _) => missing.is_empty(),
    }
}

/// The block sizes that are known from the file, by the names of drives and arrays. An array has that of its
/// members.
fn block_sizes(config: &Config) -> HashMap<&str, BlockSize> {
    let mut known = HashMap::new();
    for drive in config.drives_in_build_order() {
        let size = drive.block_size().or_else(|| known.get(drive.over()?.name).copied());
        known.extend(size.map(|size| (drive.name.as_str(), size)));
    }
    let arrays =
        post_order(&config.arrays, |array| array.name.as_str(), |array| array.member_arrays().collect());
    for index in arrays.nodes {
        let array = &config.arrays[index];
        let size = array.members.iter().find_map(|member| known.get(member.name()?).copied());
        known.extend(size.map(|size| (array.name.as_str(), size)));
    }
    known
}

/// All members and spares have one block size, and a chunk is made of whole blocks.
fn block_size(array: &Array, blocks: &HashMap<&str, BlockSize>, findings: &mut Findings) {
    let members = array.members.iter().filter_map(|member| member.name().map(|name| (name, &member.place)));
    let spares = array.spares.iter().map(|spare| (spare.as_str(), &spare.place));
    let mut sized = members.chain(spares).filter_map(|(name, place)| Some((name, place, *blocks.get(name)?)));
    let Some((first, first_place, first_block)) = sized.next() else { return };
    for (drive, place, block) in sized.filter(|(_, _, block)| *block != first_block) {
        let (drive, first) = (drive.to_owned(), first.to_owned());
        let kind = DiagnosticKind::BlockSizesMixed { drive, block, first, first_block };
        findings.refuse_with(place, kind, "the first one is here", first_place);
    }
    if let Some(Spanned { value: chunk, place }) = &array.chunk
        && *chunk < first_block.bytes()
    {
        let kind =
            DiagnosticKind::ChunkBelowBlock { chunk: *chunk, block: first_block, drive: first.to_owned() };
        findings.refuse_with(place, kind, "the drive is used here", first_place);
    }
}
