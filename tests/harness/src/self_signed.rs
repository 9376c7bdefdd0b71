//! Certificates that vouch for themselves, for listeners with TLS.

use crate::{Failure, disk};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::path::Path;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// One, with its key, in a folder.
pub struct SelfSigned {
    /// What a listener's settings have of it: `tls = { … }`.
    pub tls: String,
    /// What a client that believes it has among its roots.
    pub certificate: CertificateDer<'static>,
}

/// Makes one for a host.
///
/// # Errors
/// When it can't be made or written.
pub fn self_signed(folder: &Path, host: &str) -> Result<SelfSigned, Failure> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![host.to_owned()])?;
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    disk::put(&certificate, cert.pem().as_bytes())?;
    disk::put(&key, signing_key.serialize_pem().as_bytes())?;
    Ok(SelfSigned {
        tls: format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}"),
        certificate: cert.der().clone(),
    })
}
