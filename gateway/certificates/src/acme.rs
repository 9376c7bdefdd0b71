//! One order at an ACME server, from its beginning to the certificate (RFC 8555 §7.4).

use crate::name::ServerName;
use crate::store::{Bundle, Store, StoreError};
use crate::table::Table;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier, KeyAuthorization,
    NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long an authority may take to look at a challenge, and to sign.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a challenge stands for other gateways to answer.
pub(crate) const CHALLENGE_TIME: Duration = Duration::from_secs(300);

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// By a file over plain HTTP on port 80 (RFC 8555 §8.3).
    Http01,
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
}

/// The authority, and who asks it.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// Address of its directory.
    pub directory: String,
    /// `mailto:` addresses that it may write to.
    pub contact: Vec<String>,
    /// PEM file of the root that vouches for the authority's own certificate; the system's roots if none.
    pub root: Option<PathBuf>,
    /// For authorities that want one (RFC 8555 §7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// Which proofs to try, in this order.
    pub challenges: Vec<ChallengeKind>,
}

/// An account at the authority that exists already.
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    /// Its key's id.
    pub id: String,
    /// The key, base64url without padding, as the authority gives it.
    pub key: SecretString,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The authority refused, or could not be asked.
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    /// It offers none of the proofs that we have.
    #[error("the authority offers no challenge that can be answered")]
    NoChallenge,
    /// It looked and was not convinced.
    #[error("the challenge failed; does the name lead here?")]
    Unproven,
    /// What it gave is no certificate.
    #[error("the certificate can't be used: {0}")]
    Chain(#[from] crate::chain::ChainError),
    /// What should be kept can't be.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The account's key, or a proof, can't be made.
    #[error("{0}")]
    Own(String),
}

/// The account: the store's, or a new one, which the store has afterwards.
pub(crate) async fn account(config: &AcmeConfig, store: &dyn Store) -> Result<Account, IssueError> {
    let builder = || match &config.root {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    };
    if let Some(text) = store.account(&config.directory).await? {
        let credentials: AccountCredentials = serde_json::from_str(text.expose_secret())
            .map_err(|_| IssueError::Own("the account that was kept can't be read".to_owned()))?;
        return Ok(builder()?.from_credentials(credentials).await?);
    }
    let external = config.external_account.as_ref().map(external).transpose()?;
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder()?.create(&new, config.directory.clone(), external.as_ref()).await?;
    let text = serde_json::to_string(&credentials).map_err(|error| IssueError::Own(error.to_string()))?;
    store.save_account(&config.directory, &SecretString::from(text)).await?;
    Ok(account)
}

fn external(external: &ExternalAccount) -> Result<ExternalAccountKey, IssueError> {
    let key = base64_url(external.key.expose_secret())
        .ok_or_else(|| IssueError::Own("the external account's key is not base64url".to_owned()))?;
    Ok(ExternalAccountKey::new(external.id.clone(), &key))
}

/// Decodes base64url (RFC 4648 §5), padded or not.
fn base64_url(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// What stands in the table while a challenge is under way, and is taken out at its end, however it comes.
struct Standing<'a> {
    table: &'a Table,
    token: Option<String>,
    name: Option<String>,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            self.table.remove_http(token);
        }
        if let Some(name) = &self.name {
            self.table.remove_tls(name);
        }
    }
}

/// Orders a certificate for a name, proven in this way.
pub(crate) async fn order(
    account: &Account,
    name: &ServerName,
    kind: ChallengeKind,
    table: &Table,
    store: &dyn Store,
) -> Result<Bundle, IssueError> {
    let identifiers = [Identifier::Dns(name.as_str().to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut standing = Standing { table, token: None, name: None };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            // A proof of some days ago may still hold.
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(IssueError::Unproven),
        }
        let wanted = match kind {
            ChallengeKind::Http01 => ChallengeType::Http01,
            ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut challenge = authorization.challenge(wanted).ok_or(IssueError::NoChallenge)?;
        let proof = challenge.key_authorization();
        match kind {
            ChallengeKind::Http01 => {
                table.add_http(&challenge.token, proof.as_str());
                standing.token = Some(challenge.token.clone());
                store.post_challenge(&challenge.token, proof.as_str(), CHALLENGE_TIME).await?;
            }
            ChallengeKind::TlsAlpn01 => {
                table.add_tls(name.as_str(), &proof_certificate(name, &proof)?);
                standing.name = Some(name.as_str().to_owned());
            }
        }
        challenge.set_ready().await?;
    }
    let patience = RetryPolicy::new().timeout(PATIENCE);
    if order.poll_ready(&patience).await? != OrderStatus::Ready {
        return Err(IssueError::Unproven);
    }
    drop(standing);
    let key = KeyPair::generate().map_err(own)?;
    let mut params = CertificateParams::new(vec![name.as_str().to_owned()]).map_err(own)?;
    // rcgen would put a name of its own here, which is none of those that were ordered (RFC 8555 §7.4).
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(own)?;
    order.finalize_csr(request.der()).await?;
    let certificates = order.poll_certificate(&patience).await?;
    Ok(Bundle::of(&certificates, &key.serialize_pem()))
}

/// The certificate that is a proof (RFC 8737 §3): of its own signing, for the name, with the proof's digest in it.
fn proof_certificate(name: &ServerName, proof: &KeyAuthorization) -> Result<Arc<CertifiedKey>, IssueError> {
    let mut params = CertificateParams::new(vec![name.as_str().to_owned()]).map_err(own)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
    let key = KeyPair::generate().map_err(own)?;
    let certificate = params.self_signed(&key).map_err(own)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| IssueError::Own(error.to_string()))?;
    // Not by `from_der`, which checks what both were made for here: webpki refuses certificates whose critical extensions it does not know,
    // and the proof is one.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
}

fn own(error: rcgen::Error) -> IssueError {
    IssueError::Own(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::base64_url;

    #[test]
    fn keys_of_external_accounts_are_read_padded_or_not() {
        for (text, bytes) in
            [("-_8", Some(vec![0xfb, 0xff])), ("-_8=", Some(vec![0xfb, 0xff])), ("+/8", None), ("a", None)]
        {
            assert_eq!(base64_url(text), bytes, "{text}");
        }
    }
}
