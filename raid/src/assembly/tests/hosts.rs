use super::*;

fn left_by(host: Uuid16, shut_down: ShutDown) -> ArrayFound {
    let record = Superblock { host, shut_down, ..mirror(2) };
    array(&[drive(0, &record), drive(1, &record)])
}

#[test]
fn an_array_that_another_host_runs_is_refused_unless_forced() {
    let array = left_by(THERE, ShutDown::Unclean);
    let other = OtherHost { host: THERE, heartbeat_ms: NOW_MS - 5000, age_ms: Some(5000) };
    for asked in [Asked::Policy, Asked::Degraded] {
        assert_eq!(array.start(asked, 0, 0), Start::Refused(StartRefusal::OtherHost(other)));
    }
    assert_eq!(array.start(Asked::Force, 0, 0), Start::Now);
    assert!(array.explain(&array.start(Asked::Policy, 0, 0)).contains("was last heard of 5 s ago"));
}

#[test]
fn an_array_that_was_stopped_or_is_our_own_is_started() {
    assert_eq!(left_by(THERE, ShutDown::Clean).start(Asked::Policy, 0, 0), Start::Now);
    assert_eq!(left_by(HERE, ShutDown::Unclean).start(Asked::Policy, 0, 0), Start::Now);
}

#[test]
fn the_newest_heartbeat_on_any_drive_counts_and_the_future_is_told() {
    let record = Superblock { host: THERE, ..mirror(2) };
    let later = Superblock { heartbeat_ms: NOW_MS + 1, ..record.clone() };
    let other = array(&[drive(0, &record), drive(1, &later)]).other_host.unwrap();
    assert_eq!((other.heartbeat_ms, other.age_ms), (NOW_MS + 1, None));
    assert!(other.to_string().contains("the clocks of the two hosts differ"));
}

#[test]
fn a_heartbeat_that_moves_is_a_host_that_lives_whatever_its_clock_says() {
    let seen = OtherHost { host: THERE, heartbeat_ms: 50, age_ms: Some(NOW_MS - 50) };
    let watch = HostWatch::begin(seen, 1000, 500);
    let backwards = OtherHost { heartbeat_ms: 40, ..seen };
    assert_eq!(watch.look(Some(seen), 1499), Sign::Watching);
    assert_eq!(watch.look(Some(backwards), 1499), Sign::Alive);
    assert_eq!(watch.look(Some(seen), 1500), Sign::Silent);
    assert_eq!(watch.look(None, 1500), Sign::Silent);
    let third = OtherHost { host: Uuid16([3; 16]), ..seen };
    assert_eq!(watch.look(Some(third), 1500), Sign::Alive, "somebody else has taken it");
}
