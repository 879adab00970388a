//! What an array is started with.

use std::collections::BTreeMap;
use std::sync::Arc;

use raid::array::{ArraySpec, RecordSpec};
use raid::format::log::place;
use raid::format::{
    Consistency, Features, Generation, LogPage, MemberRecord, Policy, RecordState, Shape, ShutDown,
    Superblock, Uuid16,
};
use raid::shard::{LogSpec, ShardSpec};
use raid::{Epoch, Geometry, RegionId, ShardId, Slot, SlotSet};

use crate::profile::Profile;

/// The array that everything here is about.
pub(crate) const ARRAY: Uuid16 = Uuid16([0xba; 16]);

/// Members of an array that keeps nothing on its drives leave idle leases out for so long.
const IDLE_MS: u64 = 1000;

/// What the machines of one life of the array begin with.
pub(crate) struct Start {
    pub array: ArraySpec,
    pub shards: Vec<ShardSpec>,
}

impl Start {
    /// A new array.
    pub fn create(profile: &Profile, geometry: &Arc<Geometry>, seed: u64) -> Start {
        let slots = profile.geometry.member_blocks.len();
        let filled = |slot: &Slot| profile.geometry.member_blocks[slot.index()].is_some();
        let present = SlotSet::first(slots).iter().filter(filled).collect();
        let record = profile.metadata.is_some().then(|| RecordSpec {
            record: fresh(profile, geometry),
            newest_copy: vec![None; slots],
            seed,
        });
        let states = profile.metadata.as_ref().map(|metadata| {
            let page = |region| (place(RegionId(region)).page, LogPage::new());
            let mut pages: BTreeMap<u16, LogPage> = (0..geometry.regions()).map(page).collect();
            for region in (0..geometry.regions()).map(RegionId) {
                let place = place(region);
                let page = pages.get_mut(&place.page).expect("made above");
                page.set(place.index, metadata.initial);
            }
            pages
        });
        Start::with(profile, geometry, present, record, states, None)
    }

    /// An array of the members in `present`, with what was found on them.
    pub fn with(
        profile: &Profile,
        geometry: &Arc<Geometry>,
        present: SlotSet,
        record: Option<RecordSpec>,
        pages: Option<BTreeMap<u16, LogPage>>,
        crashed: Option<Slot>,
    ) -> Start {
        let members = geometry.members();
        let drive = |slot: Slot| present.contains(slot).then(|| format!("d{slot}"));
        let array = ArraySpec {
            geometry: Arc::clone(geometry),
            drives: SlotSet::first(members).iter().map(drive).collect(),
            flushes: profile.flushes,
            on_failed: profile.on_failed,
            limits: profile.limits,
            shards: profile.shards,
            record,
        };
        let log = |id: u16| {
            let pages = pages.as_ref().filter(|_| geometry.is_redundant())?;
            let of_shard = |number: &u16| number % profile.shards == id;
            let pages = pages.iter().filter(|(number, _)| of_shard(number));
            let pages = pages.map(|(number, page)| (*number, page.clone())).collect();
            Some(LogSpec { array: ARRAY, members, pages, crashed })
        };
        let idle_ms = profile.metadata.as_ref().map_or(IDLE_MS, |metadata| metadata.idle_ms);
        let geometry = Arc::clone(geometry);
        let shard = |id| ShardSpec { id: ShardId(id), geometry: geometry.clone(), log: log(id), idle_ms };
        Start { shards: (0..profile.shards).map(shard).collect(), array }
    }
}

/// The record of a new array.
fn fresh(profile: &Profile, geometry: &Geometry) -> Superblock {
    let member = |(slot, blocks): (usize, &Option<u64>)| match blocks {
        None => MemberRecord::missing(),
        Some(blocks) => MemberRecord {
            uuid: Uuid16([slot as u8 + 1; 16]),
            state: RecordState::InSync,
            blocks: *blocks,
            flushes: profile.flushes.contains(Slot(slot as u8)),
            drive: format!("d{slot}"),
            ..MemberRecord::missing()
        },
    };
    Superblock {
        features: Features::default(),
        version: 0,
        array: ARRAY,
        name: "simulated".to_owned(),
        slot: Slot(0),
        shape: Shape::of(geometry),
        epoch: Epoch(0),
        generation: Generation(1),
        history: Vec::new(),
        shut_down: ShutDown::Unclean,
        policy: Policy {
            consistency: Consistency::Bitmap,
            on_failed: profile.on_failed,
            limits: profile.limits,
            member_timeout_ms: 10_000,
            start_degraded_after_ms: None,
        },
        host: Uuid16([1; 16]),
        heartbeat_ms: 0,
        members: profile.geometry.member_blocks.iter().enumerate().map(member).collect(),
        checkpoint: None,
        bad_blocks: Vec::new(),
        last_event: 0,
        events: Vec::new(),
    }
}
