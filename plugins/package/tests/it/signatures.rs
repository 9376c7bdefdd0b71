//! Signatures: what they cover, and who may make them.

use crate::support::{Folder, MANIFEST};
use plugin_package::{KeyPair, Package, Trust, TrustError, TrustedKey, generate_keys, sign_folder};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

fn trust(pairs: &[(&str, &KeyPair)], require_signature: bool) -> Trust {
    let key = |(id, pair): &(&str, &KeyPair)| TrustedKey::from_pem(*id, &pair.public_pem).unwrap();
    Trust { keys: pairs.iter().map(key).collect(), require_signature }
}

fn signed(pair: &KeyPair) -> Folder {
    let folder = Folder::new();
    assert_eq!(sign_folder(&folder.path(), pair.private_pem.expose()).unwrap(), folder.file("plugin.wasm.sig"));
    folder
}

fn open(folder: &Folder, trust: &Trust) -> Result<Option<String>, String> {
    let opened = Package::open(&folder.spec(), trust);
    match opened {
        Ok(package) => Ok(package.signed_by),
        refused => Err(folder.message(refused)),
    }
}

#[test]
fn any_trusted_key_will_do_and_is_named() {
    let (old, new, other) = (generate_keys().unwrap(), generate_keys().unwrap(), generate_keys().unwrap());
    let both = trust(&[("old", &old), ("new", &new)], true);
    assert_eq!(open(&signed(&old), &both), Ok(Some("old".into())));
    assert_eq!(open(&signed(&new), &both), Ok(Some("new".into())));
    let said = open(&signed(&other), &both).unwrap_err();
    assert_eq!(said, "plugin.wasm.sig: none of the trusted keys signed this plugin.toml with this component");
}

/// What is done to a signed folder.
type Change = (&'static str, fn(&Folder));

#[test]
fn nothing_signed_can_be_changed() {
    let pair = generate_keys().unwrap();
    for require in [false, true] {
        let trust = trust(&[("a", &pair)], require);
        let changes: &[Change] = &[
            ("component", |f| f.write("plugin.wasm", b"\0asm\x01\0\0\0")),
            ("manifest", |f| f.write("plugin.toml", format!("{MANIFEST}# more").as_bytes())),
            ("signature of nothing", |f| f.write("plugin.wasm.sig", b"")),
            ("signature of text", |f| f.write("plugin.wasm.sig", b"not base64!")),
            ("short signature", |f| f.write("plugin.wasm.sig", b"AAAA")),
            ("null signature", |f| f.write("plugin.wasm.sig", format!("{}==", "A".repeat(86)).as_bytes())),
        ];
        for (name, change) in changes {
            let folder = signed(&pair);
            assert_eq!(open(&folder, &trust), Ok(Some("a".into())));
            change(&folder);
            assert!(open(&folder, &trust).unwrap_err().contains("none of the trusted keys"), "{name}, {require}");
        }
        let folder = signed(&pair);
        let signature = fs::read(folder.file("plugin.wasm.sig")).unwrap();
        let spaced = [b" \n".as_slice(), &signature, b"\n\n"].concat();
        folder.write("plugin.wasm.sig", &spaced);
        assert_eq!(open(&folder, &trust), Ok(Some("a".into())), "blanks around it mean nothing");
    }
}

#[test]
fn unsigned_plugins_load_only_where_none_is_required() {
    let pair = generate_keys().unwrap();
    let folder = Folder::new();
    assert_eq!(open(&folder, &trust(&[("a", &pair)], false)), Ok(None));
    let said = open(&folder, &trust(&[("a", &pair)], true)).unwrap_err();
    assert_eq!(said, "plugin.wasm.sig: is not there, but only signed plugins are loaded");
    // Without keys nobody can tell, so that only a demand refuses.
    assert_eq!(open(&signed(&pair), &trust(&[], false)), Ok(None));
    assert!(open(&signed(&pair), &trust(&[], true)).is_err());
    assert!(open(&folder, &trust(&[], true)).is_err());
}

#[test]
fn keys_that_hold_nothing_are_refused() {
    let pair = generate_keys().unwrap();
    let swapped = pair.public_pem.replace("PUBLIC", "PRIVATE");
    for (pem, error) in [
        ("", TrustError::PublicKey),
        ("ssh-ed25519 AAAA", TrustError::PublicKey),
        (pair.private_pem.expose(), TrustError::PublicKey),
        // The neutral element, under which a signature of zeros fits every message.
        (
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n",
            TrustError::WeakKey,
        ),
    ] {
        assert_eq!(TrustedKey::from_pem("a", pem), Err(error), "{pem}");
    }
    for pem in ["", &pair.public_pem, &swapped] {
        let said = sign_folder(&Folder::new().path(), pem).unwrap_err().to_string();
        assert!(said.starts_with("not a PEM text with an Ed25519 private key"), "{said}");
    }
    let folder = Folder::new();
    folder.write("plugin.toml", b"name = 1");
    assert!(sign_folder(&folder.path(), pair.private_pem.expose()).is_err(), "what would not load is not signed");
}

/// Operators hold keys in OpenSSL's files and tools.
#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    let openssl = |args: &[&str], input: &str| {
        let child = Command::new("openssl").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("openssl is needed: apt-get install openssl");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let pair = generate_keys().unwrap();
    assert_eq!(openssl(&["pkey", "-pubout"], pair.private_pem.expose()), pair.public_pem);
    let theirs = openssl(&["genpkey", "-algorithm", "ed25519"], "");
    let key = TrustedKey::from_pem("theirs", &openssl(&["pkey", "-pubout"], &theirs)).unwrap();
    let folder = Folder::new();
    sign_folder(&folder.path(), &theirs).unwrap();
    assert_eq!(open(&folder, &Trust { keys: vec![key], require_signature: true }), Ok(Some("theirs".into())));
}
