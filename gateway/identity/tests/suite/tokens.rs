//! Which tokens are believed.

use crate::support::{NOW, SECRET, file, key};
use identity::{Issuer, KeyError, RefreshToken, SignAlgorithm, SigningKey, Subject, SubjectError};
use serde_json::{Map, Value, json};
use std::time::Duration;
use viewer::{Rules, TokenError, Verifier, read_key_set};

const ALL: [SignAlgorithm; 3] = [SignAlgorithm::Hs256, SignAlgorithm::Es256, SignAlgorithm::EdDsa];
const TTL: Duration = Duration::from_secs(900);

fn alice() -> Subject {
    let claims = json!({ "tier": "paid", "seats": 2 });
    Subject::named("alice", claims.as_object().cloned().unwrap()).unwrap()
}

fn issuer(tenant: &str, algorithm: SignAlgorithm) -> Issuer {
    Issuer::new(tenant, &[key("k", algorithm)]).unwrap()
}

#[test]
fn what_is_issued_holds_until_it_expires_and_at_its_tenant_only() {
    for algorithm in ALL {
        let (a, b) = (issuer("a", algorithm), issuer("b", algorithm));
        let token = a.access(&alice(), "s1", [7; 16], NOW, TTL).unwrap();
        let viewer = a.verify(&token, NOW).unwrap();
        for (name, value) in
            [("sub", "alice"), ("guest", "false"), ("tier", "paid"), ("seats", "2"), ("sid", "s1"), ("iss", "a")]
        {
            assert_eq!(viewer.claim(name).as_deref(), Some(value), "{algorithm:?} {name}");
        }
        assert!(a.verify(&token, NOW + 904).is_ok(), "clocks of gateways differ by seconds");
        assert_eq!(a.verify(&token, NOW + 905).unwrap_err(), TokenError::Expired);
        // The same key, and another tenant.
        assert_eq!(b.verify(&token, NOW).unwrap_err(), TokenError::Issuer);
        let (magic, id) = a.magic(&alice(), [8; 16], NOW, TTL).unwrap();
        let opened = a.open_magic(&magic, NOW).unwrap();
        assert_eq!((opened.subject, opened.id, opened.expires), (alice(), id, NOW + 900));
        assert_eq!(b.open_magic(&magic, NOW).unwrap_err(), TokenError::Issuer);
        // One lets in, the other streams: neither does what the other does.
        assert_eq!(a.verify(&magic, NOW).unwrap_err(), TokenError::Audience);
        assert_eq!(a.open_magic(&token, NOW).unwrap_err(), TokenError::Audience);
    }
}

#[test]
fn others_verify_by_what_is_published() {
    for algorithm in [SignAlgorithm::Es256, SignAlgorithm::EdDsa] {
        let a = issuer("a", algorithm);
        let published = a.published().to_string();
        let keys = read_key_set(published.as_bytes()).unwrap();
        let rules = Rules { audience: Some("a".to_owned()), published: true, ..Rules::new(Vec::new()) };
        let verifier = Verifier::new(rules).unwrap();
        let token = a.access(&alice(), "s", [7; 16], NOW, TTL).unwrap();
        assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::UnknownKey);
        assert_eq!(verifier.publish(&keys), 1);
        assert!(verifier.verify(&token, NOW).is_ok(), "{algorithm:?}");
        // A key that is withdrawn takes with it what held by it, remembered or not.
        verifier.publish(&[]);
        assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::UnknownKey);
        for private in ["\"d\"", "PRIVATE"] {
            assert!(!published.contains(private), "{published}");
        }
    }
    assert_eq!(issuer("a", SignAlgorithm::Hs256).published(), json!({ "keys": [] }), "a secret is not published");
}

#[test]
fn keys_change_without_a_gap() {
    let [old, new] = [key("old", SignAlgorithm::Hs256), key("new", SignAlgorithm::EdDsa)];
    let before = Issuer::new("a", std::slice::from_ref(&old)).unwrap();
    let between = Issuer::new("a", &[new.clone(), old]).unwrap();
    let after = Issuer::new("a", &[new]).unwrap();
    let token = |issuer: &Issuer| issuer.access(&alice(), "s", [7; 16], NOW, TTL).unwrap();
    assert!(between.verify(&token(&before), NOW).is_ok());
    assert!(after.verify(&token(&between), NOW).is_ok(), "the first one signs");
    assert_eq!(after.verify(&token(&before), NOW).unwrap_err(), TokenError::Algorithm);
}

#[test]
fn keys_that_could_never_work_are_refused() {
    let with = |algorithm, material: &str| {
        Issuer::new("a", &[SigningKey { id: "k".into(), algorithm, material: material.into() }]).map(drop)
    };
    let is_secret = |error| matches!(error, Err(KeyError::Secret(_)));
    let is_private = |error| matches!(error, Err(KeyError::Private(..)));
    assert!(is_secret(with(SignAlgorithm::Hs256, "short")));
    assert!(is_secret(with(SignAlgorithm::Hs256, &file("ed25519.pem"))), "a key in PEM is no secret");
    for (algorithm, name) in [
        (SignAlgorithm::EdDsa, "p256.pem"),
        (SignAlgorithm::EdDsa, "ed25519-public.pem"),
        (SignAlgorithm::Es256, "ed25519.pem"),
        (SignAlgorithm::Es256, "p384.pem"),
        (SignAlgorithm::Es256, "p256-sec1.pem"),
    ] {
        assert!(is_private(with(algorithm, &file(name))), "{algorithm:?} {name}");
    }
    assert!(is_private(with(SignAlgorithm::EdDsa, SECRET)));
    assert_eq!(Issuer::new("a", &[]).map(drop).unwrap_err(), KeyError::Count(0));
    let nine: Vec<_> = (0..9).map(|id| key(&id.to_string(), SignAlgorithm::Hs256)).collect();
    assert_eq!(Issuer::new("a", &nine).map(drop).unwrap_err(), KeyError::Count(9));
    let twice = [key("k", SignAlgorithm::Hs256), key("k", SignAlgorithm::EdDsa)];
    assert!(matches!(Issuer::new("a", &twice), Err(KeyError::Rules(_))));
}

#[test]
fn nobody_is_called_like_a_guest_or_claims_what_the_issuer_says() {
    let named = |name: &str| Subject::named(name, Map::new());
    for name in ["", "guest-0", "a\nb", &"x".repeat(257)] {
        assert_eq!(named(name).unwrap_err(), SubjectError::Name, "{name:?}");
    }
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "guest"] {
        let claims = Map::from_iter([(claim.to_owned(), Value::Null)]);
        assert_eq!(Subject::named("a", claims).unwrap_err(), SubjectError::Reserved(claim.to_owned()));
    }
    let long = Map::from_iter([("x".to_owned(), Value::from("y".repeat(1024)))]);
    assert_eq!(Subject::named("a", long).unwrap_err(), SubjectError::Claims);
    let guest = Subject::guest([1; 16]);
    assert!(guest.is_guest() && guest.name() == format!("guest-{}", "01".repeat(16)));
}

#[test]
fn nothing_of_a_key_or_token_is_printed() {
    let issuer = issuer("a", SignAlgorithm::Hs256);
    let refresh = RefreshToken::first([1; 16], [2; 32]);
    let printed = format!("{issuer:?} {refresh:?} {:?}", key("k", SignAlgorithm::EdDsa));
    assert!(
        !printed.contains("secret that") && !printed.contains("BEGIN") && !printed.contains(&refresh.text()),
        "{printed}"
    );
}

#[test]
fn refresh_tokens_have_one_spelling() {
    let token = RefreshToken::first([1; 16], [0xfb; 32]);
    let text = token.text();
    assert_eq!(text.len(), 64);
    let again = RefreshToken::parse(&text).unwrap();
    assert_eq!((again.text(), again.sid()), (text.clone(), token.sid()));
    assert_eq!(token.next([3; 32]).sid(), token.sid(), "it is the same session");
    assert!(!text.contains(&token.sid()), "who reads an access token learns nothing of the refresh token");
    for wrong in ["", &text[1..], &format!("{text}="), &text.replace('-', "+"), &format!("{text}A")] {
        assert!(RefreshToken::parse(wrong).is_none(), "{wrong}");
    }
}
