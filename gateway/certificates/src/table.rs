//! What handshakes and challenges are answered with. Read by every handshake without a lock.

use crate::chain::Chain;
use crate::name::wildcard_of;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The protocol of handshakes that are challenges (RFC 8737 §6.2).
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// Certificates by name, and challenges that are under way.
#[derive(Default)]
pub struct Table {
    /// From files: they outrank what was ordered.
    files: ArcSwap<Names>,
    /// For clients that name no host, or one that nobody has a certificate for.
    default: ArcSwap<Option<Arc<Chain>>>,
    ordered: ArcSwap<Names>,
    challenges: ArcSwap<Challenges>,
}

type Names = HashMap<String, Arc<Chain>>;

#[derive(Clone, Default)]
struct Challenges {
    /// Key authorizations by token.
    http: HashMap<String, String>,
    /// Certificates that prove it, by name.
    tls: HashMap<String, Arc<CertifiedKey>>,
}

impl Table {
    /// The certificate for a name in lower case: its own before a wildcard's, a file's before an ordered one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Chain>> {
        let (files, ordered) = (self.files.load(), self.ordered.load());
        let of = |name: &str| files.get(name).or_else(|| ordered.get(name)).cloned();
        of(name).or_else(|| of(&wildcard_of(name)?))
    }

    /// Whether a file has a certificate for a name in lower case, by its own name or a wildcard's. Nothing is ordered for such a name.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        let files = self.files.load();
        files.contains_key(name) || wildcard_of(name).is_some_and(|wildcard| files.contains_key(&wildcard))
    }

    /// The file's certificate that is shown when no other fits.
    #[must_use]
    pub fn default_chain(&self) -> Option<Arc<Chain>> {
        (**self.default.load()).clone()
    }

    /// All certificates with the name that each was kept for, in the order of names.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Arc<Chain>)> {
        let (files, ordered) = (self.files.load(), self.ordered.load());
        let mut all: Vec<_> = ordered
            .iter()
            .filter(|(name, _)| !files.contains_key(*name))
            .chain(files.iter())
            .map(|(name, chain)| (name.clone(), chain.clone()))
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Puts files' certificates in the place of those before. The first one is the default.
    pub fn set_files(&self, chains: &[Arc<Chain>]) {
        let mut names = Names::new();
        for chain in chains {
            for name in chain.names() {
                // Of several for one name the first stands, as in the settings.
                names.entry(name.clone()).or_insert_with(|| chain.clone());
            }
        }
        self.default.store(Arc::new(chains.first().cloned()));
        self.files.store(Arc::new(names));
    }

    /// Puts an ordered certificate in its place.
    pub fn set_ordered(&self, name: &str, chain: Arc<Chain>) {
        self.set_all_ordered(&[(name.to_owned(), chain)]);
    }

    /// The same for many, by one change.
    pub fn set_all_ordered(&self, chains: &[(String, Arc<Chain>)]) {
        if chains.is_empty() {
            return;
        }
        self.ordered.rcu(|names| {
            let mut names = Names::clone(names);
            names.extend(chains.iter().cloned());
            names
        });
    }

    /// Takes an ordered certificate away.
    pub fn forget_ordered(&self, name: &str) {
        self.ordered.rcu(|names| {
            let mut names = Names::clone(names);
            names.remove(name);
            names
        });
    }

    /// The body for `GET /.well-known/acme-challenge/{token}` (RFC 8555 §8.3), while that challenge is under way here.
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> Option<String> {
        self.challenges.load().http.get(token).cloned()
    }

    pub(crate) fn add_http(&self, token: &str, authorization: &str) {
        self.change(|challenges| drop(challenges.http.insert(token.to_owned(), authorization.to_owned())));
    }

    pub(crate) fn remove_http(&self, token: &str) {
        self.change(|challenges| drop(challenges.http.remove(token)));
    }

    pub(crate) fn add_tls(&self, name: &str, proof: &Arc<CertifiedKey>) {
        self.change(|challenges| drop(challenges.tls.insert(name.to_owned(), proof.clone())));
    }

    pub(crate) fn remove_tls(&self, name: &str) {
        self.change(|challenges| drop(challenges.tls.remove(name)));
    }

    fn change(&self, change: impl Fn(&mut Challenges)) {
        self.challenges.rcu(|challenges| {
            let mut challenges = Challenges::clone(challenges);
            change(&mut challenges);
            challenges
        });
    }
}

impl ResolvesServerCert for Table {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        // RFC 8737 §3: a challenge offers this protocol and no other, and must see the proof and nothing else.
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ACME_ALPN) && protocols.next().is_none() {
            return self.challenges.load().tls.get(&name?).cloned();
        }
        let own = name.and_then(|name| self.find(&name));
        Some(own.or_else(|| self.default_chain())?.certified().clone())
    }
}

impl fmt::Debug for Table {
    /// Names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list().iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::chain::Chain;
    use crate::chain::tests::pem;
    use std::sync::Arc;

    fn chain(names: &[&str]) -> Arc<Chain> {
        let (certificate, key) = pem(names);
        Arc::new(Chain::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap())
    }

    #[test]
    fn the_nearest_certificate_is_found() {
        let table = Table::default();
        let (own, wild, ordered) =
            (chain(&["films.example.com"]), chain(&["*.example.com", "example.com"]), chain(&["shop.example.com"]));
        table.set_files(&[wild.clone(), own.clone()]);
        table.set_ordered("shop.example.com", ordered.clone());
        table.set_ordered("films.example.com", ordered.clone());
        let found = |name: &str| table.find(name).map(|chain| chain.names()[0].clone());
        for (name, expected) in [
            ("films.example.com", Some("films.example.com")),
            ("other.example.com", Some("*.example.com")),
            ("example.com", Some("*.example.com")),
            ("shop.example.com", Some("shop.example.com")),
            ("a.b.example.com", None),
            ("example.org", None),
        ] {
            assert_eq!(found(name).as_deref(), expected, "{name}");
        }
        for (name, of_file) in [("films.example.com", true), ("shop.example.com", true), ("example.org", false)] {
            assert_eq!(table.has_file(name), of_file, "{name}");
        }
        assert_eq!(table.default_chain().unwrap().names(), wild.names());
        table.forget_ordered("shop.example.com");
        assert_eq!(found("shop.example.com").as_deref(), Some("*.example.com"));
    }

    #[test]
    fn challenges_come_and_go() {
        let table = Table::default();
        table.add_http("token", "token.thumb");
        assert_eq!(table.key_authorization("token").as_deref(), Some("token.thumb"));
        assert_eq!(table.key_authorization("other"), None);
        table.remove_http("token");
        assert_eq!(table.key_authorization("token"), None);
    }
}
