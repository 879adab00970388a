//! What a run has met. A campaign that meets too little proves little, and fails.

use std::fmt;

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// Something worth meeting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Seen {
            $($(#[$doc])* $name,)*
        }

        const NAMES: &[&str] = &[$($text,)*];
    };
}

seen! {
    Read: "host: read",
    Write: "host: write",
    WriteZeroes: "host: write-zeroes",
    Unmap: "host: unmap",
    Flush: "host: flush",
    Reset: "host: reset",
    Fua: "host: write with FUA",
    RacingWrite: "host: write over a write in flight",
    AbortTaken: "host: abort took the I/O back",
    AbortLate: "host: abort came too late",
    Concat: "level: concat",
    Raid0: "level: raid0",
    Raid1: "level: raid1",
    Raid10: "level: raid10",
    Raid10Odd: "level: raid10, copies do not divide the members",
    Missing: "level: begun with a slot missing",
    FaultMediaRead: "fault: media error of a read",
    FaultMediaWrite: "fault: media error of a write",
    FaultFlush: "fault: flush failed",
    FaultPath: "fault: path error",
    FaultOther: "fault: other error",
    FaultGone: "fault: drive gone, seen by I/O",
    FaultAborted: "fault: aborted",
    FaultNoResourcesAtSubmit: "fault: no resources to submit",
    FaultNoResourcesAtEnd: "fault: no resources, said at the end",
    TornNothing: "fault: failed write left nothing",
    TornEverything: "fault: failed write left everything",
    TornHead: "fault: failed write left its head",
    TornScattered: "fault: failed write left some blocks",
    AbortedByReset: "fault: aborted by a reset",
    HotRemoved: "world: drive pulled out",
    StalledDisk: "world: drive stalled",
    StalledLink: "world: messages stalled",
    PathDown: "world: path down for a while",
    BadBlocks: "world: blocks went bad",
    Opened: "channel: opened in mid-run",
    Closed: "channel: closed in mid-run",
    ClosedWithLeases: "channel: closed with leases",
    FailAccepted: "operator: fail accepted",
    FailRefused: "operator: fail refused",
    RemoveAccepted: "operator: remove accepted",
    RemoveRefused: "operator: remove refused",
    MsgOpened: "message: ChannelOpened",
    MsgArrayClosed: "message: ChannelClosed to the Array",
    MsgSwapped: "message: Swapped",
    MsgDrained: "message: Drained",
    MsgReport: "message: Report",
    MsgUnrecorded: "message: Unrecorded",
    MsgShardFlushed: "message: ShardFlushed",
    CopyDone: "repair: blocks copied",
    CopyUnread: "repair: the source could not be read",
    CopyUnwritten: "repair: could not be written",
    CopyUnflushed: "repair: could not be flushed",
    MsgRepair: "message: Repair",
    MsgRepaired: "message: Repaired",
    MsgUnrepaired: "message: Unrepaired",
    MsgGiveBackIfIdle: "message: GiveBackIfIdle",
    MsgRules: "message: Rules",
    MsgRule: "message: Rule",
    MsgDenied: "message: Denied",
    MsgShardOpened: "message: ChannelOpened to a Shard",
    MsgRuleAnswered: "message: RuleSeen",
    MsgQuit: "message: Quit",
    MsgView: "message: View",
    MsgSettled: "message: Settled",
    MsgKept: "message: Kept",
    MsgAcquire: "message: Acquire",
    MsgGrant: "message: Grant",
    MsgRevoke: "message: Revoke",
    MsgRelease: "message: Release",
    MsgShardClosed: "message: ChannelClosed to a Shard",
    AcquireWaited: "lease: asked for while it is revoked",
    RevokedInUse: "lease: revoked under writes in flight",
    RevokeVoid: "lease: a revoke that crossed with the Channel's close",
    MemberFailed: "membership: member failed for an error",
    MemberGone: "membership: member gone",
    Frozen: "membership: frozen",
    DriveClosed: "membership: drive closed",
    DrainedLate: "membership: a Channel swapped first and drained later",
    ReadRetried: "I/O: read answered by another copy",
    ReadRetriedTwice: "I/O: read answered by a third copy",
    Replanned: "I/O: planned under two Views",
    AckedWithMiss: "I/O: acknowledged after a miss had settled",
    ManySegments: "I/O: write across regions",
    FailedRead: "I/O: read failed on every copy",
    FailedKept: "I/O: write failed on a member that stays",
    FailedUnserved: "I/O: failed, no member serves it",
    LeftWaiting: "I/O: waits for members that are gone",
    CopiesDiffer: "audit: in-sync copies differ (writes that failed or overlapped, unmaps)",
    MetaSuperblock: "metadata: superblock written",
    MetaPage: "metadata: log page written",
    MetaZeroes: "metadata: zeroes written",
    MetaFlush: "metadata: flush alone",
    FaultMetaWrite: "fault: metadata write failed",
    FaultMetaFlush: "fault: flush of metadata failed",
    StalledMeta: "world: metadata I/O stalled",
    Heartbeat: "clock: heartbeat or counters due",
    Swept: "clock: idle regions looked for",
    MarkCleared: "log: mark cleared",
    ReadZeros: "I/O: unwritten blocks read as zeros",
    Denied: "I/O: write refused, its mark can't be recorded",
    Unrecordable: "membership: a member that stays can't be recorded on",
    TakenBack: "membership: an unrecorded removal taken back",
    CrashProcess: "crash: the process",
    CrashPower: "crash: the power",
    CrashInStart: "crash: before the first View is published",
    CrashRecordNowhere: "crash: a changed record is on no member",
    CrashRecordSome: "crash: a changed record is on some members",
    CrashRecordEverywhere: "crash: a changed record is on all members, and not acted upon",
    CrashInPage: "crash: in a log page's write",
    CrashInZeroes: "crash: while a region is zeroed",
    CrashBeforeMark: "crash: between a region's zeroes and its mark",
    CrashInBatch: "crash: in a flush before marks are cleared",
    CrashInClear: "crash: while a mark is cleared",
    CrashInEnd: "crash: during the end",
    CrashWithWrites: "crash: with writes in flight",
    RestartClean: "restart: after an end in order",
    LeftOut: "assembly: a member left out",
    StalePresent: "assembly: a stale member is there",
    Returned: "assembly: a drive that was gone is back",
    OlderRecord: "assembly: an in-sync member has an older record",
    Split: "assembly: two sides went on apart",
    DamagedCopy: "assembly: a superblock copy is damaged",
    NeedSync: "assembly: a region needs a sync",
    NeedSyncAgain: "assembly: a region needed a sync before",
    CopiesApart: "assembly: copies differ by the crash",
    ReadPinned: "I/O: read again what a crash has left open",
    Unnumbered: "events: told without a number",
    Withheld: "I/O: write or flush with a miss waits for the membership",
}

/// What takes several rare things at once.
const RARE: &[Seen] = &[Seen::TakenBack, Seen::Split];

/// Counts of everything in [`Seen`], and of work done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
    /// Host I/Os issued.
    pub host_ios: u64,
    /// Member I/Os submitted.
    pub children: u64,
    /// Metadata I/Os submitted.
    pub meta_ios: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Steps taken.
    pub steps: u64,
    /// Seeds run.
    pub seeds: u64,
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage {
            counts: vec![0; NAMES.len()],
            host_ios: 0,
            children: 0,
            meta_ios: 0,
            messages: 0,
            steps: 0,
            seeds: 0,
        }
    }
}

impl Coverage {
    pub(crate) fn of_one_seed() -> Coverage {
        Coverage { seeds: 1, ..Coverage::default() }
    }

    #[inline]
    pub(crate) fn saw(&mut self, seen: Seen) {
        self.counts[seen as usize] += 1;
    }

    /// Adds what another run has met.
    pub fn add(&mut self, other: &Coverage) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, more)| *mine += more);
        self.host_ios += other.host_ios;
        self.children += other.children;
        self.meta_ios += other.meta_ios;
        self.messages += other.messages;
        self.steps += other.steps;
        self.seeds += other.seeds;
    }

    /// What was met fewer than `times` times, with how often it was; what takes several rare things at once may
    /// be ten times as rare.
    pub fn too_rare(&self, times: u64) -> Vec<(&'static str, u64)> {
        let is_rare = |name: &str| RARE.iter().any(|rare| NAMES[*rare as usize] == name);
        let wanted = |name: &str| if is_rare(name) { times / 10 } else { times };
        let counted = NAMES.iter().zip(&self.counts);
        counted.filter(|(name, count)| **count < wanted(name)).map(|(name, count)| (*name, *count)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in NAMES.iter().zip(&self.counts) {
            writeln!(f, "  {count:>10}  {name}")?;
        }
        let Coverage { seeds, host_ios, children, meta_ios, messages, steps, .. } = self;
        write!(
            f,
            "{seeds} seeds, {host_ios} host I/Os, {children} member I/Os, {meta_ios} metadata I/Os, \
             {messages} messages, {steps} steps"
        )
    }
}
