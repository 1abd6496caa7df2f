use super::*;

#[test]
fn an_address_that_keeps_failing_waits_longer_each_time() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    let peer = address(1);
    for n in 0..FREE {
        assert_eq!(throttle.admit(peer, &id(n), false, start), Admission::Open, "typing errors");
        throttle.failed_for(peer, &id(n), Admission::Open, start);
    }
    for (n, pause) in (FREE..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        throttle.failed_for(peer, &id(n), Admission::Open, start);
        let at = |millis| throttle.admit(peer, "new", false, start + Duration::from_millis(millis));
        assert_eq!(at(pause * 1000 - 1), Admission::Refused);
        assert_eq!(at(pause * 1000), Admission::Open, "{pause} s");
    }
    assert_eq!(throttle.admit(address(2), "new", false, start), Admission::Open, "others");
}

#[test]
fn many_addresses_get_no_more_guesses_at_one_name() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    let looked_at = (0..1000).filter(|n| {
        let bot = address(n % 100);
        let how = throttle.admit(bot, "target", true, start);
        throttle.failed_for(bot, "target", how, start);
        how != Admission::Refused
    });
    assert!(looked_at.count() <= 100, "one each, the free ones with them");
    assert_eq!(throttle.admit(address(3), "target", true, start), Admission::Refused);
    assert_eq!(throttle.admit(address(3), "another", true, start), Admission::Open);
    let wait = start + Duration::from_secs(1);
    assert_eq!(
        throttle.admit(address(3), "target", true, wait),
        Admission::Open,
        "it grows from 1 s"
    );
}

#[test]
fn nobody_is_locked_out_by_guesses_at_their_token_or_behind_their_address() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    throttle.succeeded(address(7), "mine", start);
    for n in 0..FREE_BY_NAME + 5 {
        throttle.failed_for(address(100 + n), "mine", Admission::Open, start);
    }
    assert_eq!(throttle.admit(address(8), "mine", true, start), Admission::Veiled, "from anywhere");
    for n in 0..FREE + 5 {
        throttle.failed_for(address(7), &id(n), Admission::Open, start);
    }
    for _ in 0..3 {
        throttle.failed_for(address(7), "mine", Admission::Refused, start);
        let again = throttle.admit(address(7), "mine", true, start);
        assert_eq!(again, Admission::Veiled, "it worked here before, whatever neighbours do");
    }
    assert_eq!(throttle.admit(address(7), "fresh", true, start), Admission::Veiled);
}

/// What is live and what is not must not be told apart by how long somebody is blocked.
#[test]
fn failing_while_blocked_counts_nowhere() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    let peer = address(1);
    for n in 0..=FREE {
        throttle.failed_for(peer, &id(n), Admission::Open, start);
    }
    for (name, live) in [("live", true), ("dead", false)] {
        let how = throttle.admit(peer, name, live, start);
        assert_ne!(how, Admission::Open);
        throttle.failed_for(peer, name, how, start);
        assert_eq!(throttle.admit(peer, name, live, start), Admission::Refused, "{name}");
    }
    let over = start + Duration::from_secs(1);
    assert_eq!(throttle.admit(peer, "live", true, over), Admission::Open);
    assert_eq!(throttle.admit(peer, "dead", false, over), Admission::Open);
}

#[test]
fn a_quiet_address_is_forgiven_step_by_step() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    for n in 0..FREE + 6 {
        throttle.failed_for(address(1), &id(n), Admission::Open, start);
    }
    let later = start + FORGIVEN * 4;
    throttle.failed_for(address(1), "x", Admission::Open, later);
    let blocked = |seconds| {
        let at = later + Duration::from_secs(seconds);
        throttle.admit(address(1), "y", false, at) == Admission::Refused
    };
    assert!(blocked(3) && !blocked(4), "as after 3 failures beyond the free ones, not after 7");
    let much_later = later + FORGIVEN * 100;
    throttle.failed(address(1), much_later);
    assert_eq!(throttle.admit(address(1), "y", false, much_later), Admission::Open);
}

#[test]
fn the_tables_stay_within_their_bound() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    for n in 0..u32::try_from(MOST).unwrap() + 50 {
        let at = start + Duration::from_millis(n.into());
        throttle.failed_for(address(n), &id(n), Admission::Open, at);
        throttle.succeeded(address(n), "x", at);
    }
    let tables = throttle.tables.lock().unwrap();
    let sizes =
        [tables.addresses.len(), tables.names.len(), tables.tried.len(), tables.succeeded.len()];
    assert_eq!(sizes, [MOST; 4]);
    assert!(!tables.addresses.contains_key(&address(0)), "the oldest goes");
}

#[test]
fn an_ipv6_subscriber_is_one_address() {
    let a: IpAddr = "2001:db8:1:2:aaaa::1".parse().unwrap();
    let b: IpAddr = "2001:db8:1:2:bbbb::2".parse().unwrap();
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(network(a), network(b));
    assert_eq!(network(mapped), "192.0.2.1".parse::<IpAddr>().unwrap());
}

fn address(n: u32) -> IpAddr {
    IpAddr::V4((0x0a00_0000 + n).into())
}

fn id(n: u32) -> String {
    format!("token-{n}")
}
