//! The host: what it sends, and what it gets back.

use raid::channel::{HostIo, Op, Step};
use raid::{ChannelId, Fault, IoId};

use super::{World, seen_op};
use crate::check::{Checked, Rule, Violation, ensure};
use crate::coverage::Seen;
use crate::host::Request;
use crate::stamp::Stamp;
use crate::trace::Happening;

const OPS: [Op; 6] = [Op::Read, Op::Write, Op::WriteZeroes, Op::Unmap, Op::Flush, Op::Reset];

impl World {
    /// The host sends an I/O of its mix through some Channel.
    pub(super) fn issue(&mut self) -> Checked {
        let open = self.seats.iter().filter(|seat| !seat.closing).count();
        if open == 0 {
            return Ok(());
        }
        let nth = self.rng.index(open);
        let channel = self.seats.iter().filter(|seat| !seat.closing).nth(nth).expect("counted").id();
        let op = OPS[self.rng.weighted(&self.profile.workload.mix).expect("reads have a weight")];
        let (lba, blocks) = if matches!(op, Op::Flush | Op::Reset) { (0, 0) } else { self.draw_range() };
        let fua = op == Op::Write && self.rng.happens(self.profile.workload.fua);
        let races = op.modifies() && self.oracle.is_being_written(lba, blocks);
        if races && !self.profile.workload.races {
            return self.send(channel, Op::Read, lba, blocks, false);
        }
        if races {
            self.coverage.saw(Seen::RacingWrite);
        }
        self.send(channel, op, lba, blocks, fua)
    }

    fn draw_range(&mut self) -> (u64, u64) {
        let num_blocks = self.layout.num_blocks();
        let (from, hot_blocks) = self.profile.workload.hot;
        let lba =
            if self.rng.once_in(16) { self.rng.below(num_blocks) } else { from + self.rng.below(hot_blocks) };
        let most = self.profile.workload.blocks_max.min(num_blocks - lba);
        let blocks =
            if self.rng.once_in(2) { 1 + self.rng.below(most.min(8)) } else { 1 + self.rng.below(most) };
        (lba, blocks)
    }

    /// Sends one I/O.
    pub(crate) fn send(&mut self, channel: ChannelId, op: Op, lba: u64, blocks: u64, fua: bool) -> Checked {
        let oldest = self.host.oldest();
        let write = op.modifies().then(|| self.oracle.issue(lba, blocks, op == Op::Unmap, oldest));
        let id = self.host.next_id();
        let began = write.map_or_else(|| self.oracle.tick(), |write| write.issued);
        let buffer = if op == Op::Read { vec![Stamp::UNREAD; blocks as usize] } else { Vec::new() };
        self.host.insert(Request {
            id,
            channel,
            op,
            lba,
            blocks,
            fua,
            began,
            write,
            machine: HostIo::new(op, lba, blocks, fua),
            buffer,
            live: 0,
            touched: false,
            asleep: false,
            parked: false,
            errors: Vec::new(),
            planned_under: raid::Epoch(0),
            is_mixed: false,
            sent: Vec::new(),
            reached: Vec::new(),
            answered: raid::SlotSet::EMPTY,
        });
        self.coverage.host_ios += 1;
        self.coverage.saw(seen_op(op));
        if fua {
            self.coverage.saw(Seen::Fua);
        }
        if op.modifies() && self.layout.region_of(lba) != self.layout.region_of(lba + blocks - 1) {
            self.coverage.saw(Seen::ManySegments);
        }
        let write = write.map_or(0, |write| write.id);
        self.trace.note(self.step, &Happening::Issued { channel, io: id, op, lba, blocks, fua, write });
        let seat = self.seat_of(channel)?;
        self.go_on(seat, id)?;
        self.pump(seat)
    }

    /// Asks the machine what to do for the I/O until it has nothing more to say.
    pub(super) fn go_on(&mut self, seat: usize, id: IoId) -> Checked {
        loop {
            let request = self.host.get_mut(id);
            let request = request.ok_or_else(|| unknown(id))?;
            match self.seats[seat].machine.next(id, &mut request.machine) {
                Step::Wait => {
                    request.asleep = request.live == 0;
                    if request.op != Op::Read && request.asleep && request.has_failed_children() {
                        self.coverage.saw(Seen::Withheld);
                    }
                    return Ok(());
                }
                _ if request.asleep => return Err(walks_in_its_sleep(id)),
                Step::Done(result) => return self.complete(seat, id, result),
                Step::Zeros { offset_blocks, blocks } => {
                    let (first, last) = (offset_blocks as usize, (offset_blocks + blocks) as usize);
                    request.buffer[first..last].fill(Stamp::BLANK);
                    self.coverage.saw(Seen::ReadZeros);
                }
                Step::Submit(child) => {
                    if !self.submit(seat, id, child)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// An I/O that lacked a resource tries again.
    pub(super) fn resume_some_io(&mut self) -> Checked {
        let n = self.rng.index(self.parked.len());
        let id = self.parked.swap_remove(n);
        let Some(request) = self.host.get_mut(id) else { return Ok(()) };
        request.parked = false;
        let channel = request.channel;
        let seat = self.seat_of(channel)?;
        self.go_on(seat, id)?;
        self.pump(seat)
    }

    /// The I/O lacks a resource: it is asked about again later.
    pub(super) fn park(&mut self, id: IoId) {
        let request = self.host.get_mut(id).expect("it is in flight");
        if !request.parked {
            request.parked = true;
            self.parked.push(id);
        }
    }

    fn complete(&mut self, seat: usize, id: IoId, result: Result<(), Fault>) -> Checked {
        let request = self.host.remove(id).ok_or_else(|| unknown(id))?;
        let channel = request.channel;
        self.trace.note(self.step, &Happening::Completed { channel, io: id, result });
        ensure(request.live == 0, Rule::Completion, || {
            format!("io {} ends before its children", id.0 >> 16)
        })?;
        match result {
            Ok(()) => {
                self.has_served = true;
                self.succeed(seat, &request)
            }
            Err(fault) => {
                let view = self.seats[seat].machine.view().cloned();
                let view = view.ok_or_else(|| never_opened(channel))?;
                self.check_failed(&request, fault, &view)?;
                if let Some(write) = request.write {
                    self.oracle.fail(write, request.touched);
                }
                Ok(())
            }
        }
    }

    fn succeed(&mut self, seat: usize, request: &Request) -> Checked {
        match (request.op, request.write) {
            (Op::Read, _) => {
                self.note_retries(request);
                self.check_read(request)?;
                self.check_stable(request)
            }
            (Op::Flush, _) => {
                self.check_flushed(request)?;
                self.oracle.flushed(request.began);
                Ok(())
            }
            (Op::Reset, _) => self.check_reset(request, self.seats[seat].machine.view()),
            (_, Some(write)) => {
                if request.has_failed_children() {
                    self.coverage.saw(Seen::AckedWithMiss);
                }
                self.check_acknowledged(request, &write)?;
                let view = self.seats[seat].machine.view().cloned();
                let view = view.ok_or_else(|| never_opened(request.channel))?;
                self.check_miss_recorded(request, &view)?;
                self.oracle.acknowledge(write, request.fua || request.op == Op::WriteZeroes);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_retries(&mut self, request: &Request) {
        let real = request.errors.iter().filter(|error| error.is_real());
        let mut failed: Vec<(u64, raid::Slot)> =
            real.map(|error| (error.child.host_offset_blocks, error.child.slot)).collect();
        failed.sort_unstable();
        failed.dedup();
        if !failed.is_empty() {
            self.coverage.saw(Seen::ReadRetried);
        }
        if failed.windows(2).any(|two| two[0].0 == two[1].0) {
            self.coverage.saw(Seen::ReadRetriedTwice);
        }
    }

    /// The host aborts some I/O.
    pub(super) fn abort_some_io(&mut self) -> Checked {
        if self.host.len() == 0 {
            return Ok(());
        }
        let nth = self.rng.index(self.host.len());
        let request = self.host.iter().nth(nth).expect("counted");
        let (id, channel) = (request.id, request.channel);
        let seat = self.seat_of(channel)?;
        let taken_back = self.seats[seat].machine.abort(id, &request.machine);
        self.trace.note(self.step, &Happening::Aborted { channel, io: id, taken_back });
        self.coverage.saw(if taken_back { Seen::AbortTaken } else { Seen::AbortLate });
        if taken_back {
            let request = self.host.remove(id).expect("it was there a moment ago");
            self.check_aborted(&request)?;
            if let Some(write) = request.write {
                self.oracle.fail(write, request.touched);
            }
        }
        Ok(())
    }
}

fn unknown(id: IoId) -> Violation {
    let text = format!("io {} is not in flight, and the Channel names it", id.0 >> 16);
    Violation { rule: Rule::Completion, text }
}

fn walks_in_its_sleep(id: IoId) -> Violation {
    let text = format!("io {} goes on because it was asked about, and will be named ready too", id.0 >> 16);
    Violation { rule: Rule::Completion, text }
}

fn never_opened(channel: ChannelId) -> Violation {
    Violation { rule: Rule::Completion, text: format!("ch {channel} has no View, and completes an I/O") }
}
