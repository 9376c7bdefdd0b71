use super::UsageMeter;
use streamvault_sdk::{
    Finished, Level, Media, Observe, kv,
    testing::{advance, batch, break_store, clock, keys, logged, lose_answer_after, setting},
};

/// 2026-11-21T00:00:00Z.
const MIDNIGHT: u64 = 20_778 * 86_400;

fn one(seconds: u64, viewer: &str, bytes: u64) -> Finished {
    Finished {
        request_id: "00000000000000a1".into(),
        time: seconds * 1_000,
        media: Media { chat_id: -1001, message_id: 7 },
        viewer: viewer.into(),
        status: 206,
        outcome: "served".into(),
        cache: "HIT".into(),
        bytes,
        milliseconds: 5,
    }
}

fn meter() -> UsageMeter {
    clock(MIDNIGHT);
    UsageMeter::load().expect("settings hold")
}

fn read(key: &str) -> String {
    kv::get_text(key).expect("the store is there").unwrap_or_default()
}

fn totals(period: &str) -> [String; 3] {
    ["bytes", "requests", "viewers"].map(|what| read(&format!("{period}:{what}")))
}

#[test]
fn days_and_months_are_counted() {
    let meter = meter();
    let several =
        [one(MIDNIGHT - 1, "a", 1), one(MIDNIGHT, "a", 10), one(MIDNIGHT + 5, "b", 100), one(MIDNIGHT + 6, "", 1_000)];
    batch(&meter, "films", &several).unwrap();
    batch(&meter, "films", &[one(MIDNIGHT + 7, "a", 0), one(MIDNIGHT + 8, "c", 5)]).unwrap();
    assert_eq!(totals("day:2026-11-20"), ["1", "1", "1"]);
    assert_eq!(totals("day:2026-11-21"), ["1115", "5", "3"]);
    assert_eq!(totals("month:2026-11"), ["1116", "6", "3"]);
}

#[test]
fn another_instance_adds_to_the_same_numbers() {
    let (one_meter, other) = (meter(), meter());
    batch(&one_meter, "films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    batch(&other, "films", &[one(MIDNIGHT, "a", 2), one(MIDNIGHT, "b", 3)]).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["6", "3", "2"]);
}

#[test]
fn what_the_store_does_not_take_is_brought_later_and_once() {
    let meter = meter();
    break_store(Some(kv::Error::Unavailable));
    batch(&meter, "films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    batch(&meter, "films", &[one(MIDNIGHT, "b", 2)]).unwrap();
    assert!(matches!(&logged()[..], [(Level::Warn, _), (Level::Warn, _)]));
    break_store(None);
    batch(&meter, "films", &[one(MIDNIGHT, "c", 4)]).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["7", "3", "3"]);
    assert_eq!(totals("month:2026-11"), ["7", "3", "3"]);
}

#[test]
fn what_the_store_never_takes_keeps_nothing_waiting() {
    let meter = meter();
    kv::set("day:2026-11-21:bytes", "many", core::time::Duration::from_secs(1)).unwrap();
    let long = "x".repeat(257);
    batch(&meter, "films", &[one(MIDNIGHT, &long, 1), one(MIDNIGHT, "a", 2)]).unwrap();
    assert_eq!(totals("month:2026-11"), ["3", "2", "1"]);
    assert_eq!(totals("day:2026-11-21"), ["many", "2", "1"]);
    batch(&meter, "films", &[one(MIDNIGHT, "a", 2)]).unwrap();
    assert_eq!(read("month:2026-11:bytes"), "5");
}

#[test]
fn a_finished_day_is_written_down_once() {
    let meter = meter();
    batch(&meter, "films", &[one(MIDNIGHT, "a", 7), one(MIDNIGHT, "b", 1)]).unwrap();
    advance(86_400 + 599);
    batch(&meter, "films", &[one(MIDNIGHT + 86_399, "a", 2)]).unwrap();
    assert!(!keys().iter().any(|key| key.starts_with("rollup:")), "the last requests may still be on their way");
    advance(1);
    batch(&meter, "films", &[]).unwrap();
    let record = r#"{"tenant":"films","day":"2026-11-21","bytes":10,"requests":3,"viewers":2}"#;
    assert_eq!(read("rollup:2026-11-21"), record);
    batch(&meter, "films", &[one(MIDNIGHT + 1, "late", 100)]).unwrap();
    batch(&UsageMeter::load().unwrap(), "films", &[]).unwrap();
    assert_eq!(read("rollup:2026-11-21"), record, "a bill doesn't change");
    assert!(!keys().contains(&"rollup:2026-11-20".into()), "nothing was heard of before");
}

#[test]
fn quiet_days_are_written_down_too() {
    let meter = meter();
    batch(&meter, "films", &[one(MIDNIGHT, "a", 7)]).unwrap();
    advance(3 * 86_400 + 600);
    batch(&meter, "films", &[one(MIDNIGHT + 3 * 86_400, "a", 1)]).unwrap();
    let days: Vec<_> = keys().into_iter().filter(|key| key.starts_with("rollup:")).collect();
    assert_eq!(days, ["rollup:2026-11-21", "rollup:2026-11-22", "rollup:2026-11-23"]);
    assert_eq!(
        read("rollup:2026-11-22"),
        r#"{"tenant":"films","day":"2026-11-22","bytes":0,"requests":0,"viewers":0}"#
    );
}

#[test]
fn days_begin_where_the_bill_is_written() {
    setting("utc_offset_minutes", 120);
    let meter = meter();
    batch(&meter, "films", &[one(MIDNIGHT - 7_200, "a", 1), one(MIDNIGHT - 7_201, "a", 10)]).unwrap();
    assert_eq!((read("day:2026-11-21:bytes"), read("day:2026-11-20:bytes")), ("1".into(), "10".into()));
}

#[test]
fn a_viewer_s_many_ranges_are_one_question_to_the_store() {
    let meter = meter();
    batch(&meter, "films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    // With the viewer known, a batch needs the sums only.
    kv::delete("day:2026-11-21:seen").unwrap();
    batch(&meter, "films", &vec![one(MIDNIGHT, "a", 1); 200]).unwrap();
    assert!(!keys().contains(&"day:2026-11-21:seen".into()));
}

/// `count` requests of as many viewers, of one byte each.
fn crowd(from: usize, count: usize) -> Vec<Finished> {
    (from..from + count).map(|viewer| one(MIDNIGHT, &format!("viewer-{viewer}"), 1)).collect()
}

#[test]
fn a_batch_of_strangers_is_counted_in_one_call() {
    let meter = meter();
    batch(&meter, "films", &crowd(0, 256)).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["256", "256", "256"]);
    assert_eq!(totals("month:2026-11"), ["256", "256", "256"]);
}

#[test]
fn what_waited_comes_in_parts() {
    let meter = meter();
    break_store(Some(kv::Error::Unavailable));
    for part in 0..40 {
        batch(&meter, "films", &crowd(part * 256, 256)).unwrap();
    }
    break_store(None);
    batch(&meter, "films", &[]).unwrap();
    let totals_now = totals("day:2026-11-21");
    assert_eq!(totals_now[..2], ["10240", "10240"], "what is billed comes first");
    let mut calls = 1;
    while totals("month:2026-11")[2] != "4096" {
        batch(&meter, "films", &[]).unwrap();
        calls += 1;
        assert!(calls < 10, "{:?}", totals("month:2026-11"));
    }
    // Names beyond so many are not kept; a viewer who comes again is counted then.
    assert_eq!(totals("day:2026-11-21"), ["10240", "10240", "4096"]);
    assert!(calls > 1, "8,192 questions are more than a call has");
    batch(&meter, "films", &crowd(40 * 256 - 5, 5)).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["10245", "10245", "4101"]);
}

#[test]
fn what_the_store_may_have_taken_is_not_brought_again() {
    let meter = meter();
    let mut broken_off = 0;
    for lost in 0..12 {
        let time = MIDNIGHT + 86_400 * u64::from(lost);
        let day = format!("day:{}", crate::calendar::name(20_778 + i64::from(lost)));
        lose_answer_after(lost);
        batch(&meter, "films", &[one(time, "a", 10), one(time, "b", 1)]).unwrap();
        lose_answer_after(u32::MAX);
        for _ in 0..2 {
            batch(&meter, "films", &[]).unwrap();
        }
        // What broke off was done here; brought again it would be there twice.
        assert_eq!(totals(&day), ["11", "2", "2"], "after {lost}");
        broken_off = logged().iter().filter(|(_, line)| line.contains("may be missing")).count();
    }
    assert_eq!(broken_off, 4, "bytes and requests, of a day and its month");
    // Days from December on have a month of their own.
    assert_eq!(totals("month:2026-11"), ["110", "20", "2"]);
}

#[test]
fn a_store_that_is_full_is_tried_again() {
    let meter = meter();
    break_store(Some(kv::Error::Full));
    batch(&meter, "films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    break_store(None);
    batch(&meter, "films", &[]).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["1", "1", "1"]);
}

#[test]
fn a_month_of_days_is_written_down_in_one_call() {
    let meter = meter();
    batch(&meter, "films", &[one(MIDNIGHT, "a", 7)]).unwrap();
    advance(31 * 86_400 + 600);
    batch(&meter, "films", &crowd(0, 256)).unwrap();
    let rollups = keys().into_iter().filter(|key| key.starts_with("rollup:")).count();
    assert_eq!(rollups, 31);
}

#[test]
fn days_that_one_call_does_not_get_to_are_written_down_by_the_next() {
    let meter = meter();
    batch(&meter, "films", &[one(MIDNIGHT, "a", 7)]).unwrap();
    advance(50 * 86_400 + 600);
    // Whom it has to count leaves the first call nothing for days, and the others are broken off.
    break_store(Some(kv::Error::Unavailable));
    for part in 0..3 {
        batch(&meter, "films", &crowd(part * 256, 256)).unwrap();
    }
    break_store(None);
    let written = || keys().into_iter().filter(|key| key.starts_with("rollup:")).collect::<Vec<_>>();
    batch(&meter, "films", &[]).unwrap();
    assert_eq!(written(), [""; 0]);
    let days: Vec<_> = (0..50).map(|day| format!("rollup:{}", crate::calendar::name(20_778 + day))).collect();
    let mut calls = 0;
    while written().len() < 50 {
        lose_answer_after(110);
        batch(&meter, "films", &[]).unwrap();
        let written = written();
        assert_eq!(written, days[..written.len()], "none is left out");
        calls += 1;
        assert!(calls < 20, "{written:?}");
    }
    assert!(calls > 2, "{calls}");
    assert!(read("rollup:2026-11-21").contains(r#""bytes":775,"requests":769,"viewers":769"#));
}
