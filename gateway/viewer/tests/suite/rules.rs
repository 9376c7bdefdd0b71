//! Which rules are taken, and what is said of the others.

use crate::support::{NOW, file, key, token};
use viewer::{Algorithm, Key, Rules, RulesError, Verifier};

fn new(keys: Vec<Key>) -> Result<Verifier, RulesError> {
    Verifier::new(Rules { keys, issuer: None, audience: None, leeway: 0, published: false })
}

#[test]
fn keys_that_could_never_work_are_refused_at_the_start() {
    let table = [
        (Algorithm::Rs256, "es256.pem", "it is of another kind"),
        (Algorithm::Rs256, "rsa1024.pem", "its modulus has fewer than 2,048 bits, or more than 8,192"),
        (Algorithm::Es256, "rs256.pem", "it is of another kind"),
        (Algorithm::Es256, "eddsa.pem", "it is of another kind"),
        (Algorithm::Es256, "p384.pem", "it is on another curve than P-256"),
        // As long as a point on P-256, so its length tells nothing.
        (Algorithm::Es256, "secp256k1.pem", "it is on another curve than P-256"),
        (Algorithm::Es256, "rs256-pkcs1.pem", "it is PEM of something else"),
        (Algorithm::EdDsa, "es256.pem", "it is of another kind"),
        (Algorithm::EdDsa, "shared.txt", "it is not PEM, which has lines of 64 characters"),
        (
            Algorithm::Es256,
            "certificate.pem",
            "it is a certificate; `openssl x509 -pubkey -noout` prints its public key",
        ),
        (
            Algorithm::Es256,
            "compressed.pem",
            "its point is compressed; `openssl ec -conv_form uncompressed` writes it out",
        ),
    ];
    for (algorithm, name, why) in table {
        let refused = new(vec![Key::new("k", algorithm, file(name))]).unwrap_err();
        assert_eq!(refused, RulesError::PublicKey("k".to_owned(), algorithm, why), "{name}");
    }
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        let pem = format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
        let refused = new(vec![Key::new("k", Algorithm::Es256, pem)]).unwrap_err().to_string();
        assert!(refused.contains("it is a private key"), "{refused}");
    }
}

#[test]
fn the_forms_of_an_rsa_key_are_the_same_key() {
    let (older, usual) = (file("rs256-pkcs1.pem"), file("rs256.pem"));
    for pem in [older.replace('\n', "\r\n"), format!("\n {usual}\n\n"), older, usual] {
        let keys = vec![Key::new("k", Algorithm::Rs256, pem)];
        let rules = Rules { keys, issuer: None, audience: Some("films".to_owned()), leeway: 0, published: false };
        assert!(Verifier::new(rules).unwrap().verify(&token(Algorithm::Rs256), NOW).is_ok());
    }
}

#[test]
fn rules_that_protect_nothing_are_refused() {
    let shared = |id: &str, secret: &str| Key::new(id, Algorithm::Hs256, secret);
    let long = "s".repeat(32);
    assert_eq!(new(vec![]).unwrap_err(), RulesError::KeyCount(0));
    let many = (0..9).map(|id| shared(&id.to_string(), &long)).collect();
    assert_eq!(new(many).unwrap_err(), RulesError::KeyCount(9));
    let table = [
        (vec![shared("", &long)], RulesError::KeyId(String::new())),
        (vec![shared("a", &long), shared("a", &long)], RulesError::KeyId("a".to_owned())),
        (vec![shared("a", &long[1..])], RulesError::ShortSecret("a".to_owned())),
        (vec![shared("a", "")], RulesError::ShortSecret("a".to_owned())),
        (vec![shared("a", &file("rs256.pem"))], RulesError::PublicSecret("a".to_owned(), Algorithm::Hs256)),
        (vec![shared("a", &file("certificate.pem"))], RulesError::PublicSecret("a".to_owned(), Algorithm::Hs256)),
    ];
    for (keys, wanted) in table {
        assert_eq!(new(keys).unwrap_err(), wanted);
    }
    let rules = |issuer: Option<&str>, audience: Option<&str>, leeway| Rules {
        keys: vec![key(Algorithm::Hs256)],
        issuer: issuer.map(str::to_owned),
        audience: audience.map(str::to_owned),
        leeway,
        published: false,
    };
    assert_eq!(Verifier::new(rules(Some(""), None, 0)).unwrap_err(), RulesError::EmptyName);
    assert_eq!(Verifier::new(rules(None, Some(""), 0)).unwrap_err(), RulesError::EmptyName);
    assert_eq!(Verifier::new(rules(None, None, 301)).unwrap_err(), RulesError::Leeway(301));
    assert!(Verifier::new(rules(None, None, 300)).is_ok());
}

#[test]
fn algorithms_have_the_names_of_the_standard() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
    for name in ["none", "hs256", "RS384", "PS256", ""] {
        assert_eq!(Algorithm::from_name(name), None, "{name}");
    }
}
