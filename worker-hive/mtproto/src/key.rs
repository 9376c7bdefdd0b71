//! The key of the session store.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BYTES: usize = 32;
/// Longest file that may be a key's; anything longer is something else.
const LONGEST: u64 = 256;

/// 32 bytes that session files are encrypted with. Not printed by anything, wiped from memory with its last clone.
#[derive(Clone)]
pub struct StoreKey(Arc<SecretBox<[u8; BYTES]>>);

/// The key can't be had. No message holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or made.
    #[error("the store's key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner could read or change the key.
    #[error("the store's key file {} must be its owner's alone: chmod 600", .0.display())]
    Exposed(PathBuf),
    /// Not the form of a key.
    #[error("the store's key must be 32 bytes, as 64 hexadecimal digits or in base64")]
    Malformed,
    /// The system has no randomness to give.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] rand::rngs::SysError),
}

impl StoreKey {
    /// Reads the text form: 64 hexadecimal digits, or base64 of either alphabet, padded or not. Whitespace around it is ignored.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut key = SecretBox::new(Box::new([0; BYTES]));
        let bytes = Zeroizing::new(if text.len() == 2 * BYTES {
            text.as_bytes().chunks_exact(2).map(hex_byte).collect::<Option<Vec<u8>>>().ok_or(KeyError::Malformed)?
        } else {
            let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            [STANDARD, URL_SAFE]
                .iter()
                .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
                .ok_or(KeyError::Malformed)?
        });
        if bytes.len() != BYTES {
            return Err(KeyError::Malformed);
        }
        secrecy::ExposeSecretMut::expose_secret_mut(&mut key).copy_from_slice(&bytes);
        Ok(Self(Arc::new(key)))
    }

    /// Reads a key file, which nobody but its owner may have a right to.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        // Of the file that was opened, not of whatever has its name by now.
        let meta = file.metadata().map_err(failed)?;
        if meta.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed(path.to_owned()));
        }
        let mut text = Zeroizing::new(String::new());
        match file.take(LONGEST).read_to_string(&mut text) {
            Ok(_) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyError::Malformed),
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes a new key file of mode 0600. A file that is there already is left alone, as sessions may depend on it.
    ///
    /// # Errors
    /// [`KeyError::Io`], also when the file is there; [`KeyError::Random`].
    pub fn make(path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        let mut key = Zeroizing::new([0_u8; BYTES]);
        SysRng.try_fill_bytes(&mut *key)?;
        let mut text = Zeroizing::new(String::with_capacity(2 * BYTES + 1));
        for byte in key.iter() {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
        }
        text.push('\n');
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        // On the disk before anything is encrypted with it: a key lost to a power cut takes all sessions with it.
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    pub(crate) fn expose(&self) -> &[u8; BYTES] {
        self.0.expose_secret()
    }
}

/// Shows that there is one.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (high, low) = (digit(pair.first()?)?, digit(pair.get(1)?)?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::{KeyError, StoreKey};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_form_of_a_key_is_the_same_key() {
        let bytes: [u8; 32] = std::array::from_fn(|n| u8::try_from(255 - n * 7).unwrap());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let forms = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|form| form.encode(bytes));
        for text in forms.into_iter().chain([hex.clone(), hex.to_uppercase(), format!(" {hex}\r\n")]) {
            assert_eq!(StoreKey::parse(&text).unwrap().expose(), &bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_quoted() {
        for text in ["", "secretsecret", &"g".repeat(64), &"ab".repeat(31), &"ab".repeat(33), &"QUJD".repeat(10), "ü"]
        {
            let error = StoreKey::parse(text).unwrap_err();
            assert!(
                matches!(error, KeyError::Malformed)
                    && (text.is_empty() || !format!("{error:?}{error}").contains(text))
            );
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        StoreKey::make(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let key = StoreKey::read(&path).unwrap();
        assert!(matches!(StoreKey::make(&path), Err(KeyError::Io { .. })));
        assert_eq!(StoreKey::read(&path).unwrap().expose(), key.expose());
        assert!(!format!("{key:?}").contains(&key.expose()[0].to_string()));
        for mode in [0o640, 0o604, 0o660, 0o601, 0o610] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(StoreKey::read(&path), Err(KeyError::Exposed(_))), "{mode:o}");
        }
        assert!(matches!(StoreKey::read(folder.path()), Err(KeyError::Exposed(_) | KeyError::Io { .. })));
        assert!(matches!(StoreKey::read(&folder.path().join("none")), Err(KeyError::Io { .. })));
    }
}
