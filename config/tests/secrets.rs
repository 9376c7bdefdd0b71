//! Secrets are read from three places, reported when others can read them, and never printed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use config::{GatewaySettings, HiveSettings, Loaded, Secret, load, parse};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn file(folder: &Path, name: &str, mode: u32, contents: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let mut file = File::create(&path).unwrap();
    file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
    file.write_all(contents).unwrap();
    path
}

fn hive(token: &str) -> Result<Loaded<HiveSettings>, config::ConfigError> {
    parse(&format!("token = {token}\n[telegram]\napi_id = 1\n"), Path::new("f.toml"))
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    for (contents, secret) in [("s", Some("s")), ("s\n", Some("s")), ("s\r\n", Some("s")), ("\n", None), ("", None)] {
        let path = file(folder.path(), "token", 0o600, contents.as_bytes());
        let read = hive(&format!("{{ file = {path:?} }}"));
        assert_eq!(read.as_ref().ok().map(|loaded| loaded.settings.token.expose()), secret, "{contents:?}");
    }
    // One line break is the editor's, a second one is somebody's secret, which can't go into a header.
    let path = file(folder.path(), "token", 0o600, b"s\n\n");
    assert!(hive(&format!("{{ file = {path:?} }}")).unwrap_err().to_string().ends_with("visible ASCII without spaces"));
    let path = file(folder.path(), "token", 0o600, &[0xff; 4]);
    assert!(hive(&format!("{{ file = {path:?} }}")).unwrap_err().to_string().ends_with("is not UTF-8 text"));
    let path = file(folder.path(), "token", 0o600, &[b'x'; 65_537]);
    assert!(hive(&format!("{{ file = {path:?} }}")).unwrap_err().to_string().ends_with("is larger than 64 KiB"));
}

#[test]
fn environment() {
    // Cargo sets this one for every test.
    let loaded = hive("{ env = \"CARGO_PKG_NAME\" }").unwrap();
    assert_eq!(loaded.settings.token.expose(), "config");
}

#[test]
fn readable_by_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "token", 0o604, b"s");
    let warnings = hive(&format!("{{ file = {path:?} }}")).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    let expected = format!("f.toml:1: token: every user of this machine can read {}; chmod o-r it", path.display());
    assert_eq!(warnings.first().unwrap().to_string(), expected);

    let text = b"token = \"s\"\n[telegram]\napi_id = 1\n";
    let settings = file(folder.path(), "open.toml", 0o644, text);
    assert_eq!(load::<HiveSettings>(&settings).unwrap().warnings.len(), 1);
    let settings = file(folder.path(), "closed.toml", 0o640, text);
    assert_eq!(load::<HiveSettings>(&settings).unwrap().warnings, []);
}

#[test]
fn nothing_prints_them() {
    let secret = Secret::inline("hunter2").unwrap();
    assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "[secret] [secret] [secret]");
    assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[secret]\"");
    assert!(Secret::inline("").is_err());

    let text = "[hive]\ntoken = \"hunter2\"\n[[tenant]]\nid = \"a\"\ndomains = [\"*\"]\n\
                [tenant.link]\nsecrets = [{ id = \"1\", secret = \"hunter2\" }]\n";
    let loaded: Loaded<GatewaySettings> = parse(text, Path::new("f.toml")).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&loaded.settings).unwrap().contains("hunter2"));
    assert_eq!(loaded.settings.hive.token.expose(), "hunter2");
}

#[test]
fn weak_expressions_are_refused() {
    let text = "[hive]\ntoken = \"t\"\n[[tenant]]\nid = \"a\"\ndomains = [\"*\"]\n\
                [tenant.link]\nexpression = \"$remote_addr ${secret}\"\nsecrets = [{ id = \"1\", secret = \"s\" }]\n";
    let refusal = parse::<GatewaySettings>(text, Path::new("f.toml")).unwrap_err().to_string();
    let lines: Vec<&str> = refusal.lines().collect();
    let at = "f.toml:7: tenant[0].link.expression: must contain";
    assert_eq!(
        lines,
        [
            format!("{at} $secure_link_expires, or anybody could extend a link's life"),
            format!("{at} $uri, or one link would open every media"),
        ]
    );
}
