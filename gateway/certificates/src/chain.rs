//! A certificate with its chain and key, ready for handshakes.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate, what it is for and for how long.
#[derive(Clone, Debug)]
pub struct Chain {
    key: Arc<CertifiedKey>,
    names: Arc<[String]>,
    not_before: i64,
    not_after: i64,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No certificate in the text.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// No key in the text.
    #[error("there is no private key in it")]
    NoKey,
    /// The certificate is no X.509, or one without names.
    #[error("it is no certificate with DNS names")]
    NotACertificate,
    /// The key is of a kind that nobody signs with here, or of another certificate.
    #[error("key and certificate don't go together: {0}")]
    Mismatch(rustls::Error),
}

impl Chain {
    /// Reads both out of PEM: the certificate first, then those that lead to its root.
    ///
    /// # Errors
    /// [`ChainError`] says what is missing or does not fit.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ChainError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| ChainError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| ChainError::NoKey)?;
        Self::from_der(chain, key)
    }

    /// The same from DER.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn from_der(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, ChainError> {
        let leaf = chain.first().ok_or(ChainError::NoCertificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| ChainError::NotACertificate)?;
        let names = parsed.subject_alternative_name().map_err(|_| ChainError::NotACertificate)?;
        let names: Vec<String> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(ChainError::Mismatch)?;
        Ok(Self { key: Arc::new(key), names: names.into(), not_before, not_after })
    }

    /// What handshakes are answered with.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The DNS names it is for, in lower case, wildcards as `*.example.com`. A certificate for addresses only has none.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The last second of its time, since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// From when on another one should be had: when a third of its time is left (as Let's Encrypt advises), in seconds since 1970.
    #[must_use]
    pub fn renew_at(&self) -> i64 {
        self.not_after.saturating_sub(self.not_after.saturating_sub(self.not_before) / 3)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Chain, ChainError};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// A certificate of its own signing, and its key, as PEM.
    pub(crate) fn pem(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_chain_says_what_it_is_for_and_how_long() {
        let (certificate, key) = pem(&["Films.Example.com", "*.films.example.com"]);
        let chain = Chain::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(chain.names(), ["films.example.com", "*.films.example.com"]);
        // Ninety days, the last thirty of which are for renewing.
        assert_eq!(chain.not_after() - chain.renew_at(), 30 * 86_400);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (certificate, key) = pem(&["a.example.com"]);
        let (_, other) = pem(&["a.example.com"]);
        let chain = |certificate: &str, key: &str| Chain::from_pem(certificate.as_bytes(), key.as_bytes());
        assert!(matches!(chain("", &key), Err(ChainError::NoCertificate)));
        assert!(matches!(chain(&certificate, ""), Err(ChainError::NoKey)));
        assert!(matches!(chain(&certificate, &other), Err(ChainError::Mismatch(_))));
        let cut = &certificate[..certificate.len() / 2];
        assert!(chain(cut, &key).is_err());
    }
}
