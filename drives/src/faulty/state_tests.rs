//! Rules and held I/Os, without SPDK.

use super::loss::Loss;
use super::rule::{Fault, FaultError, Op, Request, Rule, gone};
use super::rules::{Rules, Vigour};
use super::state::{Admission, Presence, State, Verdict};
use serde_json::{Value, json};
use spdk_rs::bdev::{IoError, IoErrorKind};
use std::time::{Duration, Instant};

fn rule(json: Value) -> Rule {
    serde_json::from_value(json).unwrap()
}

fn write(lba: u64, blocks: u64) -> Request {
    Request { op: Op::Write, lba, blocks }
}

const RESET: Request = Request { op: Op::Reset, lba: 0, blocks: 0 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_rule_as_json() {
    let text = json!({ "ops": ["read", "write_zeroes"], "lba": 8, "blocks": 4, "after": 2, "count": 3,
        "for_ms": 100, "do": { "error": "media_read" } });
    let found = rule(text.clone());
    assert_eq!(found.fault, Fault::Error(FaultError::MediaRead));
    assert_eq!(found.ops, [Op::Read, Op::WriteZeroes]);
    assert_eq!(serde_json::to_value(&found).unwrap(), text);
    assert_eq!(rule(json!({ "ops": ["reset"], "do": { "hang": true } })).fault, Fault::Hang(true));
    assert_eq!(rule(json!({ "ops": ["flush"], "do": { "delay_ms": 7 } })).fault, Fault::DelayMs(7));
}

#[test]
fn impossible_rules_are_refused() {
    let broken = [
        (json!({ "ops": [], "do": { "hang": true } }), "no kind"),
        (json!({ "ops": ["read"], "blocks": 0, "do": { "hang": true } }), "0 blocks"),
        (json!({ "ops": ["read"], "count": 0, "do": { "hang": true } }), "count 0"),
        (json!({ "ops": ["read"], "do": { "hang": false } }), "hang: false"),
        (json!({ "ops": ["read"], "lba": 100, "do": { "hang": true } }), "leaves the drive"),
        (json!({ "ops": ["read"], "lba": 1, "blocks": u64::MAX, "do": { "hang": true } }), "leaves"),
    ];
    for (text, reason) in broken {
        let (found, remedy) = rule(text).check(100).unwrap_err();
        assert!(found.contains(reason) && !remedy.is_empty(), "{found}");
    }
    rule(json!({ "ops": ["read"], "lba": 99, "blocks": 1, "do": { "hang": true } })).check(100).unwrap();
    for wrong in [
        json!({ "ops": ["reed"], "do": { "hang": true } }),
        json!({ "ops": ["read"], "do": { "error": "bad" } }),
        json!({ "ops": ["read"], "do": { "hang": true, "delay_ms": 1 } }),
        json!({ "ops": ["read"], "lab": 1, "do": { "hang": true } }),
        json!({ "ops": ["read"] }),
    ] {
        assert!(serde_json::from_value::<Rule>(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn ranges_are_touched_at_their_edges() {
    let some = rule(json!({ "ops": ["write", "reset"], "lba": 8, "blocks": 4, "do": { "hang": true } }));
    for (lba, blocks, touched) in
        [(0, 8, false), (0, 9, true), (11, 1, true), (12, 1, false), (9, 1, true), (0, 100, true)]
    {
        assert_eq!(some.matches(&write(lba, blocks)), touched, "{lba}+{blocks}");
    }
    assert!(some.matches(&RESET), "a reset touches every range");
    assert!(!some.matches(&Request { op: Op::Read, lba: 8, blocks: 1 }));
    let rest = rule(json!({ "ops": ["write"], "lba": 8, "do": { "hang": true } }));
    assert!(rest.matches(&write(1_000_000, 1)) && !rest.matches(&write(0, 8)));
}

#[test]
fn after_count_and_time() {
    let now = Instant::now();
    let mut rules = Rules::default();
    let id = rules
        .inject(rule(json!({ "ops": ["write"], "after": 2, "count": 2, "do": { "error": "path" } })), now);
    let fired: Vec<bool> = (0..6).map(|_| rules.judge(&write(0, 1), now).is_some()).collect();
    assert_eq!(fired, [false, false, true, true, false, false]);
    let report = &rules.report(now)[0];
    assert_eq!((report.rule, report.seen, report.hits, report.state), (id, 4, 2, Vigour::Spent));

    let timed = rule(json!({ "ops": ["write"], "for_ms": 50, "do": { "error": "path" } }));
    let id = rules.inject(timed, now);
    assert_eq!(rules.judge(&write(0, 1), now + ms(49)).unwrap().0, id);
    assert!(rules.judge(&write(0, 1), now + ms(50)).is_none());
    assert_eq!(rules.report(now + ms(50))[1].state, Vigour::Expired);
}

#[test]
fn the_first_rule_that_fires_decides() {
    let now = Instant::now();
    let mut rules = Rules::default();
    let first = rules.inject(rule(json!({ "ops": ["write"], "count": 1, "do": { "error": "path" } })), now);
    let second = rules.inject(rule(json!({ "ops": ["write"], "do": { "hang": true } })), now);
    let fired: Vec<_> = (0..3).map(|_| rules.judge(&write(0, 1), now).unwrap().0).collect();
    assert_eq!(fired, [first, second, second]);
    assert_eq!(rules.report(now)[1].seen, 2, "it has not seen what the first one took");
    assert_eq!(rules.clear(Some(second)), 1);
    assert!(rules.judge(&write(0, 1), now).is_none());
    assert_eq!(rules.clear(None), 1);
    let third = rules.inject(rule(json!({ "ops": ["write"], "do": { "hang": true } })), now);
    assert!(third > second, "a number is not used again");
}

#[test]
fn errors_are_of_the_kind_that_they_are_named_after() {
    let kinds = [
        (FaultError::MediaRead, IoErrorKind::Media),
        (FaultError::MediaWrite, IoErrorKind::Media),
        (FaultError::Path, IoErrorKind::Path),
        (FaultError::Gone, IoErrorKind::Gone),
        (FaultError::Aborted, IoErrorKind::Aborted),
        (FaultError::NoResources, IoErrorKind::Other),
        (FaultError::Other, IoErrorKind::Other),
    ];
    for (error, kind) in kinds {
        assert_eq!(error.status().kind, kind, "{error:?}");
    }
}

fn held(state: &mut State, io: Request, now: Instant) -> u64 {
    match state.admit(io, None, now) {
        Admission::Hold(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn hanging(now: Instant) -> (State, u64, u64) {
    let mut state = State::new(None);
    state.rules.inject(rule(json!({ "ops": ["write", "reset"], "do": { "hang": true } })), now);
    let (first, second) = (held(&mut state, write(0, 1), now), held(&mut state, write(1, 1), now));
    (state, first, second)
}

#[test]
fn what_hangs_waits_until_it_is_released() {
    let now = Instant::now();
    let (mut state, first, second) = hanging(now);
    assert_eq!(state.verdict(first, now + ms(1_000_000)), Verdict::Wait);
    assert_eq!(state.release(Some(99)), 0);
    assert_eq!(state.release(Some(1)), 2);
    assert_eq!(state.release(None), 0, "they have been released");
    assert_eq!(state.verdict(first, now), Verdict::GoOn);
    assert_eq!(state.verdict(second, now), Verdict::GoOn);
    assert!(state.held.is_empty());
    let third = held(&mut state, write(0, 1), now);
    assert_eq!(state.verdict(third, now), Verdict::Wait, "the rule is still there");
}

#[test]
fn a_delay_ends_by_itself() {
    let now = Instant::now();
    let mut state = State::new(None);
    state.rules.inject(rule(json!({ "ops": ["write"], "do": { "delay_ms": 10 } })), now);
    let ticket = held(&mut state, write(0, 1), now);
    assert_eq!(state.verdict(ticket, now + ms(9)), Verdict::Wait);
    assert_eq!(state.release(None), 0, "it does not hang");
    assert_eq!(state.verdict(ticket, now + ms(10)), Verdict::GoOn);
}

#[test]
fn a_reset_waits_for_what_it_aborts() {
    let now = Instant::now();
    let (mut state, first, second) = hanging(now);
    let reset = held(&mut state, RESET, now);
    assert_eq!(state.verdict(first, now), Verdict::Wait, "the reset itself hangs");
    state.release(None);
    assert_eq!(state.verdict(reset, now), Verdict::GoOn);
    let before = state.abort_held();
    for ticket in [first, second] {
        assert!(!state.none_held_before(before));
        assert_eq!(state.verdict(ticket, now), Verdict::Fail(IoError::ABORTED));
        state.forget(ticket);
    }
    assert!(state.none_held_before(before));
    held(&mut state, write(0, 1), now);
    assert!(state.none_held_before(before), "what came later does not count");
}

#[test]
fn a_drive_that_vanished_answers_gone() {
    let now = Instant::now();
    let (mut state, first, _) = hanging(now);
    state.presence = Presence::Pulled(Loss::TOTAL);
    assert_eq!(state.verdict(first, now), Verdict::Fail(gone()));
    assert_eq!(state.admit(write(0, 1), None, now), Admission::Fail(gone()));
    assert_eq!(state.is_gone(), Some(gone()));
    assert_eq!(gone().kind, IoErrorKind::Gone);
    assert_eq!(state.counters.gone, 3);
}

#[test]
fn a_drive_that_is_deleted_lets_everything_go() {
    let now = Instant::now();
    let (mut state, first, _) = hanging(now);
    state.presence = Presence::Retiring;
    assert_eq!(state.verdict(first, now), Verdict::GoOn);
    assert_eq!(state.admit(write(0, 1), None, now), Admission::GoOn);
}

#[test]
fn one_at_a_time_has_the_turn() {
    let mut state = State::new(None);
    assert!(state.turn_is_free() && state.take_turn());
    assert!(!state.turn_is_free() && !state.take_turn());
    state.give_turn();
    assert!(state.take_turn());
}
