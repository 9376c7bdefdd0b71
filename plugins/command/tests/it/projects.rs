//! What `new` makes: it compiles, passes its own tests, and the host takes it.

use crate::support::{Done, plugin, read, target, workbench};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn policy() {
    let folder = project("policy");
    bench(&folder);
    by_hand(&folder);
}

pub(crate) fn tenant() {
    let folder = project("tenant");
    // Its settings are required, so that nothing works without.
    let done = plugin(&["check", arg(&folder)]).exits(1);
    assert!(done.out.contains("settings.tenants: is required"), "{}", done.out);
    let requests = folder.join("requests/hosts.toml");
    let done = plugin(&["bench", arg(&folder), arg(&requests), "--calls", "500"]).exits(0);
    assert!(done.out.contains("500 warm calls"), "{}", done.out);
}

pub(crate) fn ads() {
    let folder = project("ads");
    bench(&folder);
}

pub(crate) fn observe() {
    let folder = project("observe");
    bench(&folder);
}

/// The steps that `new` prints, and some more.
fn project(hook: &str) -> PathBuf {
    let home = workbench(hook);
    let name = format!("my-{hook}");
    let folder = home.join(&name);
    let made = plugin(&["new", &name, "--hook", hook, "--into", arg(&home)]).exits(0);
    assert!(made.out.contains("gateway plugin build ."), "{}", made.out);
    plugin(&["new", &name, "--hook", hook, "--into", arg(&home)]).exits(1);

    let mut format = Command::new("cargo");
    Done::of(format.args(["fmt", "--check"]).current_dir(&folder).output().unwrap()).exits(0);
    let mut test = Command::new("cargo");
    test.args(["test", "--quiet", "--offline"]).current_dir(&folder).env("CARGO_TARGET_DIR", target());
    let tested = Done::of(test.output().unwrap()).exits(0);
    assert!(tested.out.contains("test result: ok") && !tested.err.contains("warning"), "{}{}", tested.out, tested.err);

    let built = plugin(&["build", arg(&folder), "--offline"]).exits(0);
    assert!(!built.err.contains("warning"), "{}", built.err);
    assert!(folder.join(format!("my_{hook}.wasm")).is_file());

    let tested = plugin(&["test", arg(&folder)]).exits(0);
    assert!(tested.out.ends_with("steps passed\n") && !tested.out.contains("FAIL"), "{}", tested.out);
    assert!(!tested.err.contains("not in the manifest"), "{}", tested.err);

    let shown = plugin(&["inspect", arg(&folder)]).exits(0).out;
    for wanted in [format!("{hook}-plugin"), "0.1.0".to_owned(), "streamvault:plugin/".to_owned(), name] {
        assert!(shown.contains(&wanted), "{wanted}: {shown}");
    }
    // Nothing but the contract: no WASI.
    assert!(!shown.contains("wasi:"), "{shown}");
    if hook != "tenant" {
        let checked = plugin(&["check", arg(&folder)]).exits(0);
        assert!(checked.out.contains("ok    first call"), "{}", checked.out);
    }
    folder
}

fn bench(folder: &Path) {
    let done = plugin(&["bench", arg(folder), "--calls", "500"]).exits(0);
    for wanted in ["500 warm calls", "p50 ", "p99 ", "a second", "to make", "limits.memory"] {
        assert!(done.out.contains(wanted), "{wanted}: {}", done.out);
    }
    let fresh = plugin(&["bench", arg(folder), "--fresh", "--calls", "50"]).exits(0);
    assert!(fresh.out.contains("50 fresh calls"), "{}", fresh.out);
}

/// The README's other way: cargo's own command and a copy make the same component.
fn by_hand(folder: &Path) {
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--target", "wasm32-wasip2", "--offline"]);
    build.current_dir(folder).env("CARGO_TARGET_DIR", target());
    Done::of(build.output().unwrap()).exits(0);
    let built = target().join("wasm32-wasip2/release/my_policy.wasm");
    assert!(std::fs::read(built).unwrap() == std::fs::read(folder.join("my_policy.wasm")).unwrap());
    assert!(read(&folder.join("README.md")).contains("cp target/wasm32-wasip2/release/my_policy.wasm my_policy.wasm"));

    // Into the folder that a gateway loads.
    let into = folder.join("installed");
    plugin(&["build", arg(folder), "--offline", "--into", arg(&into)]).exits(0);
    let mut files: Vec<_> = std::fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["my_policy.wasm", "plugin.toml"]);
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
