//! Key sets that issuers publish: what is taken out of them, and what is not.

use crate::support::{NOW, file, forge, key, token};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use viewer::{Algorithm, KeySetError, LONGEST_KEY_SET, Rules, TokenError, Verifier, read_key_set};

const PUBLIC: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

fn verifier() -> Verifier {
    let rules = Rules { audience: Some("films".to_owned()), published: true, ..Rules::new(Vec::new()) };
    Verifier::new(rules).unwrap()
}

/// The entries of `jwks.json`, which OpenSSL's numbers went into.
fn entries() -> Vec<Value> {
    let set: Value = serde_json::from_str(&file("jwks.json")).unwrap();
    set["keys"].as_array().unwrap().clone()
}

fn read(entries: &[Value]) -> Result<usize, KeySetError> {
    read_key_set(json!({ "keys": entries }).to_string().as_bytes()).map(|keys| keys.len())
}

#[test]
fn published_keys_verify_what_another_implementation_signed() {
    let verifier = verifier();
    assert_eq!(verifier.publish(&read_key_set(file("jwks.json").as_bytes()).unwrap()), 3);
    for algorithm in PUBLIC {
        assert!(verifier.verify(&token(algorithm), NOW).is_ok(), "{algorithm}");
    }
    assert_eq!(verifier.verify(&token(Algorithm::Hs256), NOW).unwrap_err(), TokenError::Algorithm);
    verifier.publish(&[]);
    for algorithm in PUBLIC {
        assert!(
            verifier.verify(&token(algorithm), NOW).is_err(),
            "{algorithm}: a key that is gone, and tokens that held by it"
        );
    }
}

/// Whoever can read the set could sign by it, were it taken for secrets.
#[test]
fn nothing_published_is_a_shared_secret() {
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    let oct = json!({ "kty": "oct", "alg": "HS256", "kid": "s", "k": secret });
    assert_eq!(read(std::slice::from_ref(&oct)), Err(KeySetError::Empty));
    let verifier = verifier();
    verifier.publish(&read_key_set(json!({ "keys": [oct, entries()[2]] }).to_string().as_bytes()).unwrap());
    let claims = r#"{"sub":"m","aud":"films","exp":2000000000}"#;
    let public = URL_SAFE_NO_PAD.decode(entries()[2]["x"].as_str().unwrap()).unwrap();
    for (kid, key) in [("s", vec![7; 32]), ("EdDSA", public), ("s", secret.into_bytes())] {
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        assert!(verifier.verify(&forge(&header, claims, &key), NOW).is_err(), "{kid}");
    }
    // Nor does a caller make one so.
    assert_eq!(verifier.publish(&[key(Algorithm::Hs256)]), 0);
}

#[test]
fn what_can_not_verify_is_passed_over() {
    let good = entries();
    let with = |at: usize, name: &str, value: Value| {
        let mut entry = good[at].clone();
        entry[name] = value;
        read(&[entry])
    };
    for (at, name, value, taken) in [
        (0, "use", json!("enc"), false),
        (0, "use", Value::Null, true),
        (0, "alg", json!("RS512"), false),
        (0, "alg", Value::Null, true),
        (0, "key_ops", json!(["sign"]), false),
        (0, "key_ops", json!(["verify"]), true),
        (0, "kty", json!("EC"), false),
        (0, "n", json!("=!"), false),
        (0, "n", json!(7), false),
        (1, "crv", json!("P-384"), false),
        (1, "x", json!("AAAA"), false),
        (2, "crv", json!("X25519"), false),
        (2, "alg", json!("Ed25519"), true),
        (2, "x", json!("AAAA"), false),
        (2, "kid", json!(""), true),
    ] {
        let expected = if taken { Ok(1) } else { Err(KeySetError::Empty) };
        assert_eq!(with(at, name, value.clone()), expected, "{at} {name} {value}");
    }
    assert_eq!(read(&[json!(7), json!({}), good[1].clone(), good[1].clone()]), Ok(1), "of two of one name the first");
    for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
        assert_eq!(read_key_set(text.as_bytes()).unwrap_err(), KeySetError::Malformed, "{text}");
    }
    assert_eq!(read_key_set(&vec![b' '; LONGEST_KEY_SET + 1]).unwrap_err(), KeySetError::TooLong);
    // Weak or broken numbers are read, and refused by the verifier.
    let weak = json!({ "keys": [{ "kty": "RSA", "n": "AQAB", "e": "AQAB" }] }).to_string();
    assert_eq!(verifier().publish(&read_key_set(weak.as_bytes()).unwrap()), 0);
}

#[test]
fn an_unknown_key_is_told_from_a_wrong_signature() {
    let verifier = verifier();
    verifier.publish(&read_key_set(file("jwks.json").as_bytes()).unwrap());
    let other = json!({ "alg": "EdDSA", "kid": "next" }).to_string();
    let known = json!({ "alg": "EdDSA", "kid": "EdDSA" }).to_string();
    let claims = r#"{"sub":"m","aud":"films","exp":2000000000}"#;
    assert_eq!(verifier.verify(&forge(&other, claims, b"x"), NOW).unwrap_err(), TokenError::UnknownKey);
    assert_eq!(verifier.verify(&forge(&known, claims, b"x"), NOW).unwrap_err(), TokenError::Signature);
}
