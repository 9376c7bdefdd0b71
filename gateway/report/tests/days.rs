//! Days as an operator would count them by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use report::{CacheUse, Day, Dead, Ended, Kept, Ledger, MOST_TENANTS, OTHER, Report, Storage, Verdict};
use std::sync::Arc;

const MORNING: i64 = 1_795_305_600 + 3_600;
const NEXT_DAY: i64 = 1_795_305_600 + 86_400;

fn ended<'a>(now: i64, tenant: Option<&'a Arc<str>>, viewer: &'a str) -> Ended<'a> {
    Ended {
        now,
        tenant,
        viewer: Some(viewer),
        verdict: Verdict::Served,
        cache: Some(CacheUse::Hit),
        bytes: 100,
        dead: None,
    }
}

#[test]
fn a_day_is_told_once_it_is_over() {
    let ledger = Ledger::new(MORNING, None);
    let (one, two): (Arc<str>, Arc<str>) = (Arc::from("one"), Arc::from("two"));
    for viewer in ["anna", "bert", "anna"] {
        ledger.note(&ended(MORNING, Some(&one), viewer));
    }
    ledger.note(&Ended { cache: Some(CacheUse::Miss), bytes: 1_000, ..ended(MORNING, Some(&two), "anna") });
    for _ in 0..3 {
        let dead = Some((Dead::Gone, "-1001/7".to_owned()));
        ledger.note(&Ended {
            verdict: Verdict::Refused,
            cache: None,
            bytes: 0,
            dead,
            ..ended(MORNING, Some(&one), "carl")
        });
    }
    ledger.note(&Ended { verdict: Verdict::Failed, cache: None, bytes: 0, ..ended(MORNING, None, "x") });
    let storage = Storage { bytes_on_disk: 5 << 30, max_size: 10 << 30, media: 7 };
    assert_eq!(ledger.take_done(MORNING, storage, 10), None);
    let today = ledger.today(MORNING + 1, storage, 10);
    assert_eq!((today.day.as_str(), today.from, today.until), ("2026-11-22", MORNING, MORNING + 1));

    let day = ledger.take_done(NEXT_DAY, storage, 10).unwrap();
    assert_eq!(ledger.take_done(NEXT_DAY, storage, 10), None);
    assert_eq!((day.day.as_str(), day.until), ("2026-11-22", NEXT_DAY));
    assert_eq!((day.sums.served, day.sums.refused, day.sums.failed, day.sums.bytes), (4, 3, 1, 1_300));
    // Anna is one viewer, at two tenants; Carl got nothing.
    assert_eq!((day.viewers, day.hit_ratio), (2, Some(0.75)));
    let ids: Vec<_> = day.tenants.iter().map(|tenant| (tenant.id.as_str(), tenant.viewers)).collect();
    assert_eq!(ids, [("two", 1), ("one", 2), (OTHER, 0)]);
    assert_eq!(day.dead_links.len(), 1);
    assert_eq!((day.dead_links[0].requests, day.dead_links[0].media.as_str()), (3, "-1001/7"));

    let text = day.to_string();
    for part in [
        "streamvault, 2026-11-22\n1.26 KiB sent, 2 viewer(s), 8 request(s), 3 refused, 1 failed, hit ratio 75.0 %\n",
        "cache: 5.00 GiB of 10.0 GiB on disk, 7 film(s)\n",
        "  3 × 410 -1001/7 (one)\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let json = serde_json::to_string(&day).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), day);
    // The next day begins with nothing, the process' own sums go on.
    assert_eq!(ledger.today(NEXT_DAY, storage, 10).sums.requests(), 0);
    assert_eq!(ledger.totals().iter().map(|(_, sums)| sums.requests()).sum::<u64>(), 8);
}

#[test]
fn a_restart_costs_no_part_of_a_day() {
    let tenant: Arc<str> = Arc::from("one");
    let first = Ledger::new(MORNING, None);
    for viewer in 0..500 {
        first.note(&ended(MORNING, Some(&tenant), &viewer.to_string()));
    }
    let kept = serde_json::to_string(&first.keep().unwrap()).unwrap();
    let take_up = |now| Ledger::new(now, Some(serde_json::from_str::<Kept>(&kept).unwrap()));
    let second = take_up(MORNING + 60);
    for viewer in 400..600 {
        second.note(&ended(MORNING + 60, Some(&tenant), &viewer.to_string()));
    }
    let day = second.today(MORNING + 61, Storage::default(), 10);
    assert_eq!((day.sums.served, day.from), (700, MORNING));
    assert!((570..=630).contains(&day.viewers), "{}", day.viewers);
    // After midnight it is told, and not counted on.
    let third = take_up(NEXT_DAY + 60);
    assert_eq!(third.take_done(NEXT_DAY + 61, Storage::default(), 10).unwrap().sums.served, 500);
    assert_eq!(third.today(NEXT_DAY + 61, Storage::default(), 10).sums.served, 0);
    // A clock that was ahead: what is of tomorrow is not today's.
    assert_eq!(take_up(MORNING - 86_400).today(MORNING - 86_400, Storage::default(), 10).sums.served, 0);
}

#[test]
fn memory_has_a_bound() {
    let ledger = Ledger::new(MORNING, None);
    for number in 0..2 * MOST_TENANTS {
        ledger.note(&ended(MORNING, Some(&Arc::from(format!("t{number}"))), "anna"));
    }
    let totals = ledger.totals();
    assert_eq!(totals.len(), MOST_TENANTS + 1);
    let other = totals.iter().find(|(id, _)| &**id == OTHER).unwrap();
    assert_eq!(other.1.served, MOST_TENANTS as u64);
}

proptest::proptest! {
    /// Whatever the clock does, each request is counted on one day, and days are told in order.
    #[test]
    fn no_request_is_lost_or_counted_twice(steps in proptest::collection::vec((0_i64..40_000, 0_i64..50), 1..200)) {
        let mut now = MORNING;
        let ledger = Ledger::new(now, None);
        let (mut told, mut noted, mut last) = (0, 0, Day::of(now));
        for (forward, count) in steps {
            now += forward;
            for _ in 0..count {
                ledger.note(&ended(now, None, "anna"));
                noted += 1;
            }
            if let Some(day) = ledger.take_done(now, Storage::default(), 10) {
                told += day.sums.requests();
                assert!(Day::of(day.until - 1) >= last);
                last = Day::of(day.until);
            }
        }
        told += ledger.today(now, Storage::default(), 10).sums.requests();
        assert_eq!(told, noted);
    }
}
