//! Guests that misbehave in a call: each call fails as the fail policy says, and the next good one succeeds.

use crate::guest::{Guest, Reply, TEXT, deny, ranges, redirect, wanting_randomness};
use crate::rig::{Rig, ask, chain, failures, listening, request, stats, tenant, until, word};
use plugin_host::Finished;
use plugin_package::Hook;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A redirect to a text.
fn to(url: &[u8]) -> Guest {
    let length = u32::try_from(url.len()).unwrap();
    Guest::answering(redirect(TEXT, length).bytes()).data(TEXT, url)
}

/// A denial with a text.
fn refusing(status: u16, text: &[u8]) -> Guest {
    let length = u32::try_from(text.len()).unwrap();
    Guest::answering(deny(status, TEXT, length).bytes()).data(TEXT, text)
}

fn again(count: u32, body: &str) -> String {
    format!(
        "(loop $l {body} (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))"
    )
}

const MEBIBYTES_OF_PAGES: u32 = 16;

/// Name, guest, and the word of its failure.
fn rows() -> Vec<(&'static str, Guest, &'static str)> {
    let evil = Guest::evil;
    let drop_and = |reply: u32| format!("(call $drop (local.get $request)) (return (i32.const {reply}))");
    vec![
        ("endless loop", evil("(loop $l (br $l))"), "time"),
        ("endless recursion", evil("(call $deeper)").with("(func $deeper (call $deeper) (call $deeper))"), "stack"),
        ("unreachable", evil("unreachable"), "trap"),
        ("division by zero", evil("(drop (i32.div_u (i32.const 1) (i32.const 0)))"), "trap"),
        ("out of bounds", evil("(drop (i32.load (i32.const -8)))"), "trap"),
        (
            "memory growth",
            evil("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable"),
            "memory",
        ),
        (
            "table growth",
            evil("(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable")
                .with("(table $t 1 funcref)"),
            "memory",
        ),
        ("text beyond memory", Guest::answering(deny(403, 16, 0x7fff_ffff).bytes()), "trap"),
        (
            "gigantic text",
            Guest::answering(deny(403, 65_536, 6 << 20).bytes()).pages(8 * MEBIBYTES_OF_PAGES),
            "excess",
        ),
        (
            "gigantic list",
            Guest::answering(ranges(65_536, 400_000).bytes()).pages(8 * MEBIBYTES_OF_PAGES),
            "excess",
        ),
        ("list beyond memory", Guest::answering(ranges(65_536, u32::MAX).bytes()), "trap"),
        ("many ranges", Guest::answering(ranges(65_536, 4_000).bytes()), "bad-reply"),
        ("no case of the verdict", Guest::answering(Reply::default().int(0, 9).long(72, 0).bytes()), "trap"),
        ("verdict beyond memory", evil(&drop_and(0x7fff_fff0)), "trap"),
        ("not UTF-8", refusing(403, b"\xff\xfe"), "trap"),
        (
            "gigantic log line",
            evil("(call $log (i32.const 0) (i32.const 0) (i32.const 6291456))").pages(8 * MEBIBYTES_OF_PAGES),
            "excess",
        ),
        (
            "store flood",
            evil(&again(
                65,
                "(call $set (i32.const 256) (i32.const 8) (i32.const 256) (i32.const 8) (i32.const 60) (i32.const 128))",
            )),
            "excess",
        ),
        ("randomness flood", evil("(call $random (i32.const 1025) (i32.const 128))"), "excess"),
        (
            "URL without many parameters",
            evil("(call $url (local.get $request) (i32.const 65536) (i32.const 33) (i32.const 128))"),
            "excess",
        ),
        ("handle kept", evil("(return (i32.const 512))"), "trap"),
        (
            "handle used after it was dropped",
            evil("(call $drop (local.get $request)) (call $id (local.get $request) (i32.const 128))"),
            "trap",
        ),
        ("handle made up", evil("(call $id (i32.const 77) (i32.const 128))"), "trap"),
        (
            "results put beyond memory",
            evil("(call $id (local.get $request) (i32.const 128))").realloc("i32.const -16"),
            "trap",
        ),
        (
            "results put nowhere, for ever",
            evil("(call $id (local.get $request) (i32.const 128))").realloc("(loop $l (br $l)) unreachable"),
            "time",
        ),
        ("status that refuses nothing", refusing(200, b"ok"), "bad-reply"),
        ("status 302", refusing(302, b"go"), "bad-reply"),
        ("line break in a refusal", refusing(403, b"no\r\nSet-Cookie: a=b"), "bad-reply"),
        ("long refusal", refusing(403, &[b'a'; 201]), "bad-reply"),
        ("header smuggled behind a URL", to(b"https://a.test/\r\nSet-Cookie: a=b"), "bad-reply"),
        ("NUL in a URL", to(b"https://a.test/\0"), "bad-reply"),
        ("script for a URL", to(b"javascript:alert(1)"), "bad-reply"),
        ("another host in two slashes", to(b"//evil.test/"), "bad-reply"),
        ("another host in a backslash", to(b"/\\evil.test/"), "bad-reply"),
        ("another host behind an @", to(b"https://films.test@evil.test/"), "bad-reply"),
        ("empty URL", to(b""), "bad-reply"),
        ("limits that stop everything", Guest::answering(Reply::default().int(8, 1).long(16, 1).long(72, 0).bytes()), "bad-reply"),
        ("no streams at all", Guest::answering(Reply::default().int(24, 1).int(28, 0).long(72, 0).bytes()), "bad-reply"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fails_for_its_own_call_alone() {
    let rig = Rig::new();
    for (name, guest, want) in rows() {
        let plugins = rig.policy("", &guest).await;
        assert_eq!(word(&ask(&plugins, 1).await), "allow", "{name}: before");
        assert_eq!(word(&ask(&plugins, 666).await), want, "{name}");
        assert_eq!(word(&ask(&plugins, 1).await), "allow", "{name}: after");
        let now = stats(&plugins);
        assert_eq!((failures(&now, want), now.discarded, now.busy), (1, 1, 0), "{name}");

        let plugins = rig.policy("fail = \"open\"", &guest).await;
        assert_eq!(word(&ask(&plugins, 666).await), "allow", "{name}: open");
        assert_eq!(failures(&stats(&plugins), want), 1, "{name}: open, but counted");
    }
}

#[tokio::test]
async fn a_log_flood_is_dropped_and_counted() {
    let flood = again(5_000, "(call $log (i32.const 1) (i32.const 256) (i32.const 8))");
    let _log = listening(tracing::Level::INFO);
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\nlog_lines = 3\ntime = \"1s\"", &Guest::evil(&flood)).await;
    assert_eq!(word(&ask(&plugins, 666).await), "allow");
    let stats = stats(&plugins);
    // The flood may lie across the end of a second.
    assert!((3..=6).contains(&stats.log_written), "{stats:?}");
    assert_eq!(stats.log_written + stats.log_dropped, 5_000);
}

/// Lines that the log's filter drops are not written, and leave the budget to those that are.
#[tokio::test]
async fn lines_that_nobody_reads_cost_no_budget() {
    let _log = listening(tracing::Level::WARN);
    let line = |level: u32| format!("(call $log (i32.const {level}) (i32.const 256) (i32.const 8))");
    let rig = Rig::new();
    let body = format!("{} {} {}", again(60, &line(0)), line(2), line(3));
    let plugins = rig.policy("[limits]\nlog_lines = 2\ntime = \"1s\"", &Guest::evil(&body)).await;
    assert_eq!(word(&ask(&plugins, 666).await), "allow");
    assert_eq!((stats(&plugins).log_written, stats(&plugins).log_dropped), (2, 0));
}

/// `limits.hostcall_bytes` is for a call, not for each thing that a guest does in it.
#[tokio::test]
async fn many_arguments_add_up() {
    let rig = Rig::new();
    let lines =
        |count| Guest::evil(&again(count, "(call $log (i32.const 0) (i32.const 65536) (i32.const 1048576))")).pages(32);
    for (count, want) in [(4, "allow"), (5, "excess")] {
        let plugins = rig.policy("[limits]\ntime = \"10s\"\nwall = \"60s\"", &lines(count)).await;
        assert_eq!(word(&ask(&plugins, 666).await), want, "{count} MiB");
    }
}

/// Observers hear of many requests at once, and may note each of them down.
#[tokio::test]
async fn observers_may_use_the_store_more() {
    let rig = Rig::new();
    for (count, want) in [(2_048, 0), (2_049, 1)] {
        let increment = "(call $increment (i32.const 256) (i32.const 8) (i64.const 1) (i32.const 60) (i32.const 128))";
        let body = format!("(param i32 i32 i32 i32) (local $i i32) {}", again(count, increment));
        let guest = Guest::new("observe-plugin").export("observe", "on-log", &body).data(256, b"some key");
        let manifest = "hook = \"observe\"\n[limits]\ntime = \"10s\"\nwall = \"60s\"";
        let (plugins, changes) = rig.open(vec![rig.spec("p", manifest, &guest.component())]).await;
        assert!(changes[0].problem().is_none(), "{changes:?}");
        plugins.chain(Hook::Observe, &tenant("films")).unwrap().observe(vec![Finished::default()]).await;
        assert_eq!((failures(&stats(&plugins), "excess"), stats(&plugins).kv_operations), (want, 2_048));
    }
}

#[tokio::test]
async fn wasi_gives_no_more_randomness_than_we_do() {
    let rig = Rig::new();
    for (bytes, want) in [(1_024, "allow"), (1_025, "trap")] {
        let (plugins, changes) = rig.open(vec![rig.spec("p", "hook = \"policy\"", &wanting_randomness(bytes))]).await;
        assert!(changes[0].problem().is_none(), "{changes:?}");
        assert_eq!(word(&ask(&plugins, 666).await), want, "{bytes} bytes");
    }
}

/// One instruction that takes long is one tick, and all of its time counts: each of these copies 128 MiB.
#[tokio::test]
async fn long_instructions_count_in_full() {
    let fill = "(memory.fill (i32.const 65536) (local.get $i) (i32.const 134217728))";
    let guest = Guest::evil(&again(5, fill)).pages(2_049);
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\nmemory = \"256MiB\"\nwall = \"60s\"", &guest).await;
    assert_eq!(word(&ask(&plugins, 666).await), "time");
    let patient = rig.policy("[limits]\nmemory = \"256MiB\"\ntime = \"10s\"\nwall = \"60s\"", &guest).await;
    assert_eq!(word(&ask(&patient, 666).await), "allow");
}

/// A guest that was refused memory and lived is not to blame for it in a later call.
#[tokio::test]
async fn a_refusal_of_memory_is_forgotten_with_its_call() {
    let guest = Guest::policy(
        "(call $media (local.get $request) (i32.const 64))
         (if (i32.eq (i32.load (i32.const 72)) (i32.const 666)) (then unreachable))
         (if (i32.ne (memory.grow (i32.const 10000)) (i32.const -1)) (then unreachable))
         (call $drop (local.get $request)) i32.const 512",
    );
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\ninstances = 1", &guest).await;
    assert_eq!(word(&ask(&plugins, 1).await), "allow");
    assert_eq!(word(&ask(&plugins, 666).await), "trap");
    assert_eq!(stats(&plugins).created, 1, "both met the same instance");
}

/// A guest that runs gives its thread to others each tick: counted in polls, not in time.
#[tokio::test(flavor = "current_thread")]
async fn a_spinning_guest_leaves_its_thread_to_others() {
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\ntime = \"200ms\"\nwall = \"60s\"", &Guest::evil("(loop $l (br $l))")).await;
    let polls = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&polls);
    let other = tokio::spawn(async move {
        loop {
            counting.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let before = polls.load(SeqCst);
    assert_eq!(word(&ask(&plugins, 666).await), "time");
    // Some two hundred ticks, but on a busy machine the clock's thread gets its turn later.
    assert!(polls.load(SeqCst) - before >= 10, "{}", polls.load(SeqCst) - before);
    other.abort();
}

/// Who was seen to run for a tick is not asked on a request's thread again: that thread has only the caller's few polls.
#[tokio::test(flavor = "current_thread")]
async fn who_spun_is_asked_aside() {
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\ntime = \"20ms\"\nwall = \"60s\"", &Guest::evil("(loop $l (br $l))")).await;
    assert_eq!(word(&ask(&plugins, 1).await), "allow");
    assert_eq!((word(&ask(&plugins, 666).await).as_str(), stats(&plugins).aside), ("time", 0));
    for call in 1..=5 {
        let chain = chain(&plugins, "films");
        let spinning = tokio::spawn(async move { chain.policy(&request(666)).await });
        until(|| spinning.is_finished()).await;
        assert_eq!(word(&spinning.await.unwrap()), "time");
        assert_eq!((word(&ask(&plugins, 1).await).as_str(), stats(&plugins).aside), ("allow", 2 * call));
    }
    let now = stats(&plugins);
    assert_eq!((now.busy, now.discarded, failures(&now, "time")), (0, 6, 6));
}

/// An instance whose call failed is not used again; the others are.
#[tokio::test]
async fn a_trap_on_every_third_call() {
    let guest = Guest::policy(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (call $drop (local.get $request))
         (if (i32.eq (global.get $calls) (i32.const 3)) (then unreachable))
         i32.const 512",
    )
    .with("(global $calls (mut i32) (i32.const 0))");
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\ninstances = 1", &guest).await;
    for call in 1..=30 {
        let want = if call % 3 == 0 { "trap" } else { "allow" };
        assert_eq!(word(&ask(&plugins, 1).await), want, "call {call}");
    }
    let stats = stats(&plugins);
    assert_eq!((stats.created, stats.discarded, stats.idle, stats.busy), (10, 10, 0, 0));
    assert_eq!((stats.latency.count(), failures(&stats, "trap")), (30, 10));
}

/// A caller that leaves in the middle: the instance goes, its place is free, the next call is good.
#[tokio::test]
async fn a_caller_that_leaves() {
    let rig = Rig::new();
    let limits = "[limits]\ntime = \"10s\"\nwall = \"60s\"\ninstances = 1";
    let plugins = rig.policy(limits, &Guest::evil("(loop $l (br $l))")).await;
    let chain = chain(&plugins, "films");
    let running = tokio::spawn(async move { chain.policy(&request(666)).await });
    until(|| stats(&plugins).busy == 1).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(word(&ask(&plugins, 1).await), "allow");
    let now = stats(&plugins);
    assert_eq!((now.busy, now.idle, now.created, now.discarded), (0, 1, 2, 1));
}
