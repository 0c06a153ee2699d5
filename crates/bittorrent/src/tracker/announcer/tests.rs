//! The order of BEP 12, as stories.

use super::*;
use std::vec;

fn announcer(tiers: &[&[&str]], reach: Reach) -> Announcer {
    let tiers = tiers.iter().map(|tier| tier.iter().map(|url| String::from(*url)));
    // Stories name trackers in alphabetical order; the shuffle has a test of its own.
    let mut announcer = Announcer::new(tiers, reach, &mut Rng::new(1));
    announcer.tiers.iter_mut().for_each(|tier| tier.sort_by(|a, b| a.url.cmp(&b.url)));
    announcer
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn answer(interval: u64) -> AnnounceResponse {
    AnnounceResponse { interval: Duration::from_secs(interval), ..AnnounceResponse::default() }
}

/// All announcements that are due.
fn due(announcer: &mut Announcer, now: u64) -> Vec<(String, Event, TrackerKey)> {
    let mut all = vec![];
    while let Some(next) = announcer.poll(at(now)) {
        all.push((next.url, next.event, next.tracker));
    }
    all
}

#[track_caller]
fn expect_one(announcer: &mut Announcer, now: u64, url: &str, event: Event) -> TrackerKey {
    let all = due(announcer, now);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].0.as_str(), all[0].1), (url, event));
    all[0].2
}

#[test]
fn a_life_with_one_tracker() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    assert_eq!(due(&mut a, 0), vec![], "nothing before the start");
    a.start(false, at(0));
    let t = expect_one(&mut a, 0, "t", Event::Started);
    a.on_response(t, &answer(1800), at(1));
    assert_eq!(a.next_due(at(1)), Some(at(1801)));
    assert_eq!(due(&mut a, 1800), vec![]);
    expect_one(&mut a, 1801, "t", Event::Periodic);
    a.on_response(t, &answer(1800), at(1802));
    a.complete();
    expect_one(&mut a, 1803, "t", Event::Completed);
    a.on_response(t, &answer(1800), at(1803));
    assert_eq!(due(&mut a, 1804), vec![], "completed is said once");
    a.stop();
    assert!(!a.is_stopped());
    expect_one(&mut a, 1805, "t", Event::Stopped);
    a.on_failure(t, None, at(1806));
    assert!(a.is_stopped());
    assert_eq!(due(&mut a, 9999), vec![]);
}

#[test]
fn one_that_begins_as_a_seed_never_says_completed() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    a.start(true, at(0));
    let t = expect_one(&mut a, 0, "t", Event::Started);
    a.on_response(t, &answer(100), at(0));
    expect_one(&mut a, 100, "t", Event::Periodic);
}

#[test]
fn one_completed_while_started_is_under_way_still_says_so() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    a.start(false, at(0));
    let t = expect_one(&mut a, 0, "t", Event::Started);
    a.complete();
    a.on_response(t, &answer(100), at(0));
    expect_one(&mut a, 0, "t", Event::Completed);
}

#[test]
fn the_next_is_asked_at_once_and_whoever_answers_moves_to_the_head() {
    let mut a = announcer(&[&["a", "b", "c"], &["d"]], Reach::FirstWorking);
    a.start(false, at(0));
    let key = expect_one(&mut a, 0, "a", Event::Started);
    a.on_failure(key, None, at(0));
    let key = expect_one(&mut a, 0, "b", Event::Started);
    a.on_response(key, &answer(1800), at(1));
    let order: Vec<_> = a.status().map(|status| status.url).collect();
    assert_eq!(order, ["b", "a", "c", "d"]);
    assert_eq!(due(&mut a, 1800), vec![], "those behind it are left alone");
    expect_one(&mut a, 1801, "b", Event::Periodic);
}

#[test]
fn a_failing_first_tier_is_tried_again_while_the_second_serves() {
    let mut a = announcer(&[&["a"], &["b"]], Reach::FirstWorking);
    a.start(false, at(0));
    let first = expect_one(&mut a, 0, "a", Event::Started);
    a.on_failure(first, None, at(0));
    let second = expect_one(&mut a, 0, "b", Event::Started);
    a.on_response(second, &answer(1800), at(0));
    assert_eq!(a.next_due(at(1)), Some(at(0) + Duration::from_millis(17_500)));
    expect_one(&mut a, 18, "a", Event::Started);
    a.on_response(first, &answer(1800), at(18));
    assert_eq!(due(&mut a, 1810), vec![], "the second is not needed any more");
    a.stop();
    let farewells: Vec<_> = due(&mut a, 1811).into_iter().map(|all| (all.0, all.1)).collect();
    assert_eq!(farewells, [("a".into(), Event::Stopped), ("b".into(), Event::Stopped)]);
}

#[test]
fn failures_back_off_to_an_hour_and_a_success_ends_that() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    a.start(false, at(0));
    let mut now = at(0);
    let mut waits = vec![];
    for _ in 0..20 {
        let next = a.poll(now).expect("due");
        a.on_failure(next.tracker, None, now);
        let again = a.next_due(now).expect("it is tried again");
        waits.push(again.since(now).as_millis());
        now = again;
    }
    assert_eq!(waits[..3], [17_500, 55_000, 117_500]);
    assert!(waits.is_sorted() && waits[19] == 3_600_000, "{waits:?}");
    let next = a.poll(now).expect("due");
    a.on_response(next.tracker, &answer(60), now);
    assert_eq!(a.next_due(now), Some(now + Duration::from_secs(60)));
}

#[test]
fn a_tracker_says_itself_when_to_come_back() {
    let mut a = announcer(&[&["a"], &["b"]], Reach::FirstWorking);
    a.start(false, at(0));
    let key = expect_one(&mut a, 0, "a", Event::Started);
    a.on_failure(key, Some(Retry::After(Duration::from_secs(7_200))), at(0));
    let key = expect_one(&mut a, 0, "b", Event::Started);
    a.on_failure(key, Some(Retry::Never), at(0));
    assert_eq!(a.next_due(at(1)), Some(at(7_200)));
    assert_eq!(a.status().nth(1).and_then(|status| status.due), None);
}

#[test]
fn wanting_peers_is_no_reason_to_break_the_min_interval() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    a.start(false, at(0));
    let key = expect_one(&mut a, 0, "t", Event::Started);
    let min_interval = Some(Duration::from_secs(300));
    a.on_response(key, &AnnounceResponse { min_interval, ..answer(1800) }, at(0));
    a.want_peers(at(10));
    assert_eq!(due(&mut a, 299), vec![]);
    expect_one(&mut a, 300, "t", Event::Periodic);
}

#[test]
fn reach_decides_how_many_are_asked() {
    let tiers: &[&[&str]] = &[&["a", "b"], &["c", "d"]];
    for (reach, expected) in [
        (Reach::FirstWorking, vec!["a"]),
        (Reach::EveryTier, vec!["a", "c"]),
        (Reach::Everyone, vec!["a", "b", "c", "d"]),
    ] {
        let mut a = announcer(tiers, reach);
        a.start(false, at(0));
        let asked: Vec<_> = due(&mut a, 0).into_iter().map(|all| all.0).collect();
        assert_eq!(asked, expected, "{reach:?}");
    }
}

#[test]
fn tiers_are_shuffled_and_stay_apart() {
    let urls = |tier: char| (0..8).map(move |n| std::format!("{tier}{n}"));
    let a = Announcer::new([urls('a'), urls('b')], Reach::default(), &mut Rng::new(3));
    let order: Vec<_> = a.status().map(|status| String::from(status.url)).collect();
    assert!(order[..8].iter().all(|url| url.starts_with('a')));
    assert!(order[8..].iter().all(|url| url.starts_with('b')));
    assert!(!order.is_sorted(), "{order:?}");
}

#[test]
fn trackers_are_few_and_different() {
    let urls = (0..1_000).map(|n| std::format!("t{}", n / 2));
    let mut a = Announcer::new([urls], Reach::default(), &mut Rng::new(3));
    assert_eq!(a.status().count(), MAX_TRACKERS);
    assert_eq!(a.add("x".repeat(MAX_URL + 1), 0), None);
}

#[test]
fn stopping_waits_for_an_answer_to_started() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    a.start(false, at(0));
    let key = expect_one(&mut a, 0, "t", Event::Started);
    a.stop();
    assert_eq!(due(&mut a, 1), vec![]);
    assert!(!a.is_stopped());
    a.on_response(key, &answer(1800), at(2));
    expect_one(&mut a, 2, "t", Event::Stopped);
    a.on_response(key, &answer(1800), at(3));
    assert!(a.is_stopped());
}

#[test]
fn the_tracker_id_is_kept_and_repeated() {
    let mut a = announcer(&[&["t"]], Reach::FirstWorking);
    a.start(false, at(0));
    let key = expect_one(&mut a, 0, "t", Event::Started);
    let tracker_id = Some(b"id".to_vec());
    a.on_response(key, &AnnounceResponse { tracker_id: tracker_id.clone(), ..answer(60) }, at(0));
    assert_eq!(a.poll(at(60)).map(|next| next.tracker_id), Some(tracker_id));
    a.on_response(key, &answer(60), at(60));
    let repeated = a.poll(at(120)).and_then(|next| next.tracker_id);
    assert_eq!(repeated.as_deref(), Some(&b"id"[..]), "silence does not take it back");
}
