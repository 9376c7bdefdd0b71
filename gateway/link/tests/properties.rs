//! What must hold for every path, key and expiry.

#[cfg(test)]
mod seed;

#[cfg(test)]
mod tests {
    use crate::seed::seed;
    use link::{Grant, LinkKey, LinkRequest, LinkRules, Scheme, SchemeRules, SignRequest, Uri, Verdict, Verifier};
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
        Verifier::new(LinkRules { schemes, ..LinkRules::nginx(keys) }).unwrap()
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
            let grant = Grant { key_id: "b".into(), scheme, expires };
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
