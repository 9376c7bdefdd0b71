//! The committed example files are what the structs say, and say what the structs do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use config::{GatewaySettings, HiveSettings, Settings, example, parse};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECRET: &str = "not-to-be-printed";

/// The settings as JSON, parsed from an example whose secrets are put where the test can make them.
fn settings<T: Settings + Serialize>(text: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    for name in ["hive.token", "link.secret", "api.hash", "admin.token", "eab.key"] {
        let mut file = File::create(folder.path().join(name)).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        file.write_all(SECRET.as_bytes()).unwrap();
    }
    let contents = [
        ("redis.url", "redis://localhost/"),
        ("peers.token", "not-to-be-printed-either"),
        ("route", "socks5://proxy.example:1080"),
        ("traces.authorization", "Bearer not-to-be-printed"),
        ("manager.token", "not-to-be-printed, the manager's"),
        ("tenants.key", "not-to-be-printed, and 32 bytes long"),
        ("viewer.key", "not-to-be-printed, and 32 bytes long"),
        ("manager.secret", "not-to-be-printed,and-32-bytes-long"),
        ("identity.pem", "-----BEGIN PRIVATE KEY-----\nnot-to-be-printed\n-----END PRIVATE KEY-----"),
    ];
    for (name, content) in contents {
        let mut file = File::create(folder.path().join(name)).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    }
    let text = text.replace("/etc/streamvault", &folder.path().display().to_string());
    let loaded = parse::<T>(&text, Path::new("example.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, []);
    let json = serde_json::to_string(&loaded.settings).unwrap();
    serde_json::from_str(&json.replace(&folder.path().display().to_string(), "/etc/streamvault")).unwrap()
}

fn only_set_keys(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn all_keys(text: &str) -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    without_optional_sections(text).map(uncomment).collect::<Vec<_>>().join("\n")
}

/// The lines outside of sections that are commented out as a whole, from `#[section]` to the next header that is not.
fn without_optional_sections(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        inside = line.starts_with("#[") || (inside && !line.starts_with('['));
        !inside
    })
}

fn check<T: Settings + Serialize>(name: &str, committed: &str) {
    let generated = example::<T>();
    assert!(
        generated == committed,
        "config/{name}.example.toml differs from the settings structs; run\n  \
         cargo run -p config --bin config-example -- {name} > config/{name}.example.toml"
    );
    let defaults = settings::<T>(&only_set_keys(&generated));
    assert_eq!(settings::<T>(&generated), defaults);
    assert_eq!(settings::<T>(&all_keys(&generated)), defaults, "a commented-out value is not the default");
    assert!(!defaults.to_string().contains(SECRET));
}

#[test]
fn gateway() {
    check::<GatewaySettings>("gateway", include_str!("../gateway.example.toml"));
}

#[test]
fn worker_hive() {
    check::<HiveSettings>("worker-hive", include_str!("../worker-hive.example.toml"));
}

/// What the examples set only as an illustration is valid too.
#[test]
fn illustrations() {
    let uncomment =
        |text: String| without_optional_sections(&text).collect::<Vec<_>>().join("\n").replace("\n# Example: ", "\n");
    let gateway = settings::<GatewaySettings>(&uncomment(example::<GatewaySettings>()));
    assert_eq!(gateway["threads"], 4);
    // Keys that are not Telegram's go with data-centres that aren't either.
    let relays = "data_centres = [{ id = 2, address = \"127.0.0.1:4430\" }]";
    let hive = uncomment(example::<HiveSettings>()).replace("#data_centres = []", relays);
    let hive = settings::<HiveSettings>(&hive);
    assert_eq!(hive["telegram"]["api_hash"], "[secret]");
    let key = |line: &&str| {
        line.starts_with("#[") || line.strip_prefix('#').is_some_and(|key| key.contains(" = ") && !key.starts_with(' '))
    };
    let with_sections: Vec<_> = example::<GatewaySettings>()
        .replace("\n# Example: ", "\n#")
        .lines()
        .map(|line| if key(&line) { line[1..].to_owned() } else { line.to_owned() })
        .collect();
    // Of two ways to have a key set, and of three to Redis, the first one.
    let all: Vec<_> = with_sections.into_iter().filter(|line| !line.contains("issuer.jwks.json")).collect();
    let all = all.join("\n");
    let other_forms = all.find("[redis.cluster]").zip(all.find("[[plugin]]"));
    let (from, to) = other_forms.unwrap();
    let all = settings::<GatewaySettings>(&[&all[..from], &all[to..]].concat());
    assert_eq!(all["plugin"][0]["limits"]["kv_keys"], 10000);
    assert_eq!(all["tenant"][0]["viewer"]["jwks"]["url"], "https://login.example.com/.well-known/jwks.json");
    assert_eq!(all["redis"]["url"], "[secret]");
    assert_eq!(all["peers"]["members"][0]["weight"], 1);
}
