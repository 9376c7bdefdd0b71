//! What must hold for every path, key and expiry.

#[cfg(test)]
mod seed;

#[cfg(test)]
mod tests {
    use crate::seed::seed;
    use link::{Grant, LinkKey, LinkRequest, LinkRules, Scheme, SchemeRules, SignRequest, Uri, Verdict, Verifier};
    use link::{PrefixRequest, in_path};
    use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::test_runner::RngSeed;

    fn config() -> ProptestConfig {
        ProptestConfig {
            cases: 1_000,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed()),
            ..ProptestConfig::default()
        }
    }

    fn verifier(secrets: &[(&str, &str)]) -> Verifier {
        let keys = secrets.iter().map(|(id, secret)| LinkKey::new(*id, *secret)).collect();
        let schemes = vec![SchemeRules::nginx_md5(), SchemeRules::hmac_sha256()];
        Verifier::new(LinkRules { schemes, prefix_param: Some("st".into()), ..LinkRules::nginx(keys) }).unwrap()
    }

    fn check(verifier: &Verifier, target: &str, now: i64) -> Verdict {
        let uri = Uri::parse(target.as_bytes()).unwrap();
        verifier.check(&LinkRequest { uri: &uri, host: None, remote_addr: None, now })
    }

    /// Normal paths of any bytes.
    fn path() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![any::<u8>(), b'!'..=b'~'];
        prop::collection::vec(prop::collection::vec(byte, 0..8), 1..5).prop_filter_map("not normal", |segments| {
            let path = [b"/".as_slice(), &segments.join(&b'/')].concat();
            let plain = !path.contains(&0) && segments.iter().all(|s| !matches!(s.as_slice(), b"" | b"." | b".."));
            (plain && segments.iter().all(|s| !s.contains(&b'/'))).then_some(path)
        })
    }

    fn prefix_target(signer: &Verifier, prefix: &[u8], token: &str) -> Vec<u8> {
        let link = signer.sign(&SignRequest::new(prefix, 1)).unwrap();
        format!("{}?st={token}", link.split_once('?').unwrap().0).into_bytes()
    }

    fn scheme() -> impl Strategy<Value = Scheme> {
        prop_oneof![proptest::strategy::Just(Scheme::NginxMd5), proptest::strategy::Just(Scheme::HmacSha256)]
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn what_is_signed_opens_until_it_expires(path in path(), expires in 1..i64::MAX, scheme in scheme()) {
            let verifier = verifier(&[("a", "one"), ("b", "two")]);
            let request = SignRequest { scheme: Some(scheme), key_id: Some("b"), ..SignRequest::new(&path, expires) };
            let link = verifier.sign(&request).unwrap();
            let grant = Grant { key_id: "b".into(), scheme, expires, id: None };
            prop_assert_eq!(check(&verifier, &link, expires), Verdict::Valid(grant.clone()));
            prop_assert_eq!(check(&verifier, &link, expires + 1), Verdict::Expired(grant));
        }

        #[test]
        fn a_token_opens_nothing_else(a in path(), b in path(), expires in 1..i64::MAX, later in 1..i64::MAX, scheme in scheme()) {
            let signer = verifier(&[("a", "one")]);
            let sign = |path: &[u8], expires| {
                signer.sign(&SignRequest { scheme: Some(scheme), ..SignRequest::new(path, expires) }).unwrap()
            };
            let link = sign(&a, expires);
            let (_, right) = link.split_once('?').unwrap();
            let swapped = format!("{}?{right}", sign(&b, expires).split_once('?').unwrap().0);
            prop_assert_eq!(matches!(check(&signer, &swapped, 0), Verdict::Valid(_)), a == b);
            let stretched = link.replace(&format!("expires={expires}"), &format!("expires={later}"));
            prop_assert_eq!(matches!(check(&signer, &stretched, 0), Verdict::Valid(_)), expires == later);
            let strangers = verifier(&[("a", "two"), ("b", "on"), ("c", "onee")]);
            prop_assert!(matches!(check(&strangers, &link, 0), Verdict::Invalid(_)));
        }

        /// Whatever follows the token's own path, however it is spelt: the token opens it when, and only when, what the gateway makes of
        /// it is at or below the path that was signed.
        #[test]
        fn a_prefix_token_opens_what_is_below_and_nothing_else(
            prefix in path(),
            expires in 1..i64::MAX,
            tail in prop::collection::vec(prop_oneof![
                any::<u8>(), proptest::sample::select(b"/./..%2e%2F~ab".to_vec()),
            ], 0..24),
            start in any::<bool>(),
        ) {
            let signer = verifier(&[("a", "one"), ("b", "two")]);
            let prefix_request = PrefixRequest { prefix: &prefix, expires, key_id: Some("b"), remote_addr: None, id: None };
            let token = signer.sign_prefix(&prefix_request).unwrap();
            let head = if start { in_path(&token, &prefix) } else { format!("/~{token}/") };
            let target = [head.as_bytes(), &tail].concat();
            let Ok(mut uri) = Uri::parse(&target) else { return Ok(()) };
            signer.take_token(&mut uri);
            let verdict = signer.check(&LinkRequest { uri: &uri, host: None, remote_addr: None, now: 0 });
            let below = uri.path().strip_prefix(&*prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
            // What climbs out of the token's own segment has lost it.
            let carried = Uri::parse(&target).unwrap().path().starts_with(format!("/~{token}/").as_bytes());
            let opened = matches!(verdict, Verdict::Valid(_));
            prop_assert_eq!(opened, carried && below, "{:?} {}", verdict, target.escape_ascii());
            // The same token beside the same path.
            let beside = format!("{}?st={token}", uri.to_encoded_path());
            prop_assert_eq!(matches!(check(&signer, &beside, 0), Verdict::Valid(_)), below);
            let strangers = verifier(&[("a", "tw"), ("b", "one")]);
            prop_assert!(matches!(check(&strangers, &beside, 0), Verdict::Invalid(_)));
        }

        /// No changed character of a token is good.
        #[test]
        fn a_prefix_token_has_one_spelling(prefix in path(), expires in 1..i64::MAX, at in any::<proptest::sample::Index>(), byte in b'!'..=b'~') {
            let signer = verifier(&[("a", "one")]);
            let request = PrefixRequest { prefix: &prefix, expires, key_id: None, remote_addr: None, id: Some("id-1") };
            let token = signer.sign_prefix(&request).unwrap();
            let mut changed = token.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let uri = Uri::parse(&prefix_target(&signer, &prefix, &changed)).unwrap();
            let verdict = signer.check(&LinkRequest { uri: &uri, host: None, remote_addr: None, now: 0 });
            prop_assert_eq!(matches!(verdict, Verdict::Valid(_)), changed == token, "{}", changed);
        }

        #[test]
        fn a_path_has_one_form(target in prop::collection::vec(prop_oneof![
            any::<u8>(), proptest::sample::select(b"/./..%2e%2F%?#".to_vec()),
        ], 0..40)) {
            let target = [b"/".as_slice(), &target].concat();
            let Ok(uri) = Uri::parse(&target) else { return Ok(()) };
            prop_assert!(uri.path().starts_with(b"/") && !uri.path().contains(&0));
            let segments: Vec<_> = uri.path()[1..].split(|byte| *byte == b'/').collect();
            let inner = &segments[..segments.len() - 1];
            prop_assert!(inner.iter().all(|segment| !matches!(*segment, b"" | b"." | b"..")));
            prop_assert!(!matches!(segments[segments.len() - 1], b"." | b".."));
            let again = Uri::parse(uri.to_encoded_path().as_bytes()).unwrap();
            prop_assert_eq!(again.path(), uri.path());
        }
    }
}
