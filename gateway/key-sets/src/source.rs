//! One issuer's keys.

use crate::fetch::{FetchError, get};
use crate::timing::Timing;
use http::Uri;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use viewer::{Key, KeySetError, LONGEST_KEY_SET, Verifier, read_key_set};

/// How long a request waits for a key that its token names.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where keys are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// At an https address; `ca` is a PEM file of who may vouch for it, if the system's are not to.
    Url {
        /// The address.
        url: String,
        /// The file.
        ca: Option<PathBuf>,
    },
    /// In a file.
    File(PathBuf),
}

/// The source can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not an https address.
    #[error("{0:?} is no https address")]
    Url(String),
    /// The file of certificates can't be read, or has none.
    #[error("{0} has no certificates in PEM that can be read")]
    Ca(PathBuf),
    /// The system has no certificates to trust.
    #[error("the system's certificates can't be read; install ca-certificates, or set jwks.ca")]
    System,
    /// TLS can't be set up. A fault of the build.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there are no new keys. For operators.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("what is published is {0}")]
    KeySet(#[from] KeySetError),
    #[error("none of its keys can be used")]
    Useless,
}

/// One issuer's published keys, and when to look at them again. Times are on the caller's clock, which never goes back.
pub struct KeySet {
    source: Source,
    url: Option<(Uri, Arc<ClientConfig>)>,
    refresh: Duration,
    stale: Duration,
    timing: Mutex<Timing>,
    keys: Mutex<Vec<Key>>,
    /// One request at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("source", &self.source).finish_non_exhaustive()
    }
}

impl KeySet {
    /// Asks nobody yet. Keys older than `refresh` are asked for again, and those older than `stale` don't count.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(source: Source, refresh: Duration, stale: Duration) -> Result<Self, SetupError> {
        let url = match &source {
            Source::File(_) => None,
            Source::Url { url, ca } => {
                let parsed: Uri = url.parse().map_err(|_| SetupError::Url(url.clone()))?;
                if parsed.scheme_str() != Some("https") || parsed.host().is_none_or(str::is_empty) {
                    return Err(SetupError::Url(url.clone()));
                }
                Some((parsed, Arc::new(tls(ca.as_ref())?)))
            }
        };
        let (timing, keys, asking) = (Mutex::default(), Mutex::default(), Arc::default());
        Ok(Self { source, url, refresh, stale, timing, keys, asking })
    }

    /// Goes on with the keys of one that is replaced, if it is of the same source: so a change of settings waits for no issuer, and asks none.
    pub fn adopt(&self, before: &Self, verifier: &Verifier) {
        let Some(fetched) = before.timing.lock().fetched().filter(|_| before.source == self.source) else { return };
        let keys = before.keys.lock().clone();
        verifier.publish(&keys);
        *self.keys.lock() = keys;
        self.timing.lock().adopt(fetched);
    }

    /// Has the next [`Self::tend`] ask, however new the keys are: an operator wants to know. They count meanwhile.
    pub fn look_again(&self) {
        self.timing.lock().look_again();
    }

    /// To be called once in a while: asks when it is time, and withdraws keys that are too old.
    pub async fn tend(&self, verifier: &Verifier, now: Duration) {
        if self.timing.lock().is_due(now, self.refresh) {
            let _one = self.asking.lock().await;
            // Somebody else may have, while this one waited.
            if self.timing.lock().is_due(now, self.refresh) {
                self.ask(verifier, now).await;
            }
        }
        if self.timing.lock().is_stale(now, self.stale) {
            tracing::error!(issuer = %self, "its keys are too old: its tokens are refused until they can be had");
            self.timing.lock().forget();
            self.keys.lock().clear();
            verifier.publish(&[]);
        }
    }

    /// Asks for a key that a token named, unless that was done a moment ago. True if there may be new keys: it is worth another look.
    ///
    /// Nobody waits longer than two seconds. The request goes on when who caused it leaves, or is left waiting: else a stranger could keep it
    /// from ever ending.
    pub async fn renew(self: &Arc<Self>, verifier: &Arc<Verifier>, now: Duration) -> bool {
        let before = self.timing.lock().fetched();
        let asked = async {
            let Ok(one) = self.asking.clone().try_lock_owned() else {
                // What is under way may bring the key.
                drop(self.asking.lock().await);
                return;
            };
            if !self.timing.lock().may_ask(now) {
                return;
            }
            let (set, verifier) = (self.clone(), verifier.clone());
            let task = tokio::spawn(async move {
                let _one = one;
                set.ask(&verifier, now).await;
            });
            let _ = task.await;
        };
        let _ = tokio::time::timeout(PATIENCE, asked).await;
        self.timing.lock().fetched() != before
    }

    /// Whoever calls this holds `asking`.
    async fn ask(&self, verifier: &Verifier, now: Duration) {
        self.timing.lock().tries(now);
        let read = self.read().await;
        let done = read.and_then(|keys| {
            if verifier.publish(&keys) == 0 {
                // What was good must not go for something useless.
                verifier.publish(&self.keys.lock());
                return Err(Failure::Useless);
            }
            *self.keys.lock() = keys;
            Ok(())
        });
        self.timing.lock().ended(now, done.is_ok());
        match done {
            Ok(()) => tracing::debug!(issuer = %self, "has its keys"),
            Err(error) => tracing::warn!(issuer = %self, %error, "no new keys; the last ones count"),
        }
    }

    async fn read(&self) -> Result<Vec<Key>, Failure> {
        let bytes = match (&self.source, &self.url) {
            (Source::File(path), _) => {
                use tokio::io::AsyncReadExt;
                let mut bytes = Vec::new();
                let file = tokio::fs::File::open(path).await?;
                file.take(LONGEST_KEY_SET as u64 + 1).read_to_end(&mut bytes).await?;
                bytes.into()
            }
            (Source::Url { .. }, Some((url, tls))) => get(url, tls).await?,
            (Source::Url { .. }, None) => return Err(FetchError::Address.into()),
        };
        Ok(read_key_set(&bytes)?)
    }
}

impl std::fmt::Display for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.source, &self.url) {
            (Source::File(path), _) => write!(f, "{}", path.display()),
            // Without its query, in case somebody put a key there.
            (Source::Url { .. }, Some((url, _))) => write!(f, "{}{}", url.host().unwrap_or_default(), url.path()),
            (Source::Url { .. }, None) => Ok(()),
        }
    }
}

fn tls(ca: Option<&PathBuf>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let unread = || SetupError::Ca(path.clone());
            let all = CertificateDer::pem_file_iter(path).map_err(|_| unread())?;
            let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|_| unread())?;
            let (added, _) = roots.add_parsable_certificates(all);
            if added == 0 {
                return Err(unread());
            }
        }
        None => {
            let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 {
                return Err(SetupError::System);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
