//! What is not loaded, why, and what becomes of the requests that it should have been asked about.

use crate::guest::{ALLOW, Guest, wanting_wasi};
use crate::rig::{Rig, ask, chain, request, stats, word};
use plugin_host::{Host, HostConfig, HostError, Outcome, Policy};
use plugin_kv::{Kv, MemoryBounds};
use plugin_package::{FailPolicy, Hook, Spec, Trust};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

fn allowing() -> Guest {
    Guest::policy(&format!("(call $drop (local.get $request)) i32.const {ALLOW}"))
}

fn rows() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = allowing().component();
    let ads = Guest::new("ads-plugin").export("ads", "on-request", "(param i32) (result i32) unreachable").export(
        "ads",
        "on-playlist",
        "(param i32 i32 i32 i32) (result i32) unreachable",
    );
    let other_version = Guest::new("policy-plugin").version("0.2.0").export(
        "policy",
        "on-request",
        "(param i32) (result i32) unreachable",
    );
    let foreign =
        wat::parse_str("(component (import \"evil:host/shell\" (instance (export \"run\" (func)))))").unwrap();
    let other_types = wat::parse_str(
        "(component
           (core module $m (func (export \"f\") (result i32) i32.const 0))
           (core instance $i (instantiate $m))
           (func $f (result u32) (canon lift (core func $i \"f\")))
           (instance $p (export \"on-request\" (func $f)))
           (export \"streamvault:plugin/policy@0.1.0\" (instance $p)))",
    )
    .unwrap();
    let starts_badly = allowing().with("(func $start (loop $l (br $l))) (start $start)").component();
    let too_large = allowing().pages(1_000).component();
    vec![
        (
            "another world",
            ads.component(),
            "doesn't export streamvault:plugin/policy; it exports streamvault:plugin/ads",
        ),
        ("another version", other_version.component(), "built for version 0.2.0"),
        ("cut off", good[..good.len() / 2].to_vec(), "not a component"),
        ("cut off early", good[..6].to_vec(), "no WebAssembly"),
        ("empty", Vec::new(), ""),
        ("garbage", b"#!/bin/sh\necho\n".repeat(100), "no WebAssembly"),
        ("a core module without types", allowing().module(false), "core module"),
        ("imports that nobody gets", foreign, "imports evil:host/shell"),
        ("a function of another type", other_types, "another type than the contract's"),
        ("a start that never ends", starts_badly, "doesn't start: ran for longer"),
        ("more memory than allowed", too_large, "doesn't start: trap: out of memory"),
        ("a table with 64 bits of room", allowing().with("(table $t i64 1 funcref)").component(), "64"),
        ("many memories", allowing().with("(memory $b 1) (memory $c 1)").component(), "memories"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_loaded_fails_and_hurts_nobody_else() {
    let rig = Rig::new();
    let neighbour = rig.spec("neighbour", "hook = \"policy\"", &allowing().component());
    for (name, wasm, want) in rows() {
        let mut bad = rig.spec("bad", "hook = \"policy\"", &wasm);
        bad.tenants = plugin_package::Tenants::Only(["films".to_owned()].into());
        let (plugins, changes) = rig.open(vec![bad.clone(), neighbour.clone()]).await;
        let problem = changes[0].problem().unwrap_or_default();
        assert!(problem.contains(want) && !problem.is_empty(), "{name}: {problem}");
        assert!(matches!(changes[1].outcome, Outcome::Loaded { .. }), "{name}");
        assert_eq!(word(&ask(&plugins, 1).await), "broken", "{name}");
        assert_eq!(word(&chain(&plugins, "others").policy(&request(1)).await), "allow", "{name}");
        bad.fail = Some(FailPolicy::Open);
        let (plugins, _) = rig.open(vec![bad, neighbour.clone()]).await;
        assert_eq!(word(&ask(&plugins, 1).await), "allow", "{name}: open");
    }
}

#[tokio::test]
async fn compiled_code_from_outside_is_refused() {
    let rig = Rig::new();
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true);
    let compiled = wasmtime::Engine::new(&config).unwrap().precompile_component(&allowing().component()).unwrap();
    let (plugins, changes) = rig.open(vec![rig.spec("p", "hook = \"policy\"", &compiled)]).await;
    assert!(changes[0].problem().is_some_and(|reason| reason.contains("compiled")), "{changes:?}");
    assert_eq!(word(&ask(&plugins, 1).await), "broken");
}

#[tokio::test]
async fn core_modules_are_made_components() {
    let rig = Rig::new();
    let (plugins, changes) = rig.open(vec![rig.spec("p", "hook = \"policy\"", &allowing().module(true))]).await;
    assert!(changes[0].problem().is_none(), "{changes:?}");
    assert_eq!(word(&ask(&plugins, 1).await), "allow");
}

/// Guests with a standard library import WASI: they get one with nothing in it.
#[tokio::test]
async fn wasi_is_there_and_empty() {
    assert!(std::env::vars().count() > 0);
    let rig = Rig::new();
    let (plugins, changes) = rig.open(vec![rig.spec("p", "hook = \"policy\"", &wanting_wasi())]).await;
    assert!(changes[0].problem().is_none(), "{changes:?}");
    assert_eq!(word(&ask(&plugins, 1).await), "400");
}

/// Whom does a plugin concern whose manifest is gone? If nobody can say, the guard of every request.
#[tokio::test]
async fn a_plugin_whose_folder_is_gone() {
    let rig = Rig::new();
    let gone = Spec::new("gone", "/nowhere/at/all");
    let (plugins, changes) = rig.open(vec![gone.clone()]).await;
    assert!(changes[0].problem().is_some());
    assert!(matches!(ask(&plugins, 1).await, Policy::Failed { .. }));
    let opened = Spec { fail: Some(FailPolicy::Open), ..gone };
    let (plugins, _) = rig.open(vec![opened]).await;
    assert_eq!(word(&ask(&plugins, 1).await), "allow");
}

/// The manifest is there and says that it is for ads, which fail open.
#[tokio::test]
async fn a_broken_ads_plugin_fails_open() {
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"ads\"\nlimits = \"none\"", b"");
    let (plugins, changes) = rig.open(vec![spec.clone()]).await;
    assert!(changes[0].problem().is_some());
    let films = crate::rig::tenant("films");
    assert!(plugins.chain(Hook::Policy, &films).is_none());
    let ads = plugins.chain(Hook::Ads, &films).unwrap().ads(&request(1)).await;
    assert_eq!(ads, plugin_host::Ads::Proceed { cookies: Vec::new() });
    assert_eq!(stats(&plugins).failures.iter().map(|(_, count)| count).sum::<u64>(), 1);

    // Where only signed plugins are run, an unsigned manifest that calls a guard an ornament is not believed.
    let trust = Trust { require_signature: true, ..Trust::default() };
    let (plugins, _) = plugin_host::Plugins::open(Arc::clone(&rig.host), vec![spec.clone()], trust).await;
    assert!(matches!(ask(&plugins, 1).await, Policy::Failed { .. }));
    // Nor where the component is pinned, which says nothing of the manifest.
    let pinned = Spec { sha256: Some([7; 32]), ..spec.clone() };
    let (plugins, _) = rig.open(vec![pinned.clone()]).await;
    assert!(matches!(ask(&plugins, 1).await, Policy::Failed { .. }));
    // The operator is believed.
    let (plugins, _) = rig.open(vec![Spec { hook: Some(Hook::Ads), ..pinned }]).await;
    assert!(plugins.chain(Hook::Policy, &films).is_none() && plugins.chain(Hook::Ads, &films).is_some());
}

/// Settings that are refused are nobody's wish: what stands in for the plugin is no weaker than any that would have been taken.
#[tokio::test]
async fn settings_that_fit_no_plugin() {
    let rig = Rig::new();
    let rows = [
        ("tenant", FailPolicy::Open, FailPolicy::Closed),
        ("observe", FailPolicy::Closed, FailPolicy::Open),
        ("policy", FailPolicy::Open, FailPolicy::Open),
        ("ads", FailPolicy::Closed, FailPolicy::Closed),
    ];
    for (hook, said, holds) in rows {
        let mut spec = rig.spec("p", &format!("hook = \"{hook}\""), b"rubbish");
        spec.fail = Some(said);
        spec.tenants = plugin_package::Tenants::Only(std::collections::BTreeSet::new());
        let (plugins, changes) = rig.open(vec![spec]).await;
        assert!(matches!(changes[0].outcome, Outcome::Broken { .. }), "{hook}: {changes:?}");
        let status = plugins.list().remove(0);
        assert_eq!((status.hook.name(), status.fail), (hook, holds));
        assert_eq!(status.tenants, plugin_package::Tenants::All, "{hook}");
    }
}

/// Nothing that lies in the manifest's place holds up a reload.
#[tokio::test]
async fn a_pipe_for_a_manifest() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let rig = Rig::new();
    let spec = rig.spec("p", "hook = \"ads\"", b"");
    let manifest = spec.folder.join("plugin.toml");
    std::fs::remove_file(&manifest).unwrap();
    mkfifoat(CWD, &manifest, Mode::RUSR | Mode::WUSR).unwrap();
    let (plugins, changes) = rig.open(vec![spec]).await;
    assert!(changes[0].problem().is_some());
    assert!(matches!(ask(&plugins, 1).await, Policy::Failed { .. }));
}

#[test]
fn folders_for_code_that_others_could_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let config = HostConfig { code_folder: folder.path().join(name), instances: 1 };
        Host::new(config, Kv::in_memory(MemoryBounds::default()))
    };
    assert!(open("fresh").is_ok() && open("fresh").is_ok());
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("fresh"), mode("fresh/key")), (0o700, 0o600));

    std::fs::create_dir(folder.path().join("shared")).unwrap();
    std::fs::set_permissions(folder.path().join("shared"), PermissionsExt::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(folder.path().join("fresh"), folder.path().join("link")).unwrap();
    std::fs::File::create(folder.path().join("file")).unwrap();
    for name in ["shared", "link", "file"] {
        assert!(matches!(open(name), Err(HostError::CodeFolder { .. })), "{name}");
    }
}
