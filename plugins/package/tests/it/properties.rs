//! Hostile manifests: no text makes the parser panic, and what it takes lies within every bound. `STREAMVAULT_SEED` replays.

use plugin_package::{FailPolicy, Hook, Manifest, PackageError};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use proptest::strategy::Just;
use proptest::test_runner::RngSeed;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

fn config() -> ProptestConfig {
    let given = std::env::var("STREAMVAULT_SEED").ok().map(|seed| seed.parse().expect("STREAMVAULT_SEED is a number"));
    let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("STREAMVAULT_SEED={seed}");
    ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    }
}

/// Whatever the text: a manifest within all bounds, or problems that point into the file.
fn holds(text: &str) -> bool {
    match Manifest::parse(text, Path::new("plugin.toml")) {
        Ok(manifest) => {
            let limits = &manifest.limits;
            assert!((1..=64).contains(&manifest.name.len()) && !manifest.wasm.contains('/'));
            assert!(manifest.wasm.ends_with(".wasm") && (-1_000_000..=1_000_000).contains(&manifest.order));
            assert!(manifest.canary.is_none_or(|share| share > 0.0 && share < 1.0));
            assert!(limits.time >= Duration::from_millis(1) && limits.time <= limits.wall);
            assert!(limits.wall <= Duration::from_secs(60) && (64 << 10..=1 << 30).contains(&limits.memory));
            assert!((1..=1_024).contains(&limits.instances) && limits.calls >= 1 && limits.kv_keys <= 1_000_000);
            assert!((32..=1 << 20).contains(&limits.kv_value) && limits.playlist <= 1 << 20);
            assert!(manifest.hook != Hook::Tenant || manifest.fail == FailPolicy::Closed);
            assert!(manifest.visible.headers.len() <= 32 && manifest.visible.cookies.len() <= 32);
            for name in &manifest.visible.headers {
                assert!(!["cookie", "authorization", "connection", "te"].contains(&name.as_str()) && !name.is_empty());
                assert!(!name.starts_with("x-streamvault-") && *name == name.to_ascii_lowercase());
            }
            true
        }
        Err(PackageError::Manifest(problems)) => {
            assert!(!problems.is_empty(), "refused without a word");
            let lines = text.lines().count() + 1;
            assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line)), "{problems:?}");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

/// Keys of a manifest and keys like them.
fn key() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "name",
        "version",
        "hook",
        "abi",
        "wasm",
        "order",
        "fail",
        "isolation",
        "canary",
        "description",
        "kind",
        "doc",
        "default",
        "required",
        "min",
        "max",
        "choices",
        "headers",
        "cookies",
        "time",
        "wall",
        "memory",
        "hostcall_bytes",
        "log_lines",
        "kv_keys",
        "kv_value",
        "instances",
        "calls",
        "playlist",
        "visible",
        "limits",
        "settings",
        "settings.a",
        "limits.time",
        "visible.headers",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => "[a-z\"'.]{0,8}"]
}

fn value() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![
        "\"policy\"",
        "\"ads\"",
        "\"tenant\"",
        "\"observe\"",
        "\"open\"",
        "\"closed\"",
        "\"warm\"",
        "\"0.1\"",
        "\"5ms\"",
        "\"1h\"",
        "\"16MiB\"",
        "\"99999999TiB\"",
        "\"a.wasm\"",
        "\"../a.wasm\"",
        "[\"referer\"]",
        "[\"cookie\", \"te\"]",
        "[]",
        "{}",
        "{ kind = \"text\", doc = \"x\" }",
        "true",
        "0",
        "-1",
        "9223372036854775807",
        "0.5",
        "nan",
        "-inf",
        "1e400",
        "1979-05-27",
        "\"\"",
        "\"text\"",
        "\"integer\"",
        "\"secret\"",
        "\"texts\"",
        "[[[[]]]]",
    ]);
    prop_oneof![8 => good.prop_map(str::to_owned), 1 => any::<i64>().prop_map(|n| n.to_string()), 1 => "\\PC{0,12}"]
}

fn line() -> impl Strategy<Value = String> {
    let header = prop::sample::select(vec![
        "[visible]",
        "[limits]",
        "[settings]",
        "[settings.a]",
        "[settings.b]",
        "[[limits]]",
        "[x]",
    ]);
    prop_oneof![
        8 => (key(), value()).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => header.prop_map(str::to_owned),
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_is_taken_or_refused(text in "(?s).{0,300}") {
        holds(&text);
    }

    #[test]
    fn any_lines_are_taken_or_refused(lines in prop::collection::vec(line(), 0..30), head in any::<bool>()) {
        let head = if head { super::support::MANIFEST } else { "" };
        holds(&format!("{head}{}", lines.join("\n")));
    }

    /// One line of a good manifest replaced: mostly still good, so that the bounds are what is tested.
    #[test]
    fn any_change_is_taken_or_refused(line in line(), section in prop_oneof![Just(""), Just("[limits]\n"), Just("[visible]\n"), Just("[settings.a]\nkind='integer'\ndoc='x'\n")]) {
        holds(&format!("{}{section}{line}\n", super::support::MANIFEST));
    }
}

#[test]
fn deep_and_long_texts_are_refused_without_a_crash() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), format!("a = {}", "{a=".repeat(50_000))] {
        assert!(!holds(&text));
    }
    let many = (0..5_000).map(|index| format!("[settings.s{index}]\nkind='text'\ndoc='x'\n")).collect::<String>();
    assert!(!holds(&format!("{}{many}", super::support::MANIFEST)));
    let dotted = format!("{} = 1", vec!["a"; 20_000].join("."));
    assert!(!holds(&dotted));
}
