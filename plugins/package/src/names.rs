//! What names look like, and which headers and cookies a plugin never sees.

/// A plugin's, tenant's or setting's name: 1 to 64 of a-z, 0-9, `-` and `_`.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// What [`is_name`] wants, for messages.
pub(crate) const NAME: &str = "must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"";

/// What belongs to a connection, by RFC 9110 §7.6.1 and older custom.
const HOP_BY_HOP: [&str; 8] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"];

/// What proves who somebody is. A viewer's token reaches plugins as verified claims, cookies one by one by name.
const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "proxy-authenticate", "cookie", "set-cookie", "www-authenticate"];

/// Why a plugin may not see this header; `None` if it may.
pub(crate) fn hidden_header(name: &str) -> Option<&'static str> {
    if !is_token(name) || name.len() > 128 {
        return Some("is no header name");
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("must be in lower case");
    }
    if HOP_BY_HOP.contains(&name) {
        return Some("belongs to the connection, not to the request");
    }
    if CREDENTIALS.contains(&name) {
        return Some("is a credential; see request.claim, and visible.cookies");
    }
    let ours = name == "x-request-id" || name.starts_with("x-streamvault-") || name.starts_with("x-location-");
    ours.then_some("is the gateway's own; see request.id and request.media")
}

/// Why a cookie can't have this name; `None` if it can.
pub(crate) fn bad_cookie(name: &str) -> Option<&'static str> {
    (!is_token(name) || name.len() > 128).then_some("is no cookie name")
}

/// A token of RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::{bad_cookie, hidden_header, is_name};

    #[test]
    fn hides_what_is_no_plugins_business() {
        for name in ["referer", "user-agent", "cf-ipcountry", "x-forwarded-for", "accept-language", "range"] {
            assert_eq!(hidden_header(name), None, "{name}");
        }
        for name in [
            "",
            "a b",
            "é",
            "a:",
            "Referer",
            "connection",
            "te",
            "upgrade",
            "transfer-encoding",
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-request-id",
            "x-streamvault-tenant",
            "x-location-chat-id",
        ] {
            assert!(hidden_header(name).is_some(), "{name}");
        }
        assert_eq!(hidden_header(&"a".repeat(128)), None);
        assert!(hidden_header(&"a".repeat(129)).is_some());
    }

    #[test]
    fn knows_names() {
        assert!(is_name("a") && is_name("policy-tiers_2") && is_name(&"a".repeat(64)));
        for name in ["", "A", "a b", "a:b", "a{b", "é", "a/b", ".", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
        assert_eq!(bad_cookie("SV_access"), None);
        for name in ["", "a=b", "a;b", "a b", "é"] {
            assert!(bad_cookie(name).is_some(), "{name}");
        }
    }
}
