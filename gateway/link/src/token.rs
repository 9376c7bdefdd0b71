//! Tokens: base64url text that carries a hash.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bytes of the longest hash.
const LONGEST: usize = 32;

/// Takes any last character, as nginx does: for 16 bytes it carries four bits that mean nothing.
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// One spelling per hash.
const EXACT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// nginx's rule: at most 24 characters, decoding stops at the first `=`, 16 bytes must come out. A comma fails, because
/// nginx splits token and expiry at the first one. With `strict` only the canonical text without padding passes.
pub(crate) fn decode_md5(token: &[u8], strict: bool) -> Option<[u8; 16]> {
    if token.len() > 24 || token.contains(&b',') {
        return None;
    }
    if strict {
        return decode(&EXACT, token);
    }
    let end = token.iter().position(|byte| *byte == b'=').unwrap_or(token.len());
    decode(&LOOSE, token.get(..end)?)
}

/// Has no history to be kept: 43 canonical characters, no padding.
pub(crate) fn decode_sha256(token: &[u8]) -> Option<[u8; 32]> {
    decode(&EXACT, token)
}

/// The canonical text, without padding.
pub(crate) fn encode(hash: &[u8]) -> String {
    EXACT.encode(hash)
}

/// `N` is [`LONGEST`] at most.
fn decode<const N: usize>(engine: &GeneralPurpose, text: &[u8]) -> Option<[u8; N]> {
    // Longer text can't give N bytes; don't decode what a stranger made long.
    if text.len() > N.div_ceil(3) * 4 {
        return None;
    }
    // Room for what whole quadruples could carry: the engine asks for as much.
    let mut bytes = [0; LONGEST.div_ceil(3) * 3];
    let length = engine.decode_slice(text, &mut bytes).ok()?;
    bytes.get(..length)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{decode_md5, decode_sha256, encode};

    #[test]
    fn md5_tokens_pass_as_in_nginx() {
        let hash = [0xfb; 16];
        let token = encode(&hash);
        assert_eq!(token, "-_v7-_v7-_v7-_v7-_v7-w");
        // (token, passes, passes when strict)
        let cases: &[(String, bool, bool)] = &[
            (token.clone(), true, true),
            (format!("{token}="), true, false),
            (format!("{token}=="), true, false),
            (format!("{token}=x"), true, false),
            (format!("{token}=,"), false, false),
            (format!("{token}==="), false, false),
            ("-_v7-_v7-_v7-_v7-_v7-x".into(), true, false),
            (token[..21].into(), false, false),
            (format!("{token}A"), false, false),
            (token.replace('_', "/"), false, false),
            (token.replace('-', "+"), false, false),
            (format!("{token}%3D"), false, false),
            (String::new(), false, false),
            ("=".into(), false, false),
        ];
        for (token, loose, strict) in cases {
            assert_eq!(decode_md5(token.as_bytes(), false), loose.then_some(hash), "{token}");
            assert_eq!(decode_md5(token.as_bytes(), true), strict.then_some(hash), "{token} strictly");
        }
    }

    #[test]
    fn sha256_tokens_have_one_spelling() {
        let token = encode(&[7; 32]);
        assert_eq!(decode_sha256(token.as_bytes()), Some([7; 32]));
        for other in [format!("{token}="), token[..42].to_owned(), format!("{}d", &token[..42])] {
            assert_eq!(decode_sha256(other.as_bytes()), None, "{other}");
        }
    }
}
