//! The part that is about viewers' identities and links on demand.

use super::{GATEWAY, check};
use config::{GatewaySettings, parse};
use std::path::Path;

#[test]
fn identities() {
    const GOOD: &str = "[tenant.identity]\nkeys = [{ id = \"1\", algorithm = \"HS256\", key = \"the-secret-of-32-bytes-and-some-more\" }]\n[tenant.sign]\nttl = \"2h\"\n";
    let good = format!("{GATEWAY}{GOOD}");
    check::<GatewaySettings>(
        &good,
        &[
            (
                "id = \"1\", algorithm",
                "id = \"\", algorithm",
                "f.toml:12: tenant[0].identity.keys[0].id: must be 1 to 64 visible ASCII characters",
            ),
            (
                "the-secret-of-32-bytes-and-some-more",
                "the-secret",
                "f.toml:12: tenant[0].identity.keys[0].key: must be a secret of at least 32 bytes, and no PEM",
            ),
            (
                "HS256",
                "EdDSA",
                "f.toml:12: tenant[0].identity.keys[0].key: must be a private key as PEM (PKCS#8, \"BEGIN PRIVATE KEY\")",
            ),
            (
                "[tenant.sign]",
                "same_site = \"none\"\n[tenant.sign]",
                "f.toml:11: tenant[0].identity.cookie_secure: must be true where same_site is none: browsers want it",
            ),
            (
                "[tenant.sign]",
                "access_ttl = \"2d\"\n[tenant.sign]",
                "f.toml:13: tenant[0].identity.access_ttl: must be from 60s to 86400s",
            ),
            (
                "[tenant.sign]",
                "cookie_domain = \"Example\"\n[tenant.sign]",
                "f.toml:13: tenant[0].identity.cookie_domain: must be a domain in lower case, as in example.com",
            ),
            (
                "[tenant.sign]",
                "manager_secret = \"short\"\n[tenant.sign]",
                "f.toml:13: tenant[0].identity.manager_secret: must have at least 32 bytes of visible ASCII",
            ),
            ("ttl = \"2h\"", "ttl = \"2d\"", "f.toml:13: tenant[0].sign.max_ttl: must be at least ttl"),
            (
                "ttl = \"2h\"",
                "bind_address = true",
                "f.toml:14: tenant[0].sign.bind_address: needs $remote_addr in link.expression, or link.prefix_parameter",
            ),
            (
                "id = \"one\"\n",
                "id = \"one\"\norigins = [\"https://a.example/\"]\n",
                "f.toml:8: tenant[0].origins[0]: must be scheme://host or scheme://host:port, in lower case, as in https://www.example.com",
            ),
            (
                "secrets = [{ id = \"1\"",
                "id_parameter = \"a b\"\nsecrets = [{ id = \"1\"",
                "f.toml:10: tenant[0].link.id_parameter: must be 1 to 32 letters, digits, \"-\" and \"_\"",
            ),
            (
                "[tenant.sign]",
                "[tenant.viewer]\njwks = { url = \"http://a.example/jwks\" }\n[tenant.sign]",
                "f.toml:13: tenant[0].viewer.issuer: is required with jwks: name whose tokens are believed\n\
                 f.toml:14: tenant[0].viewer.jwks.url: must be an https address: who changes keys on their way signs any token",
            ),
        ],
    );
}

#[test]
fn what_a_restart_forgets_is_said_once() {
    const IDENTITY: &str = "[tenant.identity]\nkeys = [{ id = \"1\", algorithm = \"HS256\", key = \"the-secret-of-32-bytes-and-some-more\" }]\n";
    const REDIS: &str = "[redis]\nurl = \"redis://localhost/\"\n";
    for (text, warned) in [
        (GATEWAY.to_owned(), None),
        (format!("{GATEWAY}{IDENTITY}"), Some("f.toml:11: tenant[0].identity: there is no redis section: ")),
        (format!("{GATEWAY}{IDENTITY}{REDIS}"), None),
    ] {
        let warnings = parse::<GatewaySettings>(&text, Path::new("f.toml")).unwrap().warnings;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), usize::from(warned.is_some()), "{warnings:?}");
        assert!(warned.is_none_or(|warned| warnings.concat().starts_with(warned)), "{warnings:?}");
    }
}
