use super::*;
use crate::file::iov;

const DIRECT: Access = Access::Direct { memory_align: 512, offset_align: 512 };

/// One buffer, as the host would give it in the lengths of `shape`, from byte `start` on.
fn host_of(buffer: &mut AlignedBuf, start: usize, shape: &[usize]) -> Vec<iovec> {
    let mut at = start;
    let iov = |&iov_len: &usize| {
        let iov_base = buffer.as_mut_ptr().wrapping_add(at).cast();
        at += iov_len;
        iovec { iov_base, iov_len }
    };
    shape.iter().map(iov).collect()
}

fn prepare(transfer: &mut Transfer, host: &[iovec], access: Access, pool: &mut BouncePool) -> Option<Piece> {
    // SAFETY: every test here owns the buffers that its `host` names.
    unsafe { transfer.prepare(host, access, pool) }
}

fn advance(transfer: &mut Transfer, bytes: u32, host: &[iovec], access: Access) -> Progress {
    // SAFETY: as above, and there is no kernel in these tests.
    unsafe { transfer.advance(bytes, host, access) }
}

#[test]
fn aligned_buffers_go_as_they_are() {
    let (mut buffer, mut pool) = (AlignedBuf::new(8192, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[4096, 512, 3584]);
    let mut transfer = Transfer::new(Direction::Write, 4096, 8192);
    let Some(Piece::Vectored { iovs, iov_count: 3, offset: 4096 }) =
        prepare(&mut transfer, &host, DIRECT, &mut pool)
    else {
        panic!("three buffers as they are");
    };
    assert_eq!(iovs, host.as_ptr());
    assert_eq!(advance(&mut transfer, 8192, &host, DIRECT), Progress::Done);
}

#[test]
fn one_buffer_needs_no_list() {
    let (mut buffer, mut pool) = (AlignedBuf::new(4096, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[4096]);
    let mut transfer = Transfer::new(Direction::Read, 0, 4096);
    let piece = prepare(&mut transfer, &host, DIRECT, &mut pool);
    let Some(Piece::Single { buffer: start, bytes: 4096, offset: 0 }) = piece else { panic!("{piece:?}") };
    assert_eq!(start, buffer.as_mut_ptr());
}

#[test]
fn host_buffers_longer_than_the_io_are_cut() {
    let (mut buffer, mut pool) = (AlignedBuf::new(8192, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[4096, 4096]);
    let mut transfer = Transfer::new(Direction::Write, 0, 4096);
    let piece = prepare(&mut transfer, &host, DIRECT, &mut pool);
    assert!(matches!(piece, Some(Piece::Single { bytes: 4096, .. })), "{piece:?}");
}

#[test]
fn unaligned_writes_are_copied_in_steps_and_give_the_buffer_back() {
    let len = BOUNCE_BYTES + 512;
    let (mut buffer, mut pool) = (AlignedBuf::new(len + 1, 4096), BouncePool::default());
    buffer.as_mut_slice().iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8);
    let host = host_of(&mut buffer, 1, &[len]);
    let mut transfer = Transfer::new(Direction::Write, 512, len as u64);

    let mut written = Vec::new();
    for (expected_bytes, expected_offset) in [(BOUNCE_BYTES as u32, 512), (512, 512 + BOUNCE_BYTES as u64)] {
        let piece = prepare(&mut transfer, &host, DIRECT, &mut pool);
        let Some(Piece::Single { buffer, bytes, offset }) = piece else { panic!("{piece:?}") };
        assert_eq!((bytes, offset, buffer as usize % 512), (expected_bytes, expected_offset, 0));
        // SAFETY: the piece is the bounce buffer that `transfer` holds.
        written.extend_from_slice(unsafe { std::slice::from_raw_parts(buffer, bytes as usize) });
        let is_last = expected_bytes == 512;
        let expected = if is_last { Progress::Done } else { Progress::More { short: false } };
        assert_eq!(advance(&mut transfer, bytes, &host, DIRECT), expected);
    }
    assert_eq!(written, &buffer.as_slice()[1..]);
    assert!(transfer.release(&mut pool));
    assert!(!transfer.release(&mut pool));
}

#[test]
fn without_a_bounce_buffer_it_waits() {
    let (mut buffer, mut pool) = (AlignedBuf::new(1024, 512), BouncePool::default());
    let all: Vec<AlignedBuf> = std::iter::from_fn(|| pool.take()).collect();
    let host = host_of(&mut buffer, 0, &[100, 412]);
    let mut transfer = Transfer::new(Direction::Write, 0, 512);
    assert!(prepare(&mut transfer, &host, DIRECT, &mut pool).is_none());
    all.into_iter().for_each(|one| pool.give(one));
    assert!(prepare(&mut transfer, &host, DIRECT, &mut pool).is_some());
}

#[test]
fn short_direct_transfer_goes_on_at_a_block() {
    let (mut buffer, mut pool) = (AlignedBuf::new(4096, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[2048, 2048]);
    let mut transfer = Transfer::new(Direction::Read, 8192, 4096);
    prepare(&mut transfer, &host, DIRECT, &mut pool).unwrap();
    assert_eq!(advance(&mut transfer, 1600, &host, DIRECT), Progress::More { short: true });
    let piece = prepare(&mut transfer, &host, DIRECT, &mut pool);
    let Some(Piece::Vectored { iovs, iov_count: 2, offset }) = piece else { panic!("{piece:?}") };
    // SAFETY: the list belongs to `transfer`, which is not touched meanwhile.
    let list = unsafe { std::slice::from_raw_parts(iovs, 2) };
    assert_eq!((offset, iov::total_bytes(list)), (8192 + 1536, 4096 - 1536));
    assert_eq!(advance(&mut transfer, 4096 - 1536, &host, DIRECT), Progress::Done);
}

#[test]
fn short_buffered_transfer_goes_on_at_the_byte() {
    let (mut buffer, mut pool) = (AlignedBuf::new(4096, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[4096]);
    let mut transfer = Transfer::new(Direction::Write, 0, 4096);
    prepare(&mut transfer, &host, Access::Buffered, &mut pool).unwrap();
    assert_eq!(advance(&mut transfer, 7, &host, Access::Buffered), Progress::More { short: true });
    let piece = prepare(&mut transfer, &host, Access::Buffered, &mut pool);
    assert!(matches!(piece, Some(Piece::Single { bytes: 4089, offset: 7, .. })), "{piece:?}");
}

#[test]
fn no_progress_ends_in_an_error() {
    let (mut buffer, mut pool) = (AlignedBuf::new(4096, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[4096]);
    let mut transfer = Transfer::new(Direction::Write, 0, 4096);
    let ends: Vec<Progress> = (0..=STALLS_MAX)
        .map(|_| {
            prepare(&mut transfer, &host, DIRECT, &mut pool).unwrap();
            advance(&mut transfer, 100, &host, DIRECT)
        })
        .collect();
    let (last, before) = ends.split_last().unwrap();
    assert!(before.iter().all(|end| *end == Progress::More { short: true }));
    assert_eq!(*last, Progress::Failed(Failure::of_errno(libc::EIO)));
}

#[test]
fn end_of_file_is_an_error_at_once() {
    let (mut buffer, mut pool) = (AlignedBuf::new(4096, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &[4096]);
    let mut transfer = Transfer::new(Direction::Read, 0, 4096);
    prepare(&mut transfer, &host, DIRECT, &mut pool).unwrap();
    assert_eq!(advance(&mut transfer, 0, &host, DIRECT), Progress::Failed(Failure::TRUNCATED));
}

#[test]
fn more_buffers_than_the_kernel_takes_go_in_parts() {
    let count = IOV_MAX + 3;
    let (mut buffer, mut pool) = (AlignedBuf::new(count * 512, 4096), BouncePool::default());
    let host = host_of(&mut buffer, 0, &vec![512; count]);
    let mut transfer = Transfer::new(Direction::Write, 0, count as u64 * 512);
    let piece = prepare(&mut transfer, &host, DIRECT, &mut pool);
    assert!(matches!(piece, Some(Piece::Vectored { iov_count: 1024, .. })), "{piece:?}");
    let moved = (IOV_MAX * 512) as u32;
    assert_eq!(advance(&mut transfer, moved, &host, DIRECT), Progress::More { short: false });
    let piece = prepare(&mut transfer, &host, DIRECT, &mut pool);
    assert!(matches!(piece, Some(Piece::Vectored { iov_count: 3, offset: 524288, .. })), "{piece:?}");
    assert_eq!(advance(&mut transfer, 3 * 512, &host, DIRECT), Progress::Done);
}
