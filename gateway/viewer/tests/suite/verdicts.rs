//! Which tokens are believed, as tables.

use crate::support::{NOW, file, forge, key, signed, token, verifier};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use viewer::{Algorithm, Key, Rules, TokenError, Verifier};

#[test]
fn each_algorithm_verifies_what_another_implementation_signed() {
    let rules = |algorithm| Rules {
        keys: vec![key(algorithm)],
        issuer: Some("https://id.example.com".to_owned()),
        audience: Some("films".to_owned()),
        leeway: 0,
        published: false,
    };
    for algorithm in Algorithm::ALL {
        let viewer = Verifier::new(rules(algorithm)).unwrap().verify(&token(algorithm), NOW).unwrap();
        assert_eq!(viewer.sub().as_deref(), Some("alice"), "{algorithm}");
        let claims = [
            ("tier", Some("premium")),
            ("seats", Some("4")),
            ("roles", Some(r#"["a","b"]"#)),
            ("exp", Some("2000000000")),
            ("nobody", None),
        ];
        for (name, value) in claims {
            assert_eq!(viewer.claim(name).as_deref(), value, "{algorithm} {name}");
        }
    }
}

#[test]
fn a_token_of_one_algorithm_holds_with_no_key_of_another() {
    for signer in Algorithm::ALL {
        for other in Algorithm::ALL.into_iter().filter(|other| *other != signer) {
            let verdict = verifier(vec![key(other)]).verify(&token(signer), NOW);
            assert_eq!(verdict.unwrap_err(), TokenError::Algorithm, "{signer} with {other}");
        }
        let rules = Rules {
            keys: Algorithm::ALL.map(key).to_vec(),
            issuer: None,
            audience: Some("films".to_owned()),
            leeway: 0,
            published: false,
        };
        assert!(Verifier::new(rules).unwrap().verify(&token(signer), NOW).is_ok(), "{signer} among all");
    }
}

/// The classic: the public key, which everybody has, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_shared_secret() {
    let claims = r#"{"sub":"mallory","exp":2000000000}"#;
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let pem = file(&format!("{}.pem", algorithm.name().to_ascii_lowercase()));
        let body = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        // As it stands in the file, trimmed, and the bytes that the verifier itself keeps.
        for secret in
            [pem.as_bytes(), pem.trim().as_bytes(), &der, &der[der.len().saturating_sub(65)..], &der[der.len() - 32..]]
        {
            for header in [r#"{"alg":"HS256"}"#.to_owned(), format!(r#"{{"alg":"HS256","kid":"{algorithm}"}}"#)] {
                let forged = forge(&header, claims, secret);
                assert_eq!(verifier(vec![key(algorithm)]).verify(&forged, NOW).unwrap_err(), TokenError::Algorithm);
                let both = verifier(vec![key(algorithm), key(Algorithm::Hs256)]);
                assert!(both.verify(&forged, NOW).is_err(), "{algorithm} {header}");
            }
        }
    }
}

#[test]
fn headers() {
    let verifier = verifier(vec![key(Algorithm::Hs256), Key::new("old", Algorithm::Hs256, "o".repeat(32))]);
    let claims = r#"{"sub":"alice","exp":2000000000}"#;
    let nested = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let table: &[(&str, Option<TokenError>)] = &[
        (r#"{"alg":"HS256"}"#, None),
        (r#"{"alg":"HS256","kid":"HS256"}"#, None),
        // A name that no key has: each key of the algorithm is tried.
        (r#"{"alg":"HS256","kid":"of the issuer"}"#, None),
        // A name that another key has: only that one is.
        (r#"{"alg":"HS256","kid":"old"}"#, Some(TokenError::Signature)),
        (r#"{"alg":"none"}"#, Some(TokenError::Malformed)),
        (r#"{"alg":"None"}"#, Some(TokenError::Malformed)),
        (r#"{"alg":""}"#, Some(TokenError::Malformed)),
        (r#"{"alg":"hs256"}"#, Some(TokenError::Malformed)),
        (r#"{"alg":["HS256"]}"#, Some(TokenError::Malformed)),
        (r#"{"typ":"JWT"}"#, Some(TokenError::Malformed)),
        (r#"{"alg":"HS256","alg":"none"}"#, Some(TokenError::Malformed)),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, Some(TokenError::Malformed)),
        (r#"{"alg":"HS256","kid":7}"#, Some(TokenError::Malformed)),
        (r#"{"alg":"ES256"}"#, Some(TokenError::Algorithm)),
        (r#"{"alg":"PS256"}"#, Some(TokenError::Algorithm)),
        // A key inside the token is nobody's.
        (r#"{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}"#, Some(TokenError::Algorithm)),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Some(TokenError::Critical)),
        (r#"{"alg":"HS256","crit":[]}"#, Some(TokenError::Critical)),
        (&nested, Some(TokenError::Malformed)),
        ("", Some(TokenError::Malformed)),
        ("[]", Some(TokenError::Malformed)),
        (r#"{"alg":"HS256"} "#, None),
        (r#"{"alg":"HS256"}x"#, Some(TokenError::Malformed)),
    ];
    for (header, wanted) in table {
        let verdict = verifier.verify(&forge(header, claims, file("shared.txt").as_bytes()), NOW);
        assert_eq!(verdict.err(), *wanted, "{header}");
    }
}

#[test]
fn shapes() {
    let verifier = verifier(vec![key(Algorithm::Hs256)]);
    let good = signed(r#"{"sub":"alice","exp":2000000000}"#);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, tag] = parts[..] else { panic!("three parts") };
    let other = URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory","exp":2000000000}"#);
    let mut flipped = URL_SAFE_NO_PAD.decode(tag).unwrap();
    flipped[31] ^= 1;
    let flipped = URL_SAFE_NO_PAD.encode(flipped);
    let huge = format!("{header}.{}.{tag}", "A".repeat(8192));
    let table = [
        (good.clone(), None),
        (format!("{header}.{other}.{tag}"), Some(TokenError::Signature)),
        (format!("{header}.{claims}.{flipped}"), Some(TokenError::Signature)),
        (format!("{header}.{claims}.{}", &tag[..40]), Some(TokenError::Signature)),
        (format!("{header}.{claims}."), Some(TokenError::Signature)),
        (format!("{header}.{claims}"), Some(TokenError::Malformed)),
        (format!("{header}.{claims}.{tag}."), Some(TokenError::Malformed)),
        (format!("{header}.{claims}.{tag}.{tag}"), Some(TokenError::Malformed)),
        (format!("{header}.{claims}.{tag}="), Some(TokenError::Malformed)),
        (format!("{header}.{claims}.{tag} "), Some(TokenError::Malformed)),
        (format!(" {good}"), Some(TokenError::Malformed)),
        (format!("{header}..{tag}"), Some(TokenError::Signature)),
        (format!("..{tag}"), Some(TokenError::Malformed)),
        ("..".to_owned(), Some(TokenError::Malformed)),
        (String::new(), Some(TokenError::Malformed)),
        ("näin".to_owned(), Some(TokenError::Malformed)),
        (huge, Some(TokenError::TooLong)),
    ];
    for (token, wanted) in table {
        assert_eq!(verifier.verify(&token, NOW).err(), wanted, "{token}");
    }
    for end in 0..good.len() {
        assert!(verifier.verify(&good[..end], NOW).is_err(), "cut to {end}");
    }
}

#[test]
fn claims() {
    let verifier = verifier(vec![key(Algorithm::Hs256)]);
    let deep = format!(r#"{{"exp":2000000000,"x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let table: &[(&str, Option<TokenError>)] = &[
        (r#"{"exp":2000000000}"#, None),
        (r#"{"exp":2000000000.75}"#, None),
        (r#"{"exp":99999999999999999999}"#, None),
        (r#"{"exp":18446744073709551615}"#, None),
        (r#"{"exp":1e300}"#, None),
        (r#"{"exp":-1}"#, Some(TokenError::Expired)),
        (r#"{"exp":0}"#, Some(TokenError::Expired)),
        (r#"{"exp":-1e300}"#, Some(TokenError::Expired)),
        (r#"{"sub":"alice"}"#, Some(TokenError::NoExpiry)),
        (r#"{"exp":null}"#, Some(TokenError::NoExpiry)),
        (r#"{"exp":"2000000000"}"#, Some(TokenError::Claims)),
        (r#"{"exp":[2000000000]}"#, Some(TokenError::Claims)),
        (r#"{"exp":true}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"nbf":"soon"}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"nbf":null}"#, None),
        (r#"{"exp":2000000000,"nbf":1e300}"#, Some(TokenError::Early)),
        (r#"{"exp":2000000000,"sub":"a","sub":"b"}"#, Some(TokenError::Claims)),
        (r#"{"exp":1,"exp":2000000000}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"s\u0075b":"a","sub":"b"}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"plan":{"tier":1,"tier":2}}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"plans":[{"tier":1},{"tier":2}]}"#, None),
        (r#"{"exp":2000000000,"aud":"films"}"#, Some(TokenError::Audience)),
        (r#"{"exp":2000000000} {}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"sub":["alice"]}"#, Some(TokenError::Claims)),
        (r#"{"exp":2000000000,"sub":{"name":"alice"}}"#, Some(TokenError::Claims)),
        (r#"["exp",2000000000]"#, Some(TokenError::Claims)),
        ("2000000000", Some(TokenError::Claims)),
        ("", Some(TokenError::Claims)),
        (&deep, Some(TokenError::Claims)),
    ];
    for (claims, wanted) in table {
        assert_eq!(verifier.verify(&signed(claims), NOW).err(), *wanted, "{claims}");
    }
}

#[test]
fn times() {
    // exp, nbf, leeway, now.
    let table: &[(i64, i64, u32, i64, Option<TokenError>)] = &[
        (100, 50, 0, 99, None),
        (100, 50, 0, 100, Some(TokenError::Expired)),
        (100, 50, 0, 101, Some(TokenError::Expired)),
        (100, 50, 0, 50, None),
        (100, 50, 0, 49, Some(TokenError::Early)),
        (100, 50, 30, 129, None),
        (100, 50, 30, 130, Some(TokenError::Expired)),
        (100, 50, 30, 20, None),
        (100, 50, 30, 19, Some(TokenError::Early)),
        (i64::MAX, i64::MIN, 300, 0, None),
        (i64::MIN, i64::MIN, 300, 0, Some(TokenError::Expired)),
        // Never good: expired is the word for it.
        (50, 100, 0, 75, Some(TokenError::Expired)),
    ];
    for (exp, nbf, leeway, now, wanted) in table {
        let rules = Rules {
            keys: vec![key(Algorithm::Hs256)],
            issuer: None,
            audience: None,
            leeway: *leeway,
            published: false,
        };
        let verifier = Verifier::new(rules).unwrap();
        let token = signed(&format!(r#"{{"exp":{exp},"nbf":{nbf}}}"#));
        assert_eq!(verifier.verify(&token, *now).err(), *wanted, "exp {exp} nbf {nbf} leeway {leeway} now {now}");
    }
    let fractions = signed(r#"{"exp":100.5,"nbf":50.5}"#);
    let verifier = verifier(vec![key(Algorithm::Hs256)]);
    for (now, wanted) in [(50, Some(TokenError::Early)), (51, None), (99, None), (100, Some(TokenError::Expired))] {
        assert_eq!(verifier.verify(&fractions, now).err(), wanted, "{now}");
    }
}

/// A token that is remembered is judged by the clock again each time, also by one that was set back.
#[test]
fn remembering_changes_no_verdict() {
    let verifier = verifier(vec![key(Algorithm::Hs256)]);
    let token = signed(r#"{"exp":100,"nbf":50}"#);
    for round in 0..3 {
        for (now, wanted) in [(50, None), (99, None), (100, Some(TokenError::Expired)), (49, Some(TokenError::Early))] {
            assert_eq!(verifier.verify(&token, now).err(), wanted, "round {round}, {now}");
        }
    }
}

#[test]
fn issuers_and_audiences() {
    let some = |text: &str| Some(text.to_owned());
    let rules = Rules {
        keys: vec![key(Algorithm::Hs256)],
        issuer: some("id"),
        audience: some("films"),
        leeway: 0,
        published: false,
    };
    let verifier = Verifier::new(rules).unwrap();
    let table: &[(&str, Option<TokenError>)] = &[
        (r#""iss":"id","aud":"films""#, None),
        (r#""iss":"id","aud":["shop","films"]"#, None),
        (r#""iss":"id","aud":"shop""#, Some(TokenError::Audience)),
        (r#""iss":"id","aud":[]"#, Some(TokenError::Audience)),
        (r#""iss":"id","aud":{"films":1}"#, Some(TokenError::Audience)),
        (r#""iss":"id","aud":null"#, Some(TokenError::Audience)),
        (r#""iss":"id""#, Some(TokenError::Audience)),
        (r#""iss":"ID","aud":"films""#, Some(TokenError::Issuer)),
        (r#""iss":7,"aud":"films""#, Some(TokenError::Issuer)),
        (r#""iss":null,"aud":"films""#, Some(TokenError::Issuer)),
        (r#""aud":"films""#, Some(TokenError::Issuer)),
    ];
    for (claims, wanted) in table {
        let token = signed(&format!(r#"{{"exp":2000000000,{claims}}}"#));
        assert_eq!(verifier.verify(&token, NOW).err(), *wanted, "{claims}");
    }
}

#[test]
fn subjects() {
    let verifier = verifier(vec![key(Algorithm::Hs256)]);
    let table = [
        (r#""alice""#, Some("alice"), Some("alice")),
        (r#""""#, None, Some("")),
        ("42", Some("42"), Some("42")),
        ("null", None, Some("null")),
        ("true", None, Some("true")),
        ("4.5", Some("4.5"), Some("4.5")),
    ];
    for (sub, subject, claim) in table {
        let viewer = verifier.verify(&signed(&format!(r#"{{"exp":2000000000,"sub":{sub}}}"#)), NOW).unwrap();
        assert_eq!(viewer.sub().as_deref(), subject, "{sub}");
        assert_eq!(viewer.claim("sub").as_deref(), claim, "{sub}");
    }
}

#[test]
fn nothing_of_a_token_or_a_key_is_printed() {
    let verifier = verifier(vec![key(Algorithm::Hs256)]);
    let claims = r#"{"exp":2000000000,"sub":"wonderland"}"#;
    let viewer = verifier.verify(&signed(claims), NOW).unwrap();
    let error = verifier.verify(&forge(r#"{"alg":"wonderland"}"#, claims, b""), NOW).unwrap_err();
    let printed = format!("{viewer:?} {verifier:?} {error:?} {error} {:?}", key(Algorithm::Hs256));
    assert!(!printed.contains("wonderland"), "{printed}");
    assert!(!printed.contains("0123456789abcdef"), "{printed}");
    let bytes = format!("{:?}", file("shared.txt").as_bytes());
    assert!(!printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
}
