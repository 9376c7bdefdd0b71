//! The secret of an MTProxy, in the forms that people pass around.

use crate::route::RouteError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt::Write as _;

const LENGTH: usize = 16;
/// In front of a secret: packets get random padding.
const PADDED: u8 = 0xdd;
/// In front of a secret: the connection is dressed up as TLS to the host whose name follows the secret.
const FAKE_TLS: u8 = 0xee;

/// The 16 bytes that the proxy's ciphers depend on, and whether packets are padded. Has no `Debug`.
#[derive(Clone)]
pub(crate) struct ProxySecret {
    pub(crate) key: [u8; LENGTH],
    pub(crate) padded: bool,
}

impl ProxySecret {
    /// Reads hexadecimal digits or base64, the alphabet of URLs or the old one, padded or not.
    pub(crate) fn parse(text: &str) -> Result<Self, RouteError> {
        let bytes = hex(text)
            .or_else(|| {
                let text = text.trim_end_matches('=');
                URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
            })
            .ok_or(RouteError::Secret)?;
        match bytes.as_slice() {
            key if key.len() == LENGTH => Ok(Self { key: exactly(key)?, padded: false }),
            [PADDED, key @ ..] => Ok(Self { key: exactly(key)?, padded: true }),
            [FAKE_TLS, rest @ ..] if rest.len() >= LENGTH => Err(RouteError::FakeTls),
            _ => Err(RouteError::Secret),
        }
    }

    pub(crate) fn to_hex(&self) -> String {
        let mut text = if self.padded { format!("{PADDED:02x}") } else { String::new() };
        for byte in self.key {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

fn exactly(key: &[u8]) -> Result<[u8; LENGTH], RouteError> {
    key.try_into().map_err(|_| RouteError::Secret)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::ProxySecret;
    use crate::route::RouteError;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    const KEY: [u8; 16] = [0xfb; 16];

    #[test]
    fn every_form_is_read() {
        let padded = [&[0xdd][..], &KEY].concat();
        let table = [
            ("fb".repeat(16), false),
            ("FB".repeat(16), false),
            (format!("dd{}", "fb".repeat(16)), true),
            (URL_SAFE_NO_PAD.encode(KEY), false),
            (STANDARD.encode(KEY), false),
            (URL_SAFE_NO_PAD.encode(&padded), true),
            (STANDARD.encode(&padded), true),
        ];
        for (text, padded) in table {
            let secret = ProxySecret::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((secret.key, secret.padded), (KEY, padded), "{text}");
            assert_eq!(secret.to_hex().len(), if padded { 34 } else { 32 });
        }
    }

    #[test]
    fn what_is_no_secret_or_wants_a_disguise_is_refused() {
        let disguised = [&[0xee][..], &KEY, b"example.com"].concat();
        let fake = [format!("ee{}6578616d706c652e636f6d", "fb".repeat(16)), URL_SAFE_NO_PAD.encode(disguised)];
        for text in fake {
            assert_eq!(ProxySecret::parse(&text).err(), Some(RouteError::FakeTls), "{text}");
        }
        let long = "fb".repeat(17);
        for text in ["", "fb", "zz", "%%%", "dd", "ee", "ddfb", &long, &"fb".repeat(15), &format!("dd{long}")] {
            assert_eq!(ProxySecret::parse(text).err(), Some(RouteError::Secret), "{text}");
        }
    }
}
