use super::*;
use crate::file::FileOptions;
use crate::file::bounce::AlignedBuf;
use crate::file::drive::{Drive, ZeroMethod};
use crate::file::failure::FailureKind;
use crate::file::loop_device::LoopDevice;
use crate::file::open::OpenedFile;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BLOCK: usize = 512;
const BLOCKS: usize = 2048;
const BOUND: Duration = Duration::from_secs(60);

/// A disk: direct I/O (by the rules of hier(7), what is there survives a reboot).
const DISK: &str = "/var/tmp";
/// Page cache, holes, and no ZERO_RANGE.
const MEMORY: &str = "/dev/shm";

type Outcome = Result<(), Failure>;

/// The host's side of an I/O: its memory, the list of buffers in it, how it ended, what comes then.
#[derive(Clone)]
struct HostIo(Rc<HostState>);

struct HostState {
    id: u64,
    memory: RefCell<AlignedBuf>,
    iovs: Vec<iovec>,
    outcome: Cell<Option<Outcome>>,
    then: Cell<Option<Box<dyn FnOnce()>>>,
}

impl HostIo {
    /// `data` in buffers of the lengths of `shape`, which begin `skew` bytes behind a page's start.
    fn new(id: u64, data: &[u8], skew: usize, shape: &[usize]) -> HostIo {
        assert_eq!(shape.iter().sum::<usize>(), data.len());
        let mut memory = AlignedBuf::new(skew + data.len() + 1, 4096);
        memory.as_mut_slice()[skew..skew + data.len()].copy_from_slice(data);
        let mut at = skew;
        let iov = |&iov_len: &usize| {
            let iov_base = memory.as_mut_ptr().wrapping_add(at).cast();
            at += iov_len;
            iovec { iov_base, iov_len }
        };
        let iovs = shape.iter().map(iov).collect();
        let (memory, outcome, then) = (RefCell::new(memory), Cell::new(None), Cell::new(None));
        HostIo(Rc::new(HostState { id, memory, iovs, outcome, then }))
    }

    fn plain(id: u64, data: &[u8]) -> HostIo {
        HostIo::new(id, data, 0, &[data.len()])
    }

    fn bare(id: u64) -> HostIo {
        HostIo::new(id, &[], 0, &[])
    }

    fn data(&self) -> Vec<u8> {
        let mut data = vec![0; total_bytes(&self.0.iovs) as usize];
        // SAFETY: the iovecs are those of `memory`; the I/O is through.
        unsafe { crate::file::iov::gather(&self.0.iovs, 0, &mut data) };
        data
    }

    fn outcome(&self) -> Option<Outcome> {
        self.0.outcome.get()
    }
}

// SAFETY: the buffers are on the heap, kept by this and by the test, which looks at them only after the end.
unsafe impl Request for HostIo {
    fn iovs(&self) -> &[iovec] {
        &self.0.iovs
    }

    fn id(&self) -> u64 {
        self.0.id
    }

    fn complete(self, result: Outcome) {
        assert!(self.0.memory.try_borrow_mut().is_ok());
        assert_eq!(self.0.outcome.replace(Some(result)), None, "completed twice");
        if let Some(then) = self.0.then.take() {
            then();
        }
    }
}

struct Bench {
    engine: Rc<Engine<HostIo>>,
    lane: Rc<Lane<HostIo>>,
    drive: Arc<Drive>,
    /// Where its file is, if that goes with it.
    _dir: Option<TempDir>,
}

impl Bench {
    fn on(place: &str) -> Bench {
        Bench::with(place, false)
    }

    fn with(place: &str, assume_durable: bool) -> Bench {
        let dir = TempDir::new_in(place).unwrap();
        let bench = Bench::of(&dir.path().join("d0.img"), assume_durable);
        Bench { _dir: Some(dir), ..bench }
    }

    fn of(path: &Path, assume_durable: bool) -> Bench {
        let size_bytes = Some((BLOCKS * BLOCK) as u64);
        let options = FileOptions { size_bytes, ..FileOptions::new("d0", path) };
        let file = OpenedFile::open(&options).unwrap();
        file.keep();
        let drive = Drive::new(options.name, file, options.block_size, assume_durable);
        let lane = Rc::new(Lane::open(&drive).unwrap());
        Bench { engine: Rc::new(Engine::new().unwrap()), lane, drive, _dir: None }
    }

    /// The same drive on `file`, as a second thread would have it.
    fn lane_on(&self, file: OwnedFd) -> Rc<Lane<HostIo>> {
        let mut lane = Lane::open(&self.drive).unwrap();
        lane.file = File::from(file);
        Rc::new(lane)
    }

    fn submit(&self, command: Command, io: &HostIo) {
        self.engine.submit(&self.lane, command, io.clone());
        assert_eq!(io.outcome(), None, "nothing ends within submit");
    }

    fn wait(&self, io: &HostIo) -> Outcome {
        self.poll_until(|| io.outcome().is_some());
        io.outcome().unwrap()
    }

    fn poll_until(&self, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < BOUND, "not done in time");
            self.engine.poll();
        }
    }

    fn run(&self, command: Command, io: &HostIo) -> Outcome {
        self.submit(command, io);
        self.wait(io)
    }

    fn write(&self, block: usize, data: &[u8]) {
        let command = Command::Write { range: range(block, data.len() / BLOCK), fua: false };
        assert_eq!(self.run(command, &HostIo::plain(0, data)), Ok(()));
    }

    fn read(&self, block: usize, blocks: usize) -> Vec<u8> {
        let io = HostIo::plain(0, &vec![0xaa; blocks * BLOCK]);
        assert_eq!(self.run(Command::Read(range(block, blocks)), &io), Ok(()));
        io.data()
    }

    fn allocated_bytes(&self) -> u64 {
        self.drive.file.path.metadata().unwrap().blocks() * 512
    }
}

fn range(block: usize, blocks: usize) -> ByteRange {
    ByteRange { offset: (block * BLOCK) as u64, len: (blocks * BLOCK) as u64 }
}

fn pattern(seed: usize, blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK).map(|at| ((at / 7 + seed * 31) % 255) as u8 + 1).collect()
}

#[test]
fn a_disk_is_used_directly() {
    assert!(
        Bench::on(DISK).lane.access().is_direct(),
        "{DISK} has no direct I/O: these tests prove less there"
    );
    assert!(!Bench::on(MEMORY).lane.access().is_direct());
}

#[test]
fn what_is_written_is_read_and_in_the_file() {
    for place in [DISK, MEMORY] {
        let bench = Bench::on(place);
        bench.write(3, &pattern(1, 5));
        assert_eq!(bench.read(3, 5), pattern(1, 5));
        assert_eq!(bench.read(0, 3), vec![0; 3 * BLOCK]);
        let file = std::fs::read(&bench.drive.file.path).unwrap();
        assert_eq!(&file[3 * BLOCK..8 * BLOCK], pattern(1, 5));
        assert!(!bench.engine.poll(), "nothing to do when nothing is under way");
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Read,
    Write { fua: bool },
    Unmap,
    WriteZeroes,
    Flush,
}

fn deeds() -> impl Strategy<Value = Vec<(Deed, usize, usize, usize, Vec<usize>)>> {
    let deed = prop_oneof![
        3 => Just(Deed::Read),
        4 => any::<bool>().prop_map(|fua| Deed::Write { fua }),
        1 => Just(Deed::Unmap),
        1 => Just(Deed::WriteZeroes),
        1 => Just(Deed::Flush),
    ];
    let skew = prop_oneof![3 => Just(0), 1 => Just(512), 1 => 1usize..700];
    let cuts = prop_oneof![3 => Just(vec![]), 2 => prop::collection::vec(0usize..64, 1..6)
        .prop_map(|cuts| cuts.into_iter().map(|cut| cut * BLOCK).collect()),
        1 => prop::collection::vec(0usize..4000, 1..6)];
    prop::collection::vec((deed, 0usize..64, 1usize..32, skew, cuts), 1..40)
}

/// Cuts `len` bytes at the given places.
fn shape_of(len: usize, cuts: &[usize]) -> Vec<usize> {
    let mut places: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < len).chain([0, len]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn agrees_with_a_model(bench: &Bench, deeds: &[(Deed, usize, usize, usize, Vec<usize>)]) {
    let mut model = vec![0u8; 96 * BLOCK];
    for (seed, (deed, block, blocks, skew, cuts)) in deeds.iter().enumerate() {
        let (range, bytes) = (range(*block, *blocks), block * BLOCK..(block + blocks) * BLOCK);
        let shape = shape_of(bytes.len(), cuts);
        let io = HostIo::new(0, &pattern(seed, *blocks), *skew, &shape);
        let command = match deed {
            Deed::Read => Command::Read(range),
            Deed::Write { fua } => Command::Write { range, fua: *fua },
            Deed::Unmap => Command::Unmap(range),
            Deed::WriteZeroes => Command::WriteZeroes(range),
            Deed::Flush => Command::Flush,
        };
        assert_eq!(bench.run(command, &io), Ok(()));
        match deed {
            Deed::Read => assert_eq!(io.data(), &model[bytes], "step {seed}"),
            Deed::Write { .. } => model[bytes].copy_from_slice(&pattern(seed, *blocks)),
            Deed::Unmap | Deed::WriteZeroes => model[bytes].fill(0),
            Deed::Flush => {}
        }
    }
    assert_eq!(bench.read(0, 96), model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_history_on_a_disk_agrees_with_a_model(deeds in deeds()) {
        agrees_with_a_model(&Bench::on(DISK), &deeds);
    }

    #[test]
    fn any_history_in_the_page_cache_agrees_with_a_model(deeds in deeds()) {
        agrees_with_a_model(&Bench::on(MEMORY), &deeds);
    }

    #[test]
    fn any_history_with_zeros_written_agrees_with_a_model(deeds in deeds()) {
        let bench = Bench::on(DISK);
        bench.drive.give_up(ZeroMethod::PunchHole);
        agrees_with_a_model(&bench, &deeds);
    }
}

#[test]
fn a_history_on_a_block_device_agrees_with_a_model() {
    let Some(device) = LoopDevice::new((BLOCKS * BLOCK) as u64, BLOCK as u32) else { return };
    let bench = Bench::of(&device.path, false);
    assert!(bench.lane.access().is_direct() && bench.drive.file.can_punch);
    let mut runner = TestRunner::deterministic();
    for _ in 0..20 {
        // Each begins with zeros.
        assert_eq!(bench.run(Command::WriteZeroes(range(0, BLOCKS)), &HostIo::bare(0)), Ok(()));
        agrees_with_a_model(&bench, &deeds().new_tree(&mut runner).unwrap().current());
    }
    assert!(bench.drive.totals().unmaps > 0);
}

#[test]
fn unmap_gives_space_back_and_zeroes() {
    for place in [DISK, MEMORY] {
        let bench = Bench::on(place);
        bench.write(0, &pattern(1, 1024));
        let before = bench.allocated_bytes();
        assert!(before >= 1024 * BLOCK as u64);
        assert_eq!(bench.run(Command::Unmap(range(1, 1022)), &HostIo::bare(0)), Ok(()));
        assert!(bench.allocated_bytes() <= before - 1000 * BLOCK as u64, "{}", bench.allocated_bytes());
        assert_eq!(bench.read(0, 1), pattern(1, 1024)[..BLOCK]);
        assert_eq!(bench.read(1, 1022), vec![0; 1022 * BLOCK]);
        assert_eq!(bench.read(1023, 1), pattern(1, 1024)[1023 * BLOCK..]);
        assert_eq!(bench.drive.totals().unmaps, 1);
    }
}

#[test]
fn zeroing_falls_back_by_what_the_file_system_has() {
    let disk = Bench::on(DISK);
    assert_eq!(disk.run(Command::WriteZeroes(range(0, BLOCKS)), &HostIo::bare(0)), Ok(()));
    assert_eq!(disk.drive.zero_method(), ZeroMethod::ZeroRange);

    let memory = Bench::on(MEMORY);
    memory.write(0, &pattern(1, 64));
    assert_eq!(memory.run(Command::WriteZeroes(range(0, 64)), &HostIo::bare(0)), Ok(()));
    assert_eq!(memory.drive.zero_method(), ZeroMethod::PunchHole);
    assert_eq!(memory.read(0, 64), vec![0; 64 * BLOCK]);

    memory.drive.give_up(ZeroMethod::PunchHole);
    memory.write(0, &pattern(1, BLOCKS));
    assert_eq!(memory.run(Command::WriteZeroes(range(1, BLOCKS - 1)), &HostIo::bare(0)), Ok(()));
    assert_eq!(memory.read(1, BLOCKS - 1), vec![0; (BLOCKS - 1) * BLOCK]);
    assert_eq!(memory.read(0, 1), pattern(1, 1));
    let totals = memory.drive.totals();
    assert_eq!((totals.write_zeroes, totals.zero_writes), (2, 16), "1 MiB less a block, 64 KiB at a time");
}

#[test]
fn more_unaligned_ios_than_bounce_buffers_all_end() {
    let bench = Bench::on(DISK);
    let blocks = BLOCKS / 16;
    let ios: Vec<HostIo> =
        (0..16).map(|seed| HostIo::new(seed as u64, &pattern(seed, blocks), 3, &[blocks * BLOCK])).collect();
    for (seed, io) in ios.iter().enumerate() {
        bench.submit(Command::Write { range: range(seed * blocks, blocks), fua: false }, io);
    }
    for io in &ios {
        assert_eq!(bench.wait(io), Ok(()));
    }
    for seed in 0..16 {
        assert_eq!(bench.read(seed * blocks, blocks), pattern(seed, blocks));
    }
    assert_eq!(bench.drive.totals().bounces, 16);
}

#[test]
fn more_ios_than_the_ring_holds_all_end() {
    let (bench, data) = (Bench::on(MEMORY), pattern(1, BLOCKS));
    bench.write(0, &data);
    let ios: Vec<HostIo> = (0..5000).map(|id| HostIo::plain(id, &[0; BLOCK])).collect();
    for (at, io) in ios.iter().enumerate() {
        bench.submit(Command::Read(range(at % BLOCKS, 1)), io);
    }
    for (at, io) in ios.iter().enumerate() {
        assert_eq!(bench.wait(io), Ok(()));
        assert_eq!(io.data(), data[at % BLOCKS * BLOCK..][..BLOCK]);
    }
    assert_eq!(bench.drive.totals().reads, 5000);
}

#[test]
fn flushes_that_come_together_share_a_sync() {
    let bench = Bench::on(DISK);
    bench.write(0, &pattern(1, 8));
    let ios: Vec<HostIo> = (0..10).map(HostIo::bare).collect();
    ios.iter().for_each(|io| bench.submit(Command::Flush, io));
    assert!(ios.iter().all(|io| bench.wait(io) == Ok(())));
    let totals = bench.drive.totals();
    assert_eq!((totals.flushes, totals.syncs), (10, 2));
}

#[test]
fn fua_is_dsync_on_a_disk_and_a_sync_in_the_page_cache() {
    let fua = Command::Write { range: range(0, 8), fua: true };
    let disk = Bench::on(DISK);
    assert_eq!(disk.run(fua, &HostIo::plain(0, &pattern(1, 8))), Ok(()));
    let totals = disk.drive.totals();
    assert_eq!((totals.fua_writes, totals.dsync_writes, totals.syncs), (1, 1, 0));

    let memory = Bench::on(MEMORY);
    assert_eq!(memory.run(fua, &HostIo::plain(0, &pattern(1, 8))), Ok(()));
    let totals = memory.drive.totals();
    assert_eq!((totals.fua_writes, totals.dsync_writes, totals.syncs), (1, 0, 1));
}

#[test]
fn assumed_durable_drives_never_sync() {
    let bench = Bench::with(DISK, true);
    let fua = Command::Write { range: range(0, 8), fua: true };
    assert_eq!(bench.run(fua, &HostIo::plain(0, &pattern(1, 8))), Ok(()));
    assert_eq!(bench.run(Command::Flush, &HostIo::bare(0)), Ok(()));
    let totals = bench.drive.totals();
    assert_eq!((totals.flushes, totals.fua_writes, totals.dsync_writes, totals.syncs), (1, 1, 0, 0));
}

#[test]
fn a_completion_may_submit() {
    let bench = Bench::on(DISK);
    let (first, second) = (HostIo::plain(1, &pattern(1, 1)), HostIo::plain(2, &[0; BLOCK]));
    let (engine, lane, next) = (Rc::clone(&bench.engine), Rc::clone(&bench.lane), second.clone());
    first.0.then.set(Some(Box::new(move || engine.submit(&lane, Command::Read(range(0, 1)), next))));
    bench.submit(Command::Write { range: range(0, 1), fua: false }, &first);
    assert_eq!(bench.wait(&second), Ok(()));
    assert_eq!(second.data(), pattern(1, 1));
}

#[test]
fn short_reads_are_continued() {
    let bench = Bench::on(MEMORY);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let lane = bench.lane_on(reader.into());
    let io = HostIo::new(0, &[0; BLOCK], 0, &[200, 0, 312]);
    bench.engine.submit(&lane, Command::Read(range(0, 1)), io.clone());
    let data = pattern(3, 1);
    for (piece, read) in [(0..100, 1), (100..250, 2)] {
        writer.write_all(&data[piece]).unwrap();
        bench.poll_until(|| bench.drive.totals().short_transfers == read);
    }
    writer.write_all(&data[250..]).unwrap();
    assert_eq!(bench.wait(&io), Ok(()));
    assert_eq!(io.data(), data);
}

#[test]
fn failures_say_what_they_mean() {
    let bench = Bench::on(MEMORY);
    let full = bench.lane_on(File::options().write(true).open("/dev/full").unwrap().into());
    let io = HostIo::plain(0, &[0; BLOCK]);
    bench.engine.submit(&full, Command::Write { range: range(0, 1), fua: true }, io.clone());
    assert_eq!(bench.wait(&io), Err(Failure { kind: FailureKind::Full, errno: libc::ENOSPC }));
    assert_eq!(bench.drive.totals().syncs, 0, "what was not written is not synced");

    File::options().write(true).open(&bench.drive.file.path).unwrap().set_len(BLOCK as u64).unwrap();
    assert_eq!(
        bench.run(Command::Read(range(0, 2)), &HostIo::plain(0, &[0; 2 * BLOCK])),
        Err(Failure::TRUNCATED)
    );

    let small = HostIo::plain(0, &[0; BLOCK]);
    let outcome = bench.run(Command::Read(range(0, 2)), &small);
    assert_eq!(outcome, Err(Failure { kind: FailureKind::Other, errno: libc::EINVAL }));
    assert_eq!(bench.drive.totals().errors, 3);
}

#[test]
fn one_failed_sync_fails_all_who_share_it() {
    let bench = Bench::on(MEMORY);
    let (reader, _writer) = std::io::pipe().unwrap();
    let pipe = bench.lane_on(reader.into());
    let ios: Vec<HostIo> = (0..3).map(HostIo::bare).collect();
    ios.iter().for_each(|io| bench.engine.submit(&pipe, Command::Flush, io.clone()));
    // fdatasync of a pipe is EINVAL.
    assert!(ios.iter().all(|io| bench.wait(io) == Err(Failure::of_errno(libc::EINVAL))));
}

#[test]
fn abort_takes_back_what_has_not_started() {
    let bench = Bench::on(DISK);
    bench.write(0, &pattern(9, 1));
    let (write, abort) = (HostIo::plain(1, &pattern(1, 1)), HostIo::bare(2));
    bench.submit(Command::Write { range: range(0, 1), fua: false }, &write);
    bench.submit(Command::Abort { target: 1 }, &abort);
    assert_eq!(bench.wait(&abort), Ok(()));
    assert_eq!(bench.wait(&write), Err(Failure::ABORTED));
    assert_eq!(bench.read(0, 1), pattern(9, 1), "it never reached the file");

    // The second and third flush wait while the first one's sync runs.
    let flushes: Vec<HostIo> = (10..13).map(HostIo::bare).collect();
    flushes.iter().for_each(|io| bench.submit(Command::Flush, io));
    let abort = HostIo::bare(3);
    bench.submit(Command::Abort { target: 11 }, &abort);
    assert_eq!(bench.wait(&abort), Ok(()));
    let outcomes: Vec<Outcome> = flushes.iter().map(|io| bench.wait(io)).collect();
    assert_eq!(outcomes, [Ok(()), Err(Failure::ABORTED), Ok(())]);

    let unknown = bench.run(Command::Abort { target: 99 }, &HostIo::bare(4));
    assert_eq!(unknown, Err(Failure::of_errno(libc::ENOENT)));
    let totals = bench.drive.totals();
    assert_eq!((totals.aborts, totals.errors), (2, 0));
}

#[test]
fn abort_takes_back_what_waits_for_a_bounce_buffer() {
    let bench = Bench::on(DISK);
    let io = |id| HostIo::new(id, &pattern(1, 1), 1, &[BLOCK]);
    let ios: Vec<HostIo> = (0..9).map(io).collect();
    ios.iter().for_each(|io| bench.submit(Command::Write { range: range(0, 1), fua: false }, io));
    bench.engine.poll();
    let abort = HostIo::bare(100);
    bench.submit(Command::Abort { target: 8 }, &abort);
    assert_eq!(bench.wait(&abort), Ok(()));
    assert_eq!(bench.wait(&ios[8]), Err(Failure::ABORTED));
    assert!(ios[..8].iter().all(|io| bench.wait(io) == Ok(())));
}

#[test]
fn abort_asks_the_kernel_for_what_is_there() {
    let bench = Bench::on(MEMORY);
    let (reader, _writer) = std::io::pipe().unwrap();
    let pipe = bench.lane_on(reader.into());
    let (read, abort) = (HostIo::plain(1, &[0; BLOCK]), HostIo::bare(2));
    bench.engine.submit(&pipe, Command::Read(range(0, 1)), read.clone());
    bench.engine.poll();
    bench.engine.poll();
    assert_eq!(read.outcome(), None);
    bench.engine.submit(&pipe, Command::Abort { target: 1 }, abort.clone());
    let of_read = read.clone();
    abort
        .0
        .then
        .set(Some(Box::new(move || assert!(of_read.outcome().is_some(), "it ends before its abort"))));
    assert_eq!(bench.wait(&abort), Ok(()));
    assert_eq!(read.outcome(), Some(Err(Failure::ABORTED)));
}

#[test]
fn reset_waits_for_what_is_under_way_on_all_threads() {
    let (here, there) = (Bench::on(MEMORY), Rc::new(Engine::<HostIo>::new().unwrap()));
    let (reader, mut writer) = std::io::pipe().unwrap();
    let pipe = here.lane_on(reader.into());
    let read = HostIo::plain(1, &[0; BLOCK]);
    there.submit(&pipe, Command::Read(range(0, 1)), read.clone());
    there.poll();

    let reset = HostIo::bare(2);
    here.submit(Command::Reset, &reset);
    for _ in 0..1000 {
        here.engine.poll();
    }
    assert_eq!(reset.outcome(), None);
    writer.write_all(&[1; BLOCK]).unwrap();
    let start = Instant::now();
    while read.outcome().is_none() {
        assert!(start.elapsed() < BOUND);
        there.poll();
    }
    assert_eq!(here.wait(&reset), Ok(()));
}

#[test]
fn totals_outlive_their_threads() {
    let bench = Bench::on(MEMORY);
    let drive = Arc::clone(&bench.drive);
    bench.write(0, &pattern(1, 4));
    drop(bench);
    assert_eq!((drive.totals().writes, drive.totals().written_bytes), (1, 4 * BLOCK as u64));
    assert!(drive.is_quiet());
}
