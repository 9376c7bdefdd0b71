//! Request targets, links and templates that strangers and operators can write.
//!
//! Input: three lines: a request target, another one, a template.

#![no_main]

use libfuzzer_sys::fuzz_target;
use link::{
    LinkKey, LinkRequest, LinkRules, PrefixRequest, Scheme, SchemeRules, SignError, SignRequest, StreamTarget, Uri, Verdict,
    Verifier, in_path,
};
use std::sync::LazyLock;

const EXPIRES: i64 = 1_700_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = vec![LinkKey::new("new", "s3cret"), LinkKey::new("old", "0ld")];
    let schemes = vec![SchemeRules::hmac_sha256(), SchemeRules::nginx_md5()];
    Verifier::new(LinkRules { schemes, ..LinkRules::nginx(keys) }).expect("these rules are good")
});

/// Its parameter would outrank the others' tokens.
static PREFIXES: LazyLock<Verifier> = LazyLock::new(|| {
    let rules = LinkRules::nginx(vec![LinkKey::new("new", "s3cret"), LinkKey::new("old", "0ld")]);
    Verifier::new(LinkRules { prefix_param: Some("st".to_owned()), ..rules }).expect("these rules are good")
});

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or_default();
    if let Ok(uri) = Uri::parse(first) {
        normal(&uri);
        spellings(first, &uri);
        if let Ok(other) = Uri::parse(second) {
            strangers(&uri, &other);
            below(&uri, &other);
        }
    }
    if let Some(template) = lines.next().and_then(|line| str::from_utf8(line).ok()) {
        templates(template);
    }
});

fn check(verifier: &Verifier, uri: &Uri, now: i64) -> Verdict {
    verifier.check(&LinkRequest { uri, host: Some("h"), remote_addr: Some("::1"), now })
}

fn sign(uri: &Uri, scheme: Scheme) -> String {
    let request = SignRequest { scheme: Some(scheme), key_id: Some("old"), ..SignRequest::new(uri.path(), EXPIRES) };
    VERIFIER.sign(&request).expect("a normal path can be signed")
}

/// A parsed path has one form, and what it asks for says so.
fn normal(uri: &Uri) {
    let path = uri.path();
    assert!(path.first() == Some(&b'/') && !path.contains(&0));
    let mut segments: Vec<_> = path[1..].split(|byte| *byte == b'/').collect();
    assert!(!matches!(segments.pop(), Some(b"." | b"..")));
    assert!(segments.iter().all(|segment| !matches!(*segment, b"" | b"." | b"..")));
    let again = Uri::parse(uri.to_encoded_path().as_bytes()).expect("an escaped path is a path");
    assert_eq!(again.path(), path);
    if let Ok(target) = StreamTarget::parse(uri) {
        assert_eq!(target.to_path(), path);
    }
}

/// A right token opens every spelling of its path, and arguments behind it change nothing.
fn spellings(target: &[u8], uri: &Uri) {
    assert!(!matches!(check(&VERIFIER, uri, 0), Verdict::Valid(_)), "nobody signed this");
    let spelled = target.split(|byte| b"?#".contains(byte)).next().unwrap_or_default();
    for scheme in [Scheme::NginxMd5, Scheme::HmacSha256] {
        let signed = sign(uri, scheme);
        let right = signed.split_once('?').map(|(_, right)| right).unwrap_or_default();
        // A token of the scheme that comes first in the rules would outrank the one put in front.
        let query = if scheme == Scheme::HmacSha256 { uri.query() } else { b"md5=x&expires=5" };
        let target = [spelled, b"?", right.as_bytes(), b"&", query].concat();
        let uri = Uri::parse(&target).expect("only the query changed");
        assert!(matches!(check(&VERIFIER, &uri, EXPIRES), Verdict::Valid(_)));
        assert!(matches!(check(&VERIFIER, &uri, EXPIRES + 1), Verdict::Expired(_)));
    }
}

/// A token for one path opens no other.
fn strangers(uri: &Uri, other: &Uri) {
    for scheme in [Scheme::NginxMd5, Scheme::HmacSha256] {
        let signed = sign(uri, scheme);
        let right = signed.split_once('?').map(|(_, right)| right).unwrap_or_default();
        let swapped = Uri::parse(format!("{}?{right}", other.to_encoded_path()).as_bytes()).expect("both were paths");
        let opens = matches!(check(&VERIFIER, &swapped, 0), Verdict::Valid(_));
        assert_eq!(opens, uri.path() == other.path());
    }
}

/// A path-prefix token opens what is at or below its path, and nothing else.
fn below(uri: &Uri, other: &Uri) {
    let request = PrefixRequest { prefix: uri.path(), expires: EXPIRES, key_id: None, remote_addr: None, id: None };
    // The root, a path with a slash at its end, and one that is too deep have no tokens.
    let Ok(token) = PREFIXES.sign_prefix(&request) else { return };
    let mut target = Uri::parse(in_path(&token, other.path()).as_bytes()).expect("both were paths");
    PREFIXES.take_token(&mut target);
    let opens = matches!(check(&PREFIXES, &target, 0), Verdict::Valid(_));
    let rest = other.path().strip_prefix(uri.path());
    assert_eq!(opens, rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")));
}

/// Rules that are accepted sign links that open.
fn templates(template: &str) {
    let mut rules = LinkRules::nginx(vec![LinkKey::new("a", "s3cret")]);
    template.clone_into(&mut rules.schemes[0].expression);
    let Ok(verifier) = Verifier::new(rules) else { return };
    let request = SignRequest { host: Some("H:80"), ..SignRequest::new("/a b", EXPIRES) };
    let bound = SignRequest { remote_addr: Some("::1"), ..request };
    assert!(matches!(verifier.sign(&request), Ok(_) | Err(SignError::Unbound)));
    let link = verifier.sign(&bound).expect("nothing is missing");
    let uri = Uri::parse(link.as_bytes()).expect("a signed link is a target");
    assert!(matches!(check(&verifier, &uri, EXPIRES), Verdict::Valid(_)), "{template:?} {link}");
}
