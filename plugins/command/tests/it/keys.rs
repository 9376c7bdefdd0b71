//! `keygen`, `sign`, and what `check` says of the result.

use crate::support::{copy, plugin, read, settings, shipped, write};
use std::os::unix::fs::PermissionsExt;

pub(crate) fn keys_and_signatures() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let arg = |name: &str| path(name).to_str().unwrap().to_owned();

    let public = plugin(&["keygen", &arg("release.pem")]).exits(0).out;
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"), "{public}");
    assert!(read(&path("release.pem")).starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(std::fs::metadata(path("release.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    write(&path("release.pub"), &public);
    let again = plugin(&["keygen", &arg("release.pem")]).exits(1);
    assert!(again.err.contains("exists") && again.out.is_empty(), "{}", again.err);

    copy(&shipped("policy-tiers"), &path("tiers"));
    let tiers = |more: &str| {
        settings(&format!(
            "[plugins]\nrequire_signature = true\ntrusted_keys = [{{ id = \"release\", file = {:?} }}]\n\n\
             [[plugin]]\nname = \"tiers\"\nfolder = {:?}\n{more}",
            path("release.pub"),
            path("tiers"),
        ))
    };
    write(&path("gateway.toml"), tiers(""));
    let check = || plugin(&["check", "--config", &arg("gateway.toml")]);
    let unsigned = check().exits(1);
    assert!(unsigned.out.contains("only signed plugins are loaded"), "{}", unsigned.out);

    let signed = plugin(&["sign", &arg("tiers"), "--key", &arg("release.pem")]).exits(0).out;
    assert!(signed.ends_with("policy-tiers.wasm.sig\n"), "{signed}");
    let good = check().exits(0).out;
    assert!(good.contains("by release") && good.contains("ok    first call   allow"), "{good}");
    assert!(plugin(&["inspect", &arg("tiers")]).exits(0).out.contains("signature        there is one"));

    // The operator's words are checked too.
    for (more, wanted) in [
        ("sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"", "but the settings pin"),
        ("settings = { anonymos = \"refuse\" }", "did you mean `anonymous`?"),
        ("limits = { time = \"1h\" }", "limits.time"),
        ("settings = { tier_parameter = \"tier\" }", "its first call failed"),
    ] {
        write(&path("gateway.toml"), tiers(more));
        let bad = check().exits(1);
        assert!(bad.out.contains("FAIL") && bad.out.contains(wanted), "{wanted}: {}", bad.out);
    }
    write(&path("gateway.toml"), tiers(""));

    // The manifest is part of what was signed.
    let manifest = read(&path("tiers/plugin.toml"));
    write(&path("tiers/plugin.toml"), manifest.replace("fail = \"closed\"", "fail = \"open\""));
    let changed = check().exits(1);
    assert!(changed.out.contains("none of the trusted keys signed"), "{}", changed.out);

    // One of several by name, and another folder in its place.
    let named = plugin(&["check", "--config", &arg("gateway.toml"), "--name", "gate"]).exits(1);
    assert!(named.err.contains("has no plugin \"gate\"; it has: tiers"), "{}", named.err);
    let other =
        plugin(&["check", shipped("policy-tiers").to_str().unwrap(), "--config", &arg("gateway.toml")]).exits(1);
    assert!(other.out.contains("only signed plugins are loaded"), "{}", other.out);
}
