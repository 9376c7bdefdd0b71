//! The part that is about TLS, certificates and proxies.

use super::{GATEWAY, check, refusal};
use config::GatewaySettings;

#[test]
fn domains_and_proxies() {
    let good = format!(
        "{}{}",
        GATEWAY.replace(
            "listen = [{ address = \"127.0.0.1:8080\" }]",
            "listen = [{ address = \"127.0.0.1:8443\", tls = {} }, { address = \"127.0.0.1:8080\", https_port = 443 }]"
        ),
        r#"[proxies]
trusted = ["10.0.0.0/8", "2001:db8::1", "unix"]
[certificates]
files = [{ certificate = "/a.pem", key = "/a.key" }]
[certificates.acme]
terms_agreed = true
contact = ["ops@example.com"]
root = "/root.pem"
"#
    );
    check::<GatewaySettings>(
        &good,
        &[
            (
                "tls = {}",
                "tls = { key = \"/k.pem\" }",
                "f.toml:1: listen[0].tls: needs both certificate and key, or neither",
            ),
            ("tls = {}", "tls = {}, https_port = 1", "f.toml:1: listen[0].https_port: is for addresses without TLS"),
            ("https_port = 443", "https_port = 0", "f.toml:1: listen[1].https_port: must be a port"),
            ("\"/a.pem\"", "\"a.pem\"", "f.toml:14: certificates.files[0].certificate: must be an absolute path"),
            ("\"/a.key\"", "\"a.key\"", "f.toml:14: certificates.files[0].key: must be an absolute path"),
            ("files =", "folder = \"here\"\nfiles =", "f.toml:14: certificates.folder: must be an absolute path"),
            ("files =", "store = \"redis\"\nfiles =", "f.toml:14: certificates.store: needs a redis section"),
            (
                "terms_agreed = true",
                "terms_agreed = false",
                "f.toml:16: certificates.acme.terms_agreed: must be true: read the server's terms first",
            ),
            (
                "root =",
                "directory = \"http://a/\"\nroot =",
                "f.toml:18: certificates.acme.directory: must be an https:// address",
            ),
            (
                "root =",
                "orders_per_hour = 0\nroot =",
                "f.toml:18: certificates.acme.orders_per_hour: must be from 1 to 10000",
            ),
            ("root =", "challenges = []\nroot =", "f.toml:18: certificates.acme.challenges: needs at least one"),
            (
                "\"ops@",
                "\"mailto:ops@",
                "f.toml:17: certificates.acme.contact[0]: must be a mail address, without mailto:",
            ),
            ("\"/root.pem\"", "\"root.pem\"", "f.toml:18: certificates.acme.root: must be an absolute path"),
            (
                "\"unix\"",
                "\"all\"",
                "f.toml:12: proxies.trusted[2]: not an address; write \"127.0.0.1\", \"10.0.0.0/8\", \"2001:db8::/32\" or \"unix\"",
            ),
            (
                "trusted =",
                "header = \"X-Real-IP\"\ntrusted =",
                "f.toml:12: proxies.header: must be a header's name in lower case",
            ),
        ],
    );
    let shared = good.replace("files =", "store = \"redis\"\nfiles =")
        + "challenges = [\"tls-alpn-01\"]\n[redis]\nurl = \"redis://127.0.0.1\"\n";
    let refused = refusal::<GatewaySettings>(&shared);
    assert!(
        refused.contains("certificates.acme.challenges: needs \"http-01\" where certificates.store is \"redis\""),
        "{refused}"
    );
    let line = GATEWAY.replace("8080\"", "8080\", proxy_protocol = true");
    let refused = refusal::<GatewaySettings>(&line);
    assert_eq!(refused, "f.toml:1: listen[0].proxy_protocol: needs proxies.trusted: nobody else is believed");
    let none = GATEWAY.replace("8080\"", "8080\", tls = {}");
    let refused = refusal::<GatewaySettings>(&none);
    assert_eq!(
        refused,
        "f.toml:1: listen[0].tls: needs certificate and key, or certificates.files or certificates.acme"
    );
}
