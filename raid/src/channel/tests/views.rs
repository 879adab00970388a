use super::*;

#[test]
fn io_waits_until_the_array_has_sent_a_view() {
    let mut rig = Rig::unopened(Level::Raid0, 2, OnFailed::Error);
    assert_eq!(rig.sent(), [FromChannel::Array(ToArray::ChannelOpened(ChannelId(1)))]);
    let read = rig.start(Op::Read, 0, 8);
    assert!(rig.out.is_empty() && !rig.channel.is_idle());
    rig.view(4, &[]);
    assert_eq!(rig.out_to(read), [0]);
    assert_eq!(rig.sent(), [swapped(4), drained(4)]);
}

#[test]
fn drained_is_said_when_the_last_child_of_an_older_view_is_back() {
    let mut rig = Rig::mirror();
    let [old, older] = [rig.start(Op::Write, 0, 8), rig.start(Op::Flush, 0, 0)];
    rig.view(2, &[1]);
    let new = rig.start(Op::Read, 0, 8);
    assert_eq!(rig.sent(), [swapped(2)]);
    rig.back(old, 0, Ok(()));
    rig.back(old, 1, Ok(()));
    rig.back(older, 0, Ok(()));
    assert_eq!(rig.sent(), []);
    rig.back(older, 1, Ok(()));
    assert_eq!(rig.sent(), [drained(2)]);
    assert_eq!((rig.out_to(new), rig.done[new]), (vec![0], None), "what is newer does not matter");
}

#[test]
fn an_older_view_changes_nothing() {
    let mut rig = Rig::mirror();
    rig.view(3, &[1]);
    rig.sent();
    rig.view(2, &[]);
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.channel.view().map(|view| view.epoch), Some(Epoch(3)));
}

#[test]
fn an_abort_takes_back_only_what_was_not_begun() {
    let mut rig = Rig::mirror();
    let abort = |rig: &mut Rig, host: Host| rig.channel.abort(IoId(host as u64), &rig.ios[host]);
    let waiting = rig.start_unleased(HostIo::new(Op::Write, 0, 8, false));
    assert!(abort(&mut rig, waiting), "it waits for its lease");
    assert!(!abort(&mut rig, waiting), "once");
    rig.grant_all();
    assert!(rig.out.is_empty(), "it is not named ready any more");

    let begun = rig.start(Op::Write, REGION - 8, 16);
    assert!(!abort(&mut rig, begun), "children are out");
    rig.back(begun, 0, Ok(()));
    rig.back(begun, 1, Ok(()));
    assert_eq!(rig.sent(), [acquire(1)]);
    assert!(!abort(&mut rig, begun), "its first half is written");

    let missed = rig.start(Op::Write, 0, 8);
    rig.back(missed, 0, Ok(()));
    rig.back(missed, 1, Err(MEDIA));
    assert!(!abort(&mut rig, missed), "it is written, and waits to be acknowledged");
}

#[test]
fn an_abort_takes_back_what_waits_for_the_first_view() {
    let mut rig = Rig::unopened(Level::Raid1, 2, OnFailed::Error);
    let read = rig.start(Op::Read, 0, 8);
    assert!(rig.channel.abort(IoId(read as u64), &rig.ios[read]));
    rig.view(1, &[]);
    assert!(rig.out.is_empty() && rig.channel.is_idle());
}

/// sim seeds 48, 75 (at 4ea8f08).
#[test]
fn an_io_is_named_ready_once_however_often_it_was_asked_about() {
    let mut rig = Rig::mirror();
    let lease = rig.start_unleased(HostIo::new(Op::Write, 0, 8, false));
    rig.ask(lease);
    rig.on(ToChannel::Grant { region: RegionId(0), lease: LeaseGen(1) });
    rig.back(lease, 0, Ok(()));
    rig.back(lease, 1, Err(MEDIA));
    rig.ask(lease);
    rig.view(2, &[1]);
    rig.ask(lease);
    // The rig fails when an I/O is named after its end.
    rig.settled(2);
    assert_eq!(rig.done[lease], Some(Ok(())));

    let mut rig = Rig::unopened(Level::Raid1, 2, OnFailed::Error);
    rig.rules(&[]);
    let read = rig.start(Op::Read, 0, 8);
    rig.ask(read);
    rig.view(1, &[]);
    assert_eq!(rig.out_to(read).len(), 1);
}

#[test]
fn a_member_that_does_not_answer_is_reported_and_its_io_goes_on_once_it_is_back() {
    let mut rig = Rig::mirror();
    let write = rig.start(Op::Write, 0, 8);
    rig.back(write, 0, Ok(()));
    (0..18).for_each(|second| rig.channel.on_time(1 + second * 1000));
    assert_eq!(rig.sent(), [FromChannel::Array(ToArray::TimedOut { slot: Slot(1) })]);
    rig.view(2, &[1]);
    rig.settled(2);
    assert_eq!(rig.done[write], None, "the host's buffer is still lent");
    rig.back(write, 1, Err(ABORTED));
    rig.all_back();
    assert_eq!(rig.done[write], Some(Ok(())));
}

#[test]
fn a_reset_reaches_every_attached_drive_that_answers_and_never_fails() {
    let mut rig = Rig::new(Level::Raid1, 3, OnFailed::Error);
    rig.view_of(2, slots(&[0, 2]), slots(&[0, 1]));
    rig.sent();
    let reset = rig.start(Op::Reset, 0, 0);
    assert_eq!(rig.out_to(reset), [0, 1], "a faulty member too, but not one that is gone");
    rig.back(reset, 0, Err(MEDIA));
    rig.back(reset, 1, Err(SHORT));
    assert_eq!(rig.out_to(reset), [1], "one that lacked a resource was not reset");
    rig.back(reset, 1, Ok(()));
    assert_eq!(rig.done[reset], Some(Ok(())));
    assert_eq!(rig.sent(), [], "a failed reset is no report");
}

#[test]
fn a_lease_is_given_back_when_it_is_idle_and_kept_when_another_one_is_meant() {
    let mut rig = Rig::mirror();
    rig.start(Op::Write, 0, 8);
    rig.all_back();
    rig.on(ToChannel::Revoke { region: RegionId(0), lease: LeaseGen(9) });
    assert_eq!(rig.sent(), [], "another generation");
    rig.on(ToChannel::Revoke { region: RegionId(0), lease: LeaseGen(1) });
    assert_eq!(rig.sent(), [release(0, 1)]);
}
