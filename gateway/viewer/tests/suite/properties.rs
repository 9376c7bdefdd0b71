//! No text makes it panic, and none but the signed one is believed.

use crate::support::{NOW, forge, key, signed, token, verifier};
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use viewer::{Algorithm, find_token};

/// Names and values as tokens have them, and as they don't.
fn json() -> impl Strategy<Value = String> {
    let atom = r#"(\{|\}|\[|\]|:|,|"exp"|"nbf"|"sub"|"aud"|"alg"|"HS256"|"crit"|null|true|-?[0-9]{1,25}|[0-9]e[0-9]{1,3}|"[^"]{0,9}")"#;
    prop::collection::vec(atom, 0..24).prop_map(|atoms| atoms.concat())
}

proptest! {
    #[test]
    fn any_text(text in any::<String>(), now in any::<i64>()) {
        prop_assert!(verifier(Algorithm::ALL.map(key).to_vec()).verify(&text, now).is_err());
    }

    #[test]
    fn any_three_parts(text in "[A-Za-z0-9_=+/-]{0,80}\\.[A-Za-z0-9_=+/-]{0,80}\\.[A-Za-z0-9_-]{0,90}") {
        prop_assert!(verifier(Algorithm::ALL.map(key).to_vec()).verify(&text, NOW).is_err());
    }

    #[test]
    fn any_header(header in json()) {
        let forged = forge(&header, r#"{"exp":2000000000}"#, b"not the key");
        prop_assert!(verifier(vec![key(Algorithm::Hs256)]).verify(&forged, NOW).is_err());
    }

    /// Signed by the right key, so that whatever the claims are is looked at.
    #[test]
    fn any_claims(claims in json(), now in any::<i64>()) {
        let verifier = verifier(vec![key(Algorithm::Hs256)]);
        if let Ok(viewer) = verifier.verify(&signed(&claims), now) {
            prop_assert!(viewer.claim("exp").is_some());
        }
    }

    #[test]
    fn any_changed_byte(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]", which in 0..6_usize) {
        let algorithm = Algorithm::ALL[which];
        let good = token(algorithm);
        let at = at.index(good.len());
        let changed = format!("{}{to}{}", &good[..at], &good[at + 1..]);
        let verdict = verifier(vec![key(algorithm)]).verify(&changed, NOW);
        // Without an audience set, the very token is refused for having one, which takes a signature that holds.
        let wanted = changed == good;
        prop_assert_eq!(matches!(verdict, Err(viewer::TokenError::Audience)), wanted, "{}", changed);
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn any_headers(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
        let values = values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
        let headers: HeaderMap = values.flat_map(|value| [(header::COOKIE, value.clone()), (header::AUTHORIZATION, value)]).collect();
        let _ = find_token(&headers, Some(&header::AUTHORIZATION), Some("a"));
    }
}
