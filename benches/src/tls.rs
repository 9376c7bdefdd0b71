//! One certificate for all servers of a rig, and a client that trusts it.

use crate::rig::put;
use harness::Failure;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The name in the certificate.
pub(crate) const NAME: &str = "films.test";

/// ECDSA on P-256, self-signed, as PEM files.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn make(folder: &Path) -> Result<Self, Failure> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![NAME.to_owned()])?;
        let (chain, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        put(&chain, cert.pem().as_bytes())?;
        put(&key, signing_key.serialize_pem().as_bytes())?;
        Ok(Self { chain, key, der: cert.der().clone() })
    }

    /// A client that speaks HTTP/1.1 without asking for it, as wrk does, and never resumes a session.
    pub(crate) fn connector(&self) -> Result<TlsConnector, Failure> {
        self.connector_for(None)
    }

    /// A client that asks for this protocol.
    pub(crate) fn connector_of(&self, protocol: &[u8]) -> Result<TlsConnector, Failure> {
        self.connector_for(Some(protocol))
    }

    fn connector_for(&self, protocol: Option<&[u8]>) -> Result<TlsConnector, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let mut config =
            builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
        config.alpn_protocols.extend(protocol.map(<[u8]>::to_vec));
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// What client and server agreed on.
pub(crate) fn agreed(connection: &ClientConnection) -> String {
    let version = connection.protocol_version().map(|version| format!("{version:?}"));
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    [version, suite, group].map(Option::unwrap_or_default).join(", ")
}
