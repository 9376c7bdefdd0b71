//! Virtual files read: every byte of the parts, in their order, once, whatever happens at a boundary.

use crate::rig::{CHANNEL, KIB, MIB, Rig, finish, sha};
use hive_server::HiveOptions;
use http::{Method, StatusCode};
use std::time::Duration;
use telegram_sim::{Account, Channel, Content, Counts, Document, Fault, Rule, When, World};
use wire::Fault as Told;

const OTHER_CHANNEL: i64 = CHANNEL + 1;
const CHAT: i64 = -1_000_000_000_000 - CHANNEL;
const OTHER_CHAT: i64 = CHAT - 1;
/// Where the parts lie: chat and message.
const PLACES: [(i64, i32); 3] = [(CHAT, 1), (OTHER_CHAT, 5), (CHAT, 2)];
/// Their data-centres.
const DCS: [i32; 3] = [2, 4, 4];
const SLUG: &str = "/v1/media/v/film";

/// Three parts in two chats on two data-centres.
struct Split {
    sizes: [u64; 3],
}

impl Split {
    fn part(&self, index: usize) -> Document {
        Document::generated(&format!("film.mkv.00{}", index + 1), DCS[index], self.sizes[index], 77 + index as u64)
    }

    fn world(&self, accounts: Vec<Account>) -> World {
        let first = Channel::new(CHANNEL, "a").with_document(1, self.part(0)).with_document(2, self.part(2));
        let other = Channel::new(OTHER_CHANNEL, "b").with_document(5, self.part(1));
        let world = World::new(7).with_channel(first).with_channel(other);
        accounts.into_iter().fold(world, World::with_account)
    }

    fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }

    fn bytes(&self, start: u64, end: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = 0;
        for (index, size) in self.sizes.iter().enumerate() {
            let (from, to) = (start.max(at), end.min(at + size));
            if from < to {
                let mut piece = vec![0; usize::try_from(to - from).unwrap()];
                Content::Generated { seed: 77 + index as u64 }.read_at(from - at, &mut piece).unwrap();
                bytes.extend(piece);
            }
            at += size;
        }
        bytes
    }
}

fn accounts(count: usize) -> Vec<Account> {
    ["ann", "ben"][..count].iter().zip(7001..).map(|(name, id)| Account::bot(name, id)).collect()
}

async fn rig(split: &Split, count: usize, change: impl FnOnce(&mut HiveOptions)) -> Rig {
    let rig = Rig::start_in(split.world(accounts(count)), change).await;
    put(&rig).await;
    rig
}

async fn put(rig: &Rig) {
    let parts: Vec<String> =
        PLACES.iter().map(|(chat, id)| format!("{{\"chat_id\":{chat},\"message_id\":{id}}}")).collect();
    let manifest = format!("{{\"parts\":[{}]}}", parts.join(","));
    let answer = rig.send(Method::PUT, "/v1/virtual/film", &[], &manifest).await;
    assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.body));
}

/// Documents' ids in the order of the parts.
fn documents(rig: &Rig) -> Vec<i64> {
    let placed = rig.sim.world().documents();
    let of =
        |(chat, id): &(i64, i32)| placed.iter().find(|p| (p.chat_id, p.message_id) == (*chat, *id)).unwrap().document;
    PLACES.iter().map(of).collect()
}

async fn range(rig: &Rig, first: u64, last: u64) -> crate::rig::Answer {
    rig.ask(Method::GET, SLUG, &[("range", &format!("bytes={first}-{last}"))]).await
}

async fn exact(rig: &Rig, split: &Split, what: &str) {
    let answer = rig.ask(Method::GET, SLUG, &[]).await;
    if let Some(error) = &answer.broken {
        let metrics = rig.admin("/metrics").await.1;
        let told: Vec<&str> =
            metrics.lines().filter(|line| line.contains("broken") || line.contains("faults")).collect();
        panic!("{what}: {error} after {} bytes: {told:#?}", answer.body.len());
    }
    assert!(sha(&answer.whole()) == sha(&split.bytes(0, split.size())), "{what}: wrong bytes");
}

/// A generator that any seed replays: xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }
}

#[tokio::test]
async fn one_description_of_all_parts() {
    let split = Split { sizes: [MIB + 7, KIB, 3] };
    let rig = rig(&split, 1, |_| {}).await;
    let lookups = rig.counts().calls("channels.getMessages");
    let head = rig.ask(Method::HEAD, SLUG, &[]).await;
    let entity = wire::Entity::read(&head.headers).unwrap();
    assert_eq!((entity.size, entity.content_type.as_str()), (split.size(), "video/x-matroska"));
    assert_eq!(entity.file_name.as_deref(), Some("film.mkv"));
    let spans = wire::Spans::read(&head.headers).unwrap();
    assert_eq!((spans.chat_id, spans.message_id, spans.chats), (CHAT, 1, vec![CHAT, OTHER_CHAT]));
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups, "known since the manifest was put");
    rig.ask(Method::HEAD, SLUG, &[("cache-control", "no-cache")]).await;
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups + 3);
    let etag = head.headers["etag"].to_str().unwrap();
    let partial = rig.ask(Method::GET, SLUG, &[("range", "bytes=1048576-1048590"), ("if-match", etag)]).await;
    assert_eq!(partial.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(partial.headers["content-range"], format!("bytes 1048576-1048590/{}", split.size()).as_str());
    assert_eq!((&partial.headers["etag"], wire::Spans::read(&partial.headers).is_ok()), (&head.headers["etag"], true));
    assert!(partial.whole() == split.bytes(MIB, MIB + 15));
    for (path, headers, told) in [
        (SLUG, ("if-match", "\"other\""), Told::Changed),
        (SLUG, ("range", "bytes=0-1049610"), Told::BadRange),
        (SLUG, ("range", "bytes=0-"), Told::BadRange),
        ("/v1/media/v/none", ("accept", "*/*"), Told::NotFound),
        ("/v1/media/v/no.ne", ("accept", "*/*"), Told::BadRequest),
    ] {
        assert_eq!(rig.ask(Method::GET, path, &[headers]).await.fault(), Some(told), "{path} {headers:?}");
    }
}

#[tokio::test]
async fn ranges_around_each_boundary_are_exact() {
    let seed: u64 = std::env::var("HIVE_VIRTUAL_SEED").ok().map_or_else(rand_seed, |text| text.parse().unwrap());
    println!("HIVE_VIRTUAL_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let mut size = || [1, KIB - 1, MIB + 5, 2 * MIB, 600_001][usize::try_from(dice.below(5)).unwrap()] + dice.below(3);
    let split = Split { sizes: [size(), size(), size()] };
    let rig = rig(&split, 1, |_| {}).await;
    let whole = split.bytes(0, split.size());
    let seams = [0, split.sizes[0], split.sizes[0] + split.sizes[1], split.size()];
    let near = |dice: &mut Dice| {
        let seam = seams[usize::try_from(dice.below(4)).unwrap()];
        let off = [0, 1, 2, KIB, 65_537, MIB][usize::try_from(dice.below(6)).unwrap()] + dice.below(3);
        if dice.below(2) == 0 { seam.saturating_sub(off) } else { seam + off }.min(split.size() - 1)
    };
    for turn in 0..60 {
        let (a, b) = (near(&mut dice), near(&mut dice));
        let (first, last) = (a.min(b), a.max(b));
        let answer = range(&rig, first, last).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "seed {seed}, turn {turn}: {first}-{last}");
        let (from, to) = (usize::try_from(first).unwrap(), usize::try_from(last).unwrap());
        assert!(answer.whole() == whole[from..=to], "seed {seed}, turn {turn}: {first}-{last} of {:?}", split.sizes);
    }
}

#[expect(clippy::disallowed_methods, reason = "another seed for each run; it is printed")]
fn rand_seed() -> u64 {
    u64::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos())
}

#[tokio::test]
async fn a_whole_file_is_asked_for_once_byte_for_byte() {
    let split = Split { sizes: [5 * MIB + 5, 12 * MIB, 3 * MIB + 1] };
    let rig = rig(&split, 1, |_| {}).await;
    let lookups = rig.counts().calls("channels.getMessages");
    exact(&rig, &split, "whole").await;
    let counts = rig.counts();
    assert!(counts.chunks.iter().all(|chunk| chunk.asked == 1), "{:?}", counts.chunks);
    assert_eq!(counts.bytes["ann"], split.size(), "no byte is fetched twice");
    assert_eq!(counts.calls("channels.getMessages"), lookups, "every part was looked up when the manifest was put");
}

/// The next part is found, and its first bytes are asked for, before the last ones of the part before are here; and all that on the
/// place that the stream has already.
#[tokio::test]
async fn a_boundary_costs_no_round_trip_and_no_second_place() {
    let split = Split { sizes: [20 * MIB, 20 * MIB, MIB] };
    let rig = rig(&split, 1, |options| {
        options.pool.streams_per_session = 1;
        options.pool.location_ttl = Duration::ZERO;
        // What is asked for twice is a fault here, and on a slow machine everything straggles.
        options.pool.hedges = 0.0;
    })
    .await;
    let (documents, last) = (documents(&rig), 20 * MIB - 512 * KIB);
    let stuck =
        Rule { document: Some(documents[0]), ..Rule::on("upload.getFile", Fault::Silence).offset(last, 20 * MIB) };
    let id = rig.sim.faults().add(stuck);
    let lookups = rig.counts().calls("channels.getMessages");
    let response = rig.open(Method::GET, SLUG, &[("authorization", "Bearer test-token")]).await;
    let body = tokio::spawn(finish(response));
    let served = |counts: &Counts, document: i64, offset: u64| {
        counts.chunks_of(document).iter().filter(|chunk| chunk.offset == offset).map(|chunk| chunk.served).sum::<u64>()
    };
    rig.until("the next part while the one before is stuck", |counts| served(counts, documents[1], 0) > 0).await;
    let counts = rig.counts();
    assert_eq!(served(&counts, documents[0], last), 0, "the last chunk of the first part is not here");
    assert_eq!(counts.calls("channels.getMessages"), lookups + 2, "one for each of the two parts");
    assert!(counts.chunks_of(documents[2]).is_empty(), "the part after the next has time");
    rig.until_metric("hive_session_streams{session=\"ann\"} 1").await;
    rig.sim.faults().remove(id);
    let answer = body.await.unwrap();
    assert!(sha(&answer.whole()) == sha(&split.bytes(0, split.size())));
    rig.until_metric("hive_session_streams{session=\"ann\"} 0").await;
    let again: Vec<_> = rig.counts().chunks.into_iter().filter(|chunk| chunk.served > 1).collect();
    assert!(again.is_empty(), "{again:?}");
}

/// A range that ends before the boundary asks for nothing behind it.
#[tokio::test]
async fn what_lies_behind_the_range_is_left_alone() {
    let split = Split { sizes: [2 * MIB, 2 * MIB, MIB] };
    let rig = rig(&split, 1, |_| {}).await;
    let answer = range(&rig, 5, 2 * MIB - 1).await;
    assert!(answer.whole() == split.bytes(5, 2 * MIB));
    let documents = documents(&rig);
    assert!(rig.counts().chunks_of(documents[1]).is_empty());
    assert!(range(&rig, 2 * MIB, 2 * MIB).await.whole() == split.bytes(2 * MIB, 2 * MIB + 1));
    assert!(rig.counts().chunks_of(documents[2]).is_empty());
}

async fn trouble_at_the_boundary(count: usize) {
    let split = Split { sizes: [9 * MIB + 3, 3 * MIB + 5, MIB + 1] };
    let rig = rig(&split, count, |options| {
        options.client.call_timeout = Duration::from_millis(1500);
        options.pool.location_ttl = Duration::ZERO;
    })
    .await;
    let documents = documents(&rig);
    let faults = [
        ("flood", Fault::FloodWait(1)),
        ("premium flood", Fault::FloodPremiumWait(1)),
        ("expired reference", Fault::ReferenceExpired),
        ("migration", Fault::Migrate(2)),
        ("server error", Fault::Error(500, "INTERNAL".into())),
        ("drop", Fault::Drop),
        ("truncated frame", Fault::Truncate),
        ("silence", Fault::Silence),
    ];
    for (name, fault) in faults {
        for index in [1, 2] {
            let what = format!("{name} at the start of part {}, {count} account(s)", index + 1);
            let rule = Rule { document: Some(documents[index]), ..Rule::on("upload.getFile", fault.clone()) };
            let id = rig.sim.faults().add(rule.offset(0, KIB).when(When::Nth(1)));
            exact(&rig, &split, &what).await;
            assert!(rig.sim.faults().matched(id) > 0, "{what}: never came");
            rig.sim.faults().clear();
        }
    }
    // The first look-up is for the first part, the second for the next one.
    for (name, fault) in [("flood", Fault::FloodWait(1)), ("drop", Fault::Drop), ("silence", Fault::Silence)] {
        let what = format!("{name} of the look-up ahead, {count} account(s)");
        let id = rig.sim.faults().add(Rule::on("channels.getMessages", fault).when(When::Nth(2)));
        exact(&rig, &split, &what).await;
        assert!(rig.sim.faults().matched(id) > 1, "{what}: never came");
        rig.sim.faults().clear();
    }
    // References that were handed out before the boundary and are old behind it.
    let response = rig.open(Method::GET, SLUG, &[("authorization", "Bearer test-token")]).await;
    rig.sim.world().expire_references(None).unwrap();
    assert!(sha(&finish(response).await.whole()) == sha(&split.bytes(0, split.size())), "expired at the boundary");
}

#[tokio::test]
async fn trouble_at_the_boundary_with_one_account() {
    trouble_at_the_boundary(1).await;
}

#[tokio::test]
async fn trouble_at_the_boundary_with_two_accounts() {
    trouble_at_the_boundary(2).await;
}

#[tokio::test]
async fn parts_are_read_by_whoever_can_see_them() {
    let split = Split { sizes: [3 * MIB, 3 * MIB, 3 * MIB] };
    let mut world = split.world(accounts(2));
    for (channel, member) in world.channels.iter_mut().zip(["ann", "ben"]) {
        channel.members = Some(vec![member.to_owned()]);
    }
    let rig = Rig::start_in(world, |options| options.pool.streams_per_session = 1).await;
    put(&rig).await;
    exact(&rig, &split, "two accounts, one for each chat").await;
    let counts = rig.counts();
    assert_eq!((counts.bytes["ann"], counts.bytes["ben"]), (6 * MIB, 3 * MIB));
}

#[tokio::test]
async fn a_part_that_is_gone_is_told_and_not_asked_for_again() {
    let split = Split { sizes: [MIB, MIB, MIB] };
    let rig = rig(&split, 1, |options| {
        options.pool.location_ttl = Duration::ZERO;
        options.pool.negative_ttl = Duration::from_secs(600);
    })
    .await;
    assert_eq!(rig.ask(Method::HEAD, SLUG, &[]).await.status, StatusCode::OK);
    rig.sim.world().delete_message(OTHER_CHAT, 5).unwrap();
    // Nobody has looked yet.
    assert!(range(&rig, 0, 99).await.whole() == split.bytes(0, 100));
    let gone = range(&rig, MIB, MIB + 9).await;
    assert_eq!((gone.status, gone.fault()), (StatusCode::GONE, Some(Told::Gone)));
    let lookups = rig.counts().calls("channels.getMessages");
    for (first, last) in [(0, 99), (MIB, MIB + 9), (2 * MIB, 2 * MIB)] {
        assert_eq!(range(&rig, first, last).await.fault(), Some(Told::Gone), "it is one file");
    }
    assert_eq!(rig.ask(Method::HEAD, SLUG, &[]).await.fault(), Some(Told::Gone));
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups);
    // A manifest of what is left is another file.
    let rest = format!("{{\"name\":\"a.mkv\",\"parts\":[{{\"chat_id\":{CHAT},\"message_id\":1}}]}}");
    assert_eq!(rig.send(Method::PUT, "/v1/virtual/film", &[], &rest).await.status, StatusCode::OK);
    assert!(range(&rig, 0, MIB - 1).await.whole() == split.bytes(0, MIB));
}

#[tokio::test]
async fn a_description_finds_what_is_gone_and_a_body_breaks_where_it_is() {
    let split = Split { sizes: [20 * MIB, MIB, MIB] };
    let rig = rig(&split, 1, |options| {
        options.pool.location_ttl = Duration::ZERO;
        options.pool.negative_ttl = Duration::ZERO;
    })
    .await;
    let response = rig.open(Method::GET, SLUG, &[("authorization", "Bearer test-token")]).await;
    rig.sim.world().delete_message(OTHER_CHAT, 5).unwrap();
    let answer = finish(response).await;
    assert!(answer.broken.is_some(), "{} bytes look whole", answer.body.len());
    assert!(answer.body == split.bytes(0, answer.body.len().try_into().unwrap()));
    assert!(u64::try_from(answer.body.len()).unwrap() <= 20 * MIB);
    assert_eq!(rig.ask(Method::HEAD, SLUG, &[]).await.fault(), Some(Told::Gone));
}

#[tokio::test]
async fn an_edited_part_is_never_mixed_in_and_a_new_manifest_takes_it() {
    let mut split = Split { sizes: [9 * MIB, MIB, 2 * MIB] };
    let rig = rig(&split, 2, |options| {
        options.pool.location_ttl = Duration::ZERO;
        options.pool.negative_ttl = Duration::ZERO;
    })
    .await;
    let old = rig.ask(Method::HEAD, SLUG, &[]).await.headers["etag"].clone();
    let response = rig.open(Method::GET, SLUG, &[("authorization", "Bearer test-token")]).await;
    split.sizes[2] += 1;
    rig.sim.world().replace_document(CHAT, 2, split.part(2)).unwrap();
    rig.sim.world().expire_references(None).unwrap();
    let answer = finish(response).await;
    assert!(answer.broken.is_some(), "{} bytes look whole", answer.body.len());
    assert!(answer.body == split.bytes(0, answer.body.len().try_into().unwrap()), "versions were mixed");
    let changed = range(&rig, 10 * MIB, 10 * MIB).await;
    assert_eq!((changed.status, changed.fault()), (StatusCode::PRECONDITION_FAILED, Some(Told::Changed)));
    assert_eq!(rig.ask(Method::HEAD, SLUG, &[]).await.fault(), Some(Told::Changed));
    put(&rig).await;
    exact(&rig, &split, "the new manifest").await;
    let new = rig.ask(Method::HEAD, SLUG, &[]).await.headers["etag"].clone();
    assert_ne!(old, new);
    let stale = rig.ask(Method::GET, SLUG, &[("if-match", old.to_str().unwrap())]).await;
    assert_eq!(stale.fault(), Some(Told::Changed));
}
