//! Guards of the source itself: what reviews would otherwise have to look for each time.
#![expect(clippy::unwrap_used, reason = "a guard that can't read the source fails")]

use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 450;

#[test]
fn source_files_stay_small() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter_map(|(path, text)| (text.lines().count() > LONGEST_FILE).then(|| (path, text.lines().count())))
        .collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn framework_types_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 8] = [
        (
            "pingora::",
            &[
                "gateway/edge/src/server.rs",
                "gateway/edge/src/proxy.rs",
                "gateway/edge/src/http1.rs",
                "gateway/edge/src/http1/",
                "gateway/edge/src/admin.rs",
                "gateway/edge/src/command.rs",
                "gateway/edge/src/signals.rs",
                "gateway/edge/src/background.rs",
                "gateway/edge/src/peer_listener.rs",
                "gateway/edge/src/tls.rs",
                "gateway/edge/src/proxy_protocol.rs",
                "gateway/edge/src/lingering.rs",
                "gateway/edge/src/sockets.rs",
            ],
        ),
        // The benchmark measures the cipher beside what is built on it.
        ("grammers_", &["worker-hive/mtproto/", "tests/telegram-sim/", "benches/src/speed.rs"]),
        (
            "wire::",
            &[
                "worker-hive/",
                "gateway/hive-client/",
                "gateway/peers/",
                "gateway/slice/src/lib.rs",
                "gateway/slice/src/origin.rs",
                "fuzz/",
            ],
        ),
        ("wasmtime::", &["plugins/host/"]),
        (
            "redis::",
            &[
                "plugins/kv/",
                "gateway/broadcast/",
                "gateway/certificates/",
                "gateway/identity/",
                "gateway/rates/",
                "gateway/redis-link/",
                "worker-hive/leases/",
                "tests/harness/src/",
            ],
        ),
        ("jsonwebtoken::", &["gateway/viewer/"]),
        ("instant_acme::", &["gateway/certificates/"]),
        ("opentelemetry", &["worker-hive/traces/", "tests/harness/src/collector.rs"]),
    ];
    for (word, allowed) in rooms {
        for (path, text) in sources() {
            let path = path.to_string_lossy().into_owned();
            let uses = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            let here = allowed.iter().any(|room| path.starts_with(room)) || path == "tests/guards.rs";
            assert!(!uses || here, "{path} uses {word}, which stays in {allowed:?}");
        }
    }
}

#[test]
fn every_library_says_what_it_is_for() {
    for (path, text) in sources() {
        // A plugin that ships is no library: its README says what it is for.
        if path.ends_with("src/lib.rs") && !path.starts_with("plugins/guests") {
            let docs: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
            let docs = docs.join(" ").to_lowercase();
            for wanted in ["what it does", "what it refuses to do", "who calls it", "what stays true"] {
                assert!(docs.contains(wanted), "{} does not say {wanted}", path.display());
            }
        }
    }
}

#[test]
fn every_dependency_has_its_line_in_decisions() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let decisions = std::fs::read_to_string(root().join("DECISIONS.md")).unwrap();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in table.lines().filter(|line| line.contains('=') && !line.starts_with('#') && !line.contains("path =")) {
        let name = line.split('=').next().unwrap().trim();
        let family = name.split('-').next().unwrap();
        let named = |name: &str| {
            decisions.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').any(|w| w == name)
        };
        assert!(named(name) || (family == "grammers" && named(family)), "{name} has no line in DECISIONS.md");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of the repository, by its path from the root.
fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(files.len() > 20, "the repository was not found");
    files
}
