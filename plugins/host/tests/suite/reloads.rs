//! Plugins change while requests run.

use crate::guest::{Guest, REPLY, deny};
use crate::rig::{Rig, ask, chain, request, stats, until, word};
use plugin_host::{AdminError, Change, Outcome, Plugins};
use plugin_package::{FailPolicy, Hook, Spec, Tenants, Trust};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Refuses with this status, so that answers tell generations apart.
fn saying(status: u16) -> Vec<u8> {
    Guest::policy(&format!("(call $drop (local.get $request)) i32.const {REPLY}"))
        .data(REPLY, deny(status, 0, 0).bytes())
        .component()
}

async fn reload(plugins: &Plugins, spec: &Spec) -> Change {
    plugins.reload(vec![spec.clone()], Trust::default()).await.remove(0)
}

async fn says(plugins: &Plugins) -> String {
    word(&ask(plugins, 1).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_plugins_are_swapped() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    let plugins = Arc::new(plugins);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (plugins, stop, calls) = (Arc::clone(&plugins), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                let mut seen = BTreeSet::new();
                while !stop.load(SeqCst) {
                    seen.insert(says(&plugins).await);
                    calls.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                }
                seen
            })
        })
        .collect();
    for status in 401..=412_u16 {
        rig.write("p", "hook = \"policy\"", &saying(status));
        assert!(matches!(reload(&plugins, &spec).await.outcome, Outcome::Loaded { .. }));
        assert_eq!(says(&plugins).await, status.to_string());
        let (since, calls) = (calls.load(SeqCst), Arc::clone(&calls));
        until(move || calls.load(SeqCst) > since + 8).await;
    }
    stop.store(true, SeqCst);
    let mut seen = BTreeSet::new();
    for caller in callers {
        seen.extend(caller.await.unwrap());
    }
    let statuses: BTreeSet<String> = (400..=412).map(|status: u16| status.to_string()).collect();
    assert!(seen.is_subset(&statuses) && seen.len() >= 12, "{seen:?}");
    assert!(stats(&plugins).failures.iter().all(|(_, count)| *count == 0), "{:?}", stats(&plugins));
}

/// Many reloads leave behind the generation in service and the one before it, and no instance of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_reloads_leave_nothing_behind() {
    let rig = Rig::new();
    let both = [saying(400), saying(401)];
    let spec = rig.spec("p", "hook = \"policy\"", &both[0]);
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    for round in 1..=300_usize {
        rig.write("p", "hook = \"policy\"", &both[round % 2]);
        assert!(matches!(reload(&plugins, &spec).await.outcome, Outcome::Loaded { .. }), "{round}");
        assert_eq!(says(&plugins).await, format!("40{}", round % 2));
        assert!(rig.host.live_generations() <= 2, "{round}: {}", rig.host.live_generations());
        let now = stats(&plugins);
        assert_eq!((now.idle, now.busy), (1, 0), "{round}");
    }
    let now = stats(&plugins);
    assert_eq!((now.created, now.retired, now.discarded), (300, 299, 0));
    assert_eq!(now.latency.count(), 300);
    drop(plugins);
    assert_eq!(rig.host.live_generations(), 0);
}

#[tokio::test]
async fn a_bad_generation_leaves_the_old_one() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    for (manifest, wasm) in [
        ("hook = \"policy\"", b"rubbish".to_vec()),
        ("hook = \"observe\"", saying(401)),
        ("hook = \"policy\"\nunknown = 1", saying(401)),
        ("hook = \"policy\"", Guest::policy("unreachable").with("(func $s unreachable) (start $s)").component()),
    ] {
        rig.write("p", manifest, &wasm);
        let change = reload(&plugins, &spec).await;
        assert!(matches!(&change.outcome, Outcome::Kept { reason } if !reason.is_empty()), "{change:?}");
        assert_eq!(says(&plugins).await, "400");
        assert_eq!(plugins.list()[0].problem.as_deref(), change.problem());
    }
    rig.write("p", "hook = \"policy\"", &saying(402));
    assert!(matches!(reload(&plugins, &spec).await.outcome, Outcome::Loaded { .. }));
    assert_eq!((says(&plugins).await, plugins.list()[0].problem.clone()), ("402".to_owned(), None));
}

#[tokio::test]
async fn what_has_not_changed_is_not_touched() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    says(&plugins).await;
    let before = plugins.list();
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Unchanged);
    assert_eq!((plugins.list(), stats(&plugins).idle), (before, 1));
    assert_eq!(plugins.reload(Vec::new(), Trust::default()).await[0].outcome, Outcome::Removed);
    assert!(plugins.list().is_empty() && rig.host.live_generations() == 0);
}

#[tokio::test]
async fn rolling_back_and_forth() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    assert_eq!(plugins.rollback("p"), Err(AdminError::NoEarlier("p".into())));
    assert_eq!(plugins.rollback("q"), Err(AdminError::Unknown("q".into())));
    rig.write("p", "hook = \"policy\"", &saying(401));
    reload(&plugins, &spec).await;
    assert_eq!(says(&plugins).await, "401");
    assert_eq!(plugins.rollback("p"), Ok(()));
    assert_eq!(says(&plugins).await, "400");
    // The files on disk are still those that were rolled back from: a reload, say for another plugin, doesn't bring them back.
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Held);
    assert_eq!(says(&plugins).await, "400");
    assert_eq!(plugins.rollback("p"), Ok(()));
    assert_eq!(says(&plugins).await, "401");
    plugins.rollback("p").unwrap();
    rig.write("p", "hook = \"policy\"", &saying(402));
    assert!(matches!(reload(&plugins, &spec).await.outcome, Outcome::Loaded { .. }));
    assert_eq!(says(&plugins).await, "402");
}

/// Settings that are refused leave those in force, like files that don't load.
#[tokio::test]
async fn a_failed_reload_changes_nothing() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"\norder = 7", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    let before = plugins.list().remove(0);
    let nobody = Spec { tenants: Tenants::Only(BTreeSet::new()), ..spec.clone() };
    let elsewhere = Spec { order: Some(2_000_000), fail: Some(FailPolicy::Open), ..spec.clone() };
    for refused in [nobody, elsewhere] {
        let change = reload(&plugins, &refused).await;
        assert!(matches!(change.outcome, Outcome::Kept { .. }), "{change:?}");
        let mut after = plugins.list().remove(0);
        assert!(after.problem.take().is_some());
        assert_eq!((&after, says(&plugins).await.as_str()), (&before, "400"));
    }
    // The files are bad now, and the settings with them.
    rig.write("p", "hook = \"policy\"\norder = 9", b"rubbish");
    let opened = Spec { fail: Some(FailPolicy::Open), tenants: Tenants::Only(["music".to_owned()].into()), ..spec };
    reload(&plugins, &opened).await;
    assert_eq!((plugins.list()[0].fail, plugins.list()[0].order), (FailPolicy::Closed, 7));
    assert_eq!(says(&plugins).await, "400");
}

/// Traps about message 666.
fn trapping() -> Vec<u8> {
    Guest::evil("unreachable").component()
}

/// Order and fail policy are those of the generation that answers.
#[tokio::test]
async fn a_rollback_brings_back_how_a_plugin_fails() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"\norder = 1", &trapping());
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    let now = async |plugins: &Plugins| (word(&ask(plugins, 666).await), plugins.list()[0].order);
    assert_eq!(now(&plugins).await, ("trap".to_owned(), 1));
    rig.write("p", "hook = \"policy\"\norder = 2\nfail = \"open\"", &trapping());
    reload(&plugins, &spec).await;
    assert_eq!(now(&plugins).await, ("allow".to_owned(), 2));
    plugins.rollback("p").unwrap();
    assert_eq!(now(&plugins).await, ("trap".to_owned(), 1));
    plugins.rollback("p").unwrap();
    assert_eq!(now(&plugins).await, ("allow".to_owned(), 2));

    // A canary's are not in force before it is promoted; the operator's are in any case.
    rig.write("p", "hook = \"policy\"\norder = 3\nfail = \"closed\"", &trapping());
    let staged = Spec { canary: Some(0.0), ..spec };
    reload(&plugins, &staged).await;
    assert_eq!(now(&plugins).await, ("allow".to_owned(), 2));
    plugins.promote("p").unwrap();
    assert_eq!(now(&plugins).await, ("trap".to_owned(), 3));
    let said = Spec { order: Some(9), fail: Some(FailPolicy::Closed), ..staged };
    reload(&plugins, &said).await;
    plugins.promote("p").unwrap();
    plugins.rollback("p").unwrap();
    assert_eq!(now(&plugins).await, ("trap".to_owned(), 9));
}

/// What was rolled back from stays away, also once something else has been loaded.
#[tokio::test]
async fn rejects_are_remembered() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    for status in 401..=403 {
        rig.write("p", "hook = \"policy\"", &saying(status));
        reload(&plugins, &spec).await;
        assert_eq!(says(&plugins).await, status.to_string());
        plugins.rollback("p").unwrap();
    }
    rig.write("p", "hook = \"policy\"", &saying(404));
    reload(&plugins, &spec).await;
    for status in 401..=403 {
        rig.write("p", "hook = \"policy\"", &saying(status));
        assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Held, "{status}");
    }
    assert_eq!(says(&plugins).await, "404");
    // In service by an operator's hand, it is a reject no more.
    plugins.rollback("p").unwrap();
    plugins.rollback("p").unwrap();
    rig.write("p", "hook = \"policy\"", &saying(404));
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Unchanged);
}

/// A pin covers the component and not the manifest, which must not turn a guard in service into something else.
#[tokio::test]
async fn a_pinned_plugin_keeps_its_hook() {
    let rig = Rig::new();
    let mut spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    spec.sha256 = plugins.list()[0].current.as_ref().map(|generation| generation.sha256);
    reload(&plugins, &spec).await;
    rig.write("p", "hook = \"observe\"", &saying(400));
    let change = reload(&plugins, &spec).await;
    assert!(change.problem().is_some_and(|reason| reason.contains("became one of observe")), "{change:?}");
    assert_eq!((says(&plugins).await.as_str(), plugins.list()[0].hook), ("400", Hook::Policy));
}

#[tokio::test]
async fn a_canary_gets_its_share() {
    let rig = Rig::new();
    let mut spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    assert_eq!(plugins.promote("p"), Err(AdminError::NoCanary("p".into())));
    spec.canary = Some(0.3);
    rig.write("p", "hook = \"policy\"", &saying(401));
    assert!(matches!(reload(&plugins, &spec).await.outcome, Outcome::Canary { .. }));
    let shares = async |plugins: &Plugins| {
        let mut new = BTreeSet::new();
        for message in 0..400 {
            if word(&chain(plugins, "films").policy(&request(message)).await) == "401" {
                new.insert(message);
            }
        }
        new
    };
    let new = shares(&plugins).await;
    assert!((80..160).contains(&new.len()), "{}", new.len());
    assert_eq!(shares(&plugins).await, new, "the same requests again");
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Unchanged);
    assert!(stats(&plugins).canary.is_some());

    plugins.rollback("p").unwrap();
    assert_eq!(shares(&plugins).await.len(), 0);
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Held);

    rig.write("p", "hook = \"policy\"\ndescription = \"again\"", &saying(401));
    reload(&plugins, &spec).await;
    plugins.promote("p").unwrap();
    assert_eq!(shares(&plugins).await.len(), 400);
    plugins.rollback("p").unwrap();
    assert_eq!(shares(&plugins).await.len(), 0);
}

#[tokio::test]
async fn disabled_plugins_are_not_asked() {
    let rig = Rig::new();
    let mut spec = rig.spec("p", "hook = \"policy\"", &saying(400));
    let (plugins, _) = rig.open(vec![spec.clone()]).await;
    let films = crate::rig::tenant("films");
    let asked = |plugins: &Plugins| plugins.chain(Hook::Policy, &films).is_some();
    plugins.disable("p").unwrap();
    assert!(!asked(&plugins));
    // What an operator did by hand lasts as long as the settings say the same as before.
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Unchanged);
    assert!(!asked(&plugins));
    plugins.enable("p").unwrap();
    assert_eq!(says(&plugins).await, "400");
    spec.enabled = false;
    assert_eq!(reload(&plugins, &spec).await.outcome, Outcome::Disabled);
    assert!(!asked(&plugins));
    spec.enabled = true;
    reload(&plugins, &spec).await;
    assert!(asked(&plugins));
    let (never, _) = rig.open(vec![Spec { enabled: false, ..spec }]).await;
    assert_eq!(never.enable("p"), Err(AdminError::NotLoaded("p".into())));
}

#[tokio::test]
async fn who_is_asked_about_whom_and_in_which_order() {
    let rig = Rig::new();
    let mut all = rig.spec("all", "hook = \"policy\"\norder = 5", &saying(400));
    let mut films = rig.spec("films-only", "hook = \"policy\"\norder = 1", &saying(401));
    films.tenants = Tenants::Only(["films".to_owned()].into());
    let (plugins, _) = rig.open(vec![all.clone(), films.clone()]).await;
    let answer = async |tenant: &str| word(&chain(&plugins, tenant).policy(&request(1)).await);
    assert_eq!((answer("films").await, answer("music").await), ("401".into(), "400".into()));
    all.order = Some(0);
    plugins.reload(vec![all.clone(), films.clone()], Trust::default()).await;
    assert_eq!(answer("films").await, "400");
    all.tenants = Tenants::Only(["music".to_owned()].into());
    plugins.reload(vec![all, films], Trust::default()).await;
    assert_eq!((answer("films").await, answer("music").await), ("401".into(), "400".into()));
    assert!(plugins.chain(Hook::Policy, &crate::rig::tenant("books")).is_none());
}
