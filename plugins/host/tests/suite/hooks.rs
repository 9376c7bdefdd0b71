//! What each hook is told, and what its answers come to.

use crate::guest::{Guest, REPLY, Reply, TEXT, deny};
use crate::rig::{Rig, chain, request, stats, tenant, word};
use plugin_host::{
    Ads, BadReply, Chain, Claims, Cookie, Failure, Finished, Identity, Media, Playlist, PlaylistKind, Plugins, Policy,
    Request, TenantStatus,
};
use plugin_package::Hook;
use std::borrow::Cow;
use std::sync::Arc;

/// Refuses with 403 and the text that some getter left at 128: an address and a length, behind a mark at 124 or without one.
fn telling(call: &str) -> Guest {
    Guest::policy(&format!(
        "{call} (call $drop (local.get $request))
         (i32.store (i32.const {text}) (i32.load (i32.const 128)))
         (i32.store (i32.const {length}) (i32.load (i32.const 132)))
         i32.const {REPLY}",
        text = REPLY + 12,
        length = REPLY + 16,
    ))
    .data(REPLY, deny(403, 0, 0).bytes())
    .data(TEXT, b"x-tiersubgold")
}

#[derive(Debug)]
struct Viewer;

impl Claims for Viewer {
    fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "sub").then_some(Cow::Borrowed("viewer-7"))
    }
}

fn full() -> Arc<Request> {
    let mut request = Request::default();
    request.id = "0123456789abcdef".into();
    request.path = "/stream/-1001/7/film.mp4".into();
    request.headers = vec![("x-tier".into(), "gold".into()), ("x-hidden".into(), "secret".into())];
    request.identity = Identity::Verified;
    request.claims = Some(Arc::new(Viewer));
    Arc::new(request)
}

async fn told(manifest: &str, call: &str) -> String {
    let rig = Rig::new();
    let plugins = rig.policy(manifest, &telling(call)).await;
    match chain(&plugins, "films").policy(&full()).await {
        Policy::Deny { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_guests_see_of_a_request() {
    let shown = "[visible]\nheaders = [\"x-tier\"]";
    let header = "(call $header (local.get $request) (i32.const 2048) (i32.const 6) (i32.const 124))";
    let rows = [
        ("", "(call $id (local.get $request) (i32.const 128))", "0123456789abcdef"),
        ("", "(call $path (local.get $request) (i32.const 128))", "/stream/-1001/7/film.mp4"),
        (shown, header, "gold"),
        ("", header, ""),
        ("", "(call $claim (local.get $request) (i32.const 2054) (i32.const 3) (i32.const 124))", "viewer-7"),
        ("", "(call $claim (local.get $request) (i32.const 2057) (i32.const 4) (i32.const 124))", ""),
    ];
    for (manifest, call, want) in rows {
        assert_eq!(told(manifest, call).await, want, "{call}");
    }
}

#[tokio::test]
async fn chains_tell_what_they_may_see() {
    let rig = Rig::new();
    let guest = telling("").component();
    let one = rig.spec("one", "hook = \"policy\"\n[visible]\nheaders = [\"x-b\", \"x-a\"]\ncookies = [\"c\"]", &guest);
    let two = rig.spec("two", "hook = \"policy\"\n[visible]\nheaders = [\"x-a\"]", &guest);
    let (plugins, _) = rig.open(vec![one, two]).await;
    let chain = chain(&plugins, "films");
    assert_eq!(
        (chain.visible().headers.as_slice(), chain.visible().cookies.as_slice()),
        (["x-a".to_owned(), "x-b".to_owned()].as_slice(), ["c".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn settings_reach_their_guest() {
    let rig = Rig::new();
    let guest = Guest::policy(&format!(
        "(call $setting (i32.const 2048) (i32.const 4) (i32.const 128)) (call $drop (local.get $request))
         (i32.store16 (i32.const {status}) (i32.load16_u (i32.const 144)))
         i32.const {REPLY}",
        status = REPLY + 8,
    ))
    .data(REPLY, deny(0, 0, 0).bytes())
    .data(TEXT, b"word");
    let manifest = "hook = \"policy\"\n[settings.word]\nkind = \"integer\"\ndoc = \"A status.\"\ndefault = 451";
    let mut spec = rig.spec("p", manifest, &guest.component());
    let (plugins, changes) = rig.open(vec![spec.clone()]).await;
    assert!(changes[0].problem().is_none(), "{changes:?}");
    assert_eq!(word(&chain(&plugins, "films").policy(&request(1)).await), "451");
    spec.settings.insert("word".into(), toml::Value::Integer(410));
    plugins.reload(vec![spec], plugin_package::Trust::default()).await;
    assert_eq!(word(&chain(&plugins, "films").policy(&request(1)).await), "410");
}

/// Counts in the store under `k`, and refuses with 400 and the sum.
#[tokio::test]
async fn each_tenant_has_its_own_store() {
    let guest = Guest::policy(&format!(
        "(call $increment (i32.const 2048) (i32.const 1) (i64.const 1) (i32.const 60) (i32.const 128))
         (call $drop (local.get $request))
         (i32.store16 (i32.const {status}) (i32.add (i32.const 400) (i32.load (i32.const 136))))
         i32.const {REPLY}",
        status = REPLY + 8,
    ))
    .data(REPLY, deny(0, 0, 0).bytes())
    .data(TEXT, b"k");
    let rig = Rig::new();
    let plugins = rig.policy("isolation = \"request\"", &guest).await;
    let mut words = Vec::new();
    for name in ["a", "a", "b", "a", "b"] {
        words.push(word(&chain(&plugins, name).policy(&request(1)).await));
    }
    assert_eq!(words, ["401", "402", "401", "403", "402"]);
    assert_eq!(stats(&plugins).kv_operations, 5);
}

#[tokio::test]
async fn the_first_final_verdict_wins_and_limits_add_up() {
    let limited = |speed: u64| {
        let reply = Reply::default().int(8, 1).long(16, speed).long(72, 0);
        Guest::answering(reply.bytes()).component()
    };
    let refusing = Guest::answering(deny(402, 0, 0).bytes()).component();
    let rig = Rig::new();
    let specs = vec![
        rig.spec("first", "hook = \"policy\"\norder = 1", &limited(9_000)),
        rig.spec("second", "hook = \"policy\"\norder = 2", &limited(4_000)),
    ];
    let (plugins, _) = rig.open(specs.clone()).await;
    let Policy::Allow(limits, keep) = chain(&plugins, "films").policy(&request(666)).await else { panic!() };
    assert_eq!((limits.bytes_per_second, keep), (Some(4_000), None));
    let refused = [specs, vec![rig.spec("third", "hook = \"policy\"\norder = 0", &refusing)]].concat();
    let (plugins, _) = rig.open(refused).await;
    assert_eq!(word(&chain(&plugins, "films").policy(&request(666)).await), "402");
    assert_eq!(plugins.stats().iter().map(|stats| stats.latency.count()).collect::<Vec<_>>(), [1, 0, 0]);
}

/// An ads guest with a fixed verdict, and edits for playlists: a list at 3,072.
fn ads(verdict: &Reply, edits: &[(u32, u32, u32, u32)]) -> Guest {
    let mut list = Reply::default().int(0, 3_088).int(4, u32::try_from(edits.len()).unwrap());
    for (index, (start, end, text, length)) in edits.iter().enumerate() {
        let at = 16 + 16 * index;
        list = list.int(at, *start).int(at + 4, *end).int(at + 8, *text).int(at + 12, *length);
    }
    Guest::new("ads-plugin")
        .export("ads", "on-request", &format!("(param i32) (result i32) (call $drop (local.get 0)) i32.const {REPLY}"))
        .export("ads", "on-playlist", "(param i32 i32 i32 i32) (result i32) (call $drop (local.get 0)) i32.const 3072")
        .data(REPLY, verdict.bytes())
        .data(3_072, list.bytes())
        .data(TEXT, b"gatevaluesessionhttps://ads.test/x#AD\n")
}

async fn ads_chain(rig: &Rig, manifest: &str, guests: &[Guest]) -> (Plugins, Chain) {
    let spec = |(index, guest): (usize, &Guest)| {
        let manifest = format!("hook = \"ads\"\norder = {index}\n{manifest}\n[visible]\ncookies = [\"gate\"]");
        rig.spec(&format!("ads{index}"), &manifest, &guest.component())
    };
    let (plugins, changes) = rig.open(guests.iter().enumerate().map(spec).collect()).await;
    assert!(changes.iter().all(|change| change.problem().is_none()), "{changes:?}");
    let chain = plugins.chain(Hook::Ads, &tenant("films")).unwrap();
    (plugins, chain)
}

/// One cookie in a list at 1,100: name, value, life.
fn cookie(reply: Reply, at: usize, name: (u32, u32)) -> Reply {
    reply.int(at, 1_124).int(at + 4, 1).int(100, name.0).int(104, name.1).int(108, 2_052).int(112, 5).int(116, 60)
}

#[tokio::test]
async fn ads_hooks() {
    let rig = Rig::new();
    let proceed = Reply::default().long(0, 0).long(16, 0);
    let sets = cookie(Reply::default().int(0, 2), 4, (2_048, 4));
    let sends = cookie(Reply::default().int(0, 1).int(4, 2_064).int(8, 18), 12, (2_048, 4));
    let foreign = cookie(Reply::default().int(0, 2), 4, (2_057, 7));
    let gate = || Cookie { name: "gate".into(), value: "value".into(), max_age: 60 };
    let asked = request(1);

    let (_plugins, chain) = ads_chain(&rig, "", &[ads(&proceed, &[])]).await;
    assert_eq!(chain.ads(&asked).await, Ads::Proceed { cookies: vec![] });
    let (_plugins, chain) = ads_chain(&rig, "", &[ads(&sets, &[]), ads(&sets, &[]), ads(&proceed, &[])]).await;
    assert_eq!(chain.ads(&asked).await, Ads::Proceed { cookies: vec![gate()] });
    let (_plugins, chain) = ads_chain(&rig, "", &[ads(&sends, &[]), ads(&foreign, &[])]).await;
    let Ads::Redirect { url, cookies, plugin } = chain.ads(&asked).await else { panic!() };
    assert_eq!((url.as_str(), cookies, plugin.as_ref()), ("https://ads.test/x", vec![gate()], "ads0"));

    // Cookies that are not its own: as if it had not been asked, or not at all.
    let (_plugins, chain) = ads_chain(&rig, "", &[ads(&foreign, &[]), ads(&sets, &[])]).await;
    assert_eq!(chain.ads(&asked).await, Ads::Proceed { cookies: vec![gate()] });
    let (_plugins, chain) = ads_chain(&rig, "fail = \"closed\"", &[ads(&foreign, &[])]).await;
    let Ads::Failed { failure, .. } = chain.ads(&asked).await else { panic!() };
    assert_eq!(failure, Failure::Reply(BadReply::ForeignCookie));
}

#[tokio::test]
async fn playlists() {
    let rig = Rig::new();
    let proceed = Reply::default().long(0, 0).long(16, 0);
    let text = "#EXTM3U\n#EXTINF:4\na.ts\n";
    let ask = async |manifest: &str, edits: &[&[(u32, u32, u32, u32)]]| {
        let guests: Vec<Guest> = edits.iter().map(|edits| ads(&proceed, edits)).collect();
        let (_plugins, chain) = ads_chain(&rig, manifest, &guests).await;
        chain.playlist(&request(1), PlaylistKind::HlsMedia, text).await
    };
    let insert = (8, 8, 2_082, 4);
    assert_eq!(ask("", &[&[]]).await, Playlist::Unchanged);
    assert_eq!(ask("", &[&[insert]]).await, Playlist::Rewritten("#EXTM3U\n#AD\n#EXTINF:4\na.ts\n".into()));
    // The second sees what the first left.
    let both = "#EXTM3U\n#AD\n#AD\n#EXTINF:4\na.ts\n";
    assert_eq!(ask("", &[&[insert], &[(12, 12, 2_082, 4)]]).await, Playlist::Rewritten(both.into()));
    // One that fails leaves the text as it was, for the next.
    let bad: &[_] = &[(8, 8, 2_082, 4), (0, 1, 2_082, 4)];
    assert_eq!(ask("", &[bad, &[insert]]).await, Playlist::Rewritten("#EXTM3U\n#AD\n#EXTINF:4\na.ts\n".into()));
    let Playlist::Failed { failure, .. } = ask("fail = \"closed\"", &[bad]).await else { panic!() };
    assert_eq!(failure, Failure::Reply(BadReply::EditOrder));
    // Too much of it: more than the text may grow.
    let many: Vec<_> = (0..20).map(|_| (8, 8, 4_096, 4_000)).collect();
    let Playlist::Failed { failure, .. } = ask("fail = \"closed\"", &[&many]).await else { panic!() };
    assert!(matches!(failure, Failure::Reply(_)), "{failure}");
}

#[tokio::test]
async fn playlists_that_are_too_long_for_a_plugin_pass_it_by() {
    let rig = Rig::new();
    let guest = ads(&Reply::default().long(16, 0), &[(0, 0, 2_082, 4)]);
    let spec = rig.spec("p", "hook = \"ads\"\n[limits]\nplaylist = \"8B\"", &guest.component());
    let (plugins, changes) = rig.open(vec![spec]).await;
    assert!(changes[0].problem().is_none(), "{changes:?}");
    let chain = plugins.chain(Hook::Ads, &tenant("films")).unwrap();
    assert_eq!(chain.longest_playlist(), 8);
    let rewrite = async |text: &str| chain.playlist(&request(1), PlaylistKind::Vast, text).await;
    assert_eq!(rewrite("12345678").await, Playlist::Rewritten("#AD\n12345678".into()));
    assert_eq!(rewrite("123456789").await, Playlist::Unchanged);
    assert_eq!(stats(&plugins).latency.count(), 1);
}

/// A tenant guest: hosts of ten letters are `films`', others nobody's.
fn registry(domain: &[u8], id: &[u8]) -> Guest {
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap();
    let record = Reply::default()
        .int(8, TEXT)
        .int(12, length(id))
        .int(16, 1_200)
        .int(20, 1)
        .int(24, 2) // suspended
        .int(48, 1_216)
        .int(52, 1)
        .long(112, 0)
        .int(176, 2_100)
        .int(180, length(domain))
        .at(192, &(-1_001_i64).to_le_bytes());
    Guest::new("tenant-plugin")
        .export(
            "tenants",
            "resolve",
            &format!(
                "(param i32 i32) (result i32)
                 (if (i32.eq (local.get 1) (i32.const 10)) (then (return (i32.const {REPLY})))) i32.const 8192"
            ),
        )
        .data(REPLY, record.bytes())
        .data(TEXT, id)
        .data(2_100, domain)
        .data(8_192, &[1])
}

#[tokio::test]
async fn tenant_hooks() {
    let rig = Rig::new();
    let resolve = async |guest: &Guest, host: &str| {
        let (plugins, changes) = rig.open(vec![rig.spec("p", "hook = \"tenant\"", &guest.component())]).await;
        assert!(changes[0].problem().is_none(), "{changes:?}");
        let chain = plugins.chain(Hook::Tenant, &tenant("")).unwrap();
        chain.tenant(host, &|id| id == "taken").await.map_err(|failed| failed.failure)
    };
    let good = registry(b"*.test", b"films");
    let found = resolve(&good, "films.test").await.unwrap().unwrap();
    assert_eq!(
        (found.id.as_str(), found.status, found.channels.as_slice()),
        ("films", TenantStatus::Suspended, [-1_001].as_slice())
    );
    assert_eq!((found.plugin.as_ref(), found.domains[0].to_string()), ("p", "*.test".to_owned()));
    assert_eq!(resolve(&good, "nobody.example").await, Ok(None));
    let rows = [
        (registry(b"music.test", b"films"), BadReply::ForeignHost),
        (registry(b"*", b"films"), BadReply::Domain),
        (registry(b"*.test", b"../etc"), BadReply::Characters("tenant.id")),
        (registry(b"*.test", b"taken"), BadReply::TakenId),
    ];
    for (guest, want) in rows {
        assert_eq!(resolve(&guest, "films.test").await, Err(Failure::Reply(want)));
    }
}

/// Counts the batch in the store; the policy guest beside it can't see that, so the statistics must do.
#[tokio::test]
async fn observe_hooks() {
    let guest = Guest::new("observe-plugin")
        .export(
            "observe",
            "on-log",
            "(param i32 i32 i32 i32)
             (if (i32.ne (local.get 3) (i32.const 3)) (then unreachable))
             (if (i32.ne (local.get 1) (i32.const 5)) (then unreachable))
             (call $increment (i32.const 2048) (i32.const 1) (i64.const 1) (i32.const 60) (i32.const 128))",
        )
        .data(TEXT, b"k");
    let rig = Rig::new();
    let (plugins, changes) = rig.open(vec![rig.spec("p", "hook = \"observe\"", &guest.component())]).await;
    assert!(changes[0].problem().is_none(), "{changes:?}");
    let chain = plugins.chain(Hook::Observe, &tenant("films")).unwrap();
    let one = Finished { viewer: "v".into(), media: Media { chat_id: -1, message_id: 2 }, ..Finished::default() };
    chain.observe(vec![one.clone(), one.clone(), one.clone()]).await;
    let heard = |plugins: &Plugins| stats(plugins).decisions.iter().find(|(word, _)| *word == "heard").map(|(_, n)| *n);
    assert_eq!((heard(&plugins), stats(&plugins).kv_operations), (Some(1), 1));
    chain.observe(vec![one]).await;
    assert_eq!((heard(&plugins), crate::rig::failures(&stats(&plugins), "trap")), (Some(1), 1));
}

/// Chains are asked from tasks that move between threads.
#[test]
fn calls_can_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    async fn all(chain: &Chain, request: &Arc<Request>) {
        movable(&chain.policy(request));
        movable(&chain.ads(request));
        movable(&chain.playlist(request, PlaylistKind::Vast, ""));
        movable(&chain.tenant("", &|_| false));
        movable(&chain.observe(Vec::new()));
    }
    let _ = all;
}
