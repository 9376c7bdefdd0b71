use super::UsageMeter;
use streamvault_sdk::{
    Finished, Level, Media, Observe, kv,
    testing::{advance, break_store, clock, keys, logged, setting},
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
    let batch =
        [one(MIDNIGHT - 1, "a", 1), one(MIDNIGHT, "a", 10), one(MIDNIGHT + 5, "b", 100), one(MIDNIGHT + 6, "", 1_000)];
    meter.batch("films", &batch).unwrap();
    meter.batch("films", &[one(MIDNIGHT + 7, "a", 0), one(MIDNIGHT + 8, "c", 5)]).unwrap();
    assert_eq!(totals("day:2026-11-20"), ["1", "1", "1"]);
    assert_eq!(totals("day:2026-11-21"), ["1115", "5", "3"]);
    assert_eq!(totals("month:2026-11"), ["1116", "6", "3"]);
}

#[test]
fn another_instance_adds_to_the_same_numbers() {
    let (one_meter, other) = (meter(), meter());
    one_meter.batch("films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    other.batch("films", &[one(MIDNIGHT, "a", 2), one(MIDNIGHT, "b", 3)]).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["6", "3", "2"]);
}

#[test]
fn what_the_store_does_not_take_is_brought_later_and_once() {
    let meter = meter();
    break_store(Some(kv::Error::Unavailable));
    meter.batch("films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    meter.batch("films", &[one(MIDNIGHT, "b", 2)]).unwrap();
    assert!(matches!(&logged()[..], [(Level::Warn, _), (Level::Warn, _)]));
    break_store(None);
    meter.batch("films", &[one(MIDNIGHT, "c", 4)]).unwrap();
    assert_eq!(totals("day:2026-11-21"), ["7", "3", "3"]);
    assert_eq!(totals("month:2026-11"), ["7", "3", "3"]);
}

#[test]
fn what_the_store_never_takes_keeps_nothing_waiting() {
    let meter = meter();
    kv::set("day:2026-11-21:bytes", "many", core::time::Duration::from_secs(1)).unwrap();
    let long = "x".repeat(257);
    meter.batch("films", &[one(MIDNIGHT, &long, 1), one(MIDNIGHT, "a", 2)]).unwrap();
    assert_eq!(totals("month:2026-11"), ["3", "2", "1"]);
    assert_eq!(totals("day:2026-11-21"), ["many", "2", "1"]);
    meter.batch("films", &[one(MIDNIGHT, "a", 2)]).unwrap();
    assert_eq!(read("month:2026-11:bytes"), "5");
}

#[test]
fn a_finished_day_is_written_down_once() {
    let meter = meter();
    meter.batch("films", &[one(MIDNIGHT, "a", 7), one(MIDNIGHT, "b", 1)]).unwrap();
    advance(86_400 + 599);
    meter.batch("films", &[one(MIDNIGHT + 86_399, "a", 2)]).unwrap();
    assert!(!keys().iter().any(|key| key.starts_with("rollup:")), "the last requests may still be on their way");
    advance(1);
    meter.batch("films", &[]).unwrap();
    let record = r#"{"tenant":"films","day":"2026-11-21","bytes":10,"requests":3,"viewers":2}"#;
    assert_eq!(read("rollup:2026-11-21"), record);
    meter.batch("films", &[one(MIDNIGHT + 1, "late", 100)]).unwrap();
    UsageMeter::load().unwrap().batch("films", &[]).unwrap();
    assert_eq!(read("rollup:2026-11-21"), record, "a bill doesn't change");
    assert!(!keys().contains(&"rollup:2026-11-20".into()), "nothing was heard of before");
}

#[test]
fn quiet_days_are_written_down_too() {
    let meter = meter();
    meter.batch("films", &[one(MIDNIGHT, "a", 7)]).unwrap();
    advance(3 * 86_400 + 600);
    meter.batch("films", &[one(MIDNIGHT + 3 * 86_400, "a", 1)]).unwrap();
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
    meter.batch("films", &[one(MIDNIGHT - 7_200, "a", 1), one(MIDNIGHT - 7_201, "a", 10)]).unwrap();
    assert_eq!((read("day:2026-11-21:bytes"), read("day:2026-11-20:bytes")), ("1".into(), "10".into()));
}

#[test]
fn a_viewer_s_many_ranges_are_one_question_to_the_store() {
    let meter = meter();
    meter.batch("films", &[one(MIDNIGHT, "a", 1)]).unwrap();
    // With the viewer known, a batch needs the sums only.
    kv::delete("day:2026-11-21:seen").unwrap();
    meter.batch("films", &vec![one(MIDNIGHT, "a", 1); 200]).unwrap();
    assert!(!keys().contains(&"day:2026-11-21:seen".into()));
}
