use super::draft;
use crate::virtual_text::{Given, Problem};
use catalog::Draft;
use mtproto::{Identity, Location};
use std::sync::Arc;

fn given(text: &str) -> Given {
    serde_json::from_str(text).unwrap()
}

fn located(names: &[&str]) -> Vec<Arc<Location>> {
    let of = |(id, name): (i64, &&str)| {
        let mut location = Location::synthetic(Identity::new(id, 10), 2, vec![]);
        location.file_name = (!name.is_empty()).then(|| (*name).to_owned());
        Arc::new(location)
    };
    (1..).zip(names).map(of).collect()
}

fn parts(count: usize, more: &str) -> Given {
    let parts: Vec<String> = (1..=count).map(|id| format!("{{\"chat_id\":-5,\"message_id\":{id}}}")).collect();
    given(&format!("{{\"parts\":[{}]{more}}}", parts.join(",")))
}

fn kept(given: Given, names: &[&str]) -> Result<String, Problem> {
    let draft: Draft = draft(given, &located(names))?;
    Ok(format!("{draft:?}"))
}

fn contains_in_order(text: &str, words: &[&str]) -> bool {
    let mut rest = text;
    words.iter().all(|word| match rest.split_once(word) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn names_decide_where_they_are_asked_to() {
    let names = ["a.mkv.002", "a.mkv.001"];
    let kept = |more: &str| kept(parts(2, more), &names);
    let by_names = kept(",\"order\":\"names\"").unwrap();
    assert!(contains_in_order(&by_names, &["\"a.mkv\"", "video/x-matroska", "message_id: 2", "message_id: 1"]));
    let given = kept(",\"name\":\"b.mp4\"").unwrap();
    assert!(contains_in_order(&given, &["\"b.mp4\"", "video/mp4", "message_id: 1", "message_id: 2"]));
    let typed = kept(",\"name\":\"b\",\"content_type\":\"audio/flac\"").unwrap();
    assert!(contains_in_order(&typed, &["\"b\"", "audio/flac"]));
    // The names would join to something else than what was asked for.
    assert!(kept("").unwrap_err().body.message.contains("another order"));
}

#[test]
fn names_that_tell_nothing_are_told_by_their_number() {
    let problem = kept(parts(2, ""), &["a.mkv.001", "b.txt"]).unwrap_err();
    assert_eq!((problem.code(), problem.body.part.unwrap().part), ("bad-names", 2));
    let problem = kept(parts(2, ",\"order\":\"names\",\"name\":\"x\""), &["a.part1.rar", "a.part2.rar"]).unwrap_err();
    assert!(problem.body.message.contains("RAR") && problem.body.part.unwrap().message_id == 1);
    let problem = kept(parts(2, ",\"order\":\"names\""), &["a.001", "a.003"]).unwrap_err();
    assert!(problem.body.message.contains("part 2 is missing") && problem.body.part.is_none());
    assert!(kept(parts(1, ""), &[""]).is_err());
    assert_eq!(kept(parts(1, ",\"name\":\"x\""), &[""]).map(drop), Ok(()));
}

#[test]
fn manifests_are_read_strictly() {
    for text in [
        "",
        "[]",
        "{}",
        "{\"parts\":[],\"more\":1}",
        "{\"parts\":[{\"chat_id\":1}]}",
        "{\"parts\":[{\"chat_id\":\"1\",\"message_id\":1}]}",
        "{\"parts\":[{\"chat_id\":1,\"message_id\":2147483648}]}",
        "{\"parts\":[{\"chat_id\":1,\"message_id\":1,\"sise\":1}]}",
        "{\"parts\":[],\"order\":\"size\"}",
    ] {
        assert!(serde_json::from_str::<Given>(text).is_err(), "{text}");
    }
}
