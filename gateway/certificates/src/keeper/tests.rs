//! What a keeper does before it asks an authority, and without one: none is reachable here.

use super::{Keeper, KeeperConfig, Now, Obtained, Vouch, WAITING};
use crate::acme::{AcmeConfig, ChallengeKind};
use crate::budget::Limits;
use crate::chain::tests::pem;
use crate::name::ServerName;
use crate::store::{Bundle, Claim, Store, StoreError};
use crate::table::Table;
use async_trait::async_trait;
use futures_util::FutureExt;
use parking_lot::Mutex;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A store in memory that several gateways could share.
#[derive(Default)]
struct Shelf {
    bundles: Mutex<BTreeMap<String, (String, Bundle)>>,
    /// What another gateway keeps just before a claim is given.
    meanwhile: Mutex<Option<(String, Bundle)>>,
    loads: Mutex<usize>,
    claims: Mutex<BTreeSet<String>>,
}

impl Shelf {
    fn put(&self, name: &str, mark: &str) {
        self.bundles.lock().insert(name.to_owned(), (mark.to_owned(), bundle(name)));
    }
}

#[async_trait]
impl Store for Shelf {
    async fn load(&self, name: &str) -> Result<Option<Bundle>, StoreError> {
        *self.loads.lock() += 1;
        Ok(self.bundles.lock().get(name).map(|(_, bundle)| bundle.clone()))
    }
    async fn save(&self, name: &str, bundle: &Bundle) -> Result<(), StoreError> {
        self.bundles.lock().insert(name.to_owned(), ("saved".to_owned(), bundle.clone()));
        Ok(())
    }
    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.bundles.lock().remove(name);
        Ok(())
    }
    async fn kept(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(self.bundles.lock().iter().map(|(name, (mark, _))| (name.clone(), mark.clone())).collect())
    }
    async fn account(&self, _: &str) -> Result<Option<SecretString>, StoreError> {
        Ok(None)
    }
    async fn save_account(&self, _: &str, _: &SecretString) -> Result<(), StoreError> {
        Ok(())
    }
    async fn claim(&self, name: &str, _: Duration) -> Result<Option<Claim>, StoreError> {
        if let Some((name, bundle)) = self.meanwhile.lock().take() {
            self.bundles.lock().insert(name, ("theirs".to_owned(), bundle));
        }
        let is_free = self.claims.lock().insert(name.to_owned());
        Ok(is_free.then(|| Claim { name: name.to_owned(), value: 1 }))
    }
    async fn release(&self, claim: Claim) {
        assert!(self.claims.lock().remove(&claim.name));
    }
    async fn post_challenge(&self, _: &str, _: &str, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }
    async fn challenge(&self, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    fn is_shared(&self) -> bool {
        true
    }
}

/// Vouches for names of tenants; of others that hang it never says a word.
struct Tenants;

#[async_trait]
impl Vouch for Tenants {
    async fn vouches(&self, host: &str) -> bool {
        if host.starts_with("slow") {
            std::future::pending::<()>().await;
        }
        host.starts_with("tenant")
    }
}

/// In January 2026: the test's certificates hold until April of that year.
const TODAY: Now = Now { unix: 1_768_435_200, tick: Duration::ZERO };
const TOO_LATE: Now = Now { unix: 1_800_000_000, tick: Duration::ZERO };

fn bundle(name: &str) -> Bundle {
    let (certificate, key) = pem(&[name]);
    Bundle::of(&certificate, &key)
}

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn keeper(shelf: &Arc<Shelf>) -> (Keeper, Arc<Table>) {
    // As the program does at its start. Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let acme = AcmeConfig {
        directory: "https://127.0.0.1:1/nobody".to_owned(),
        contact: Vec::new(),
        root: None,
        external_account: None,
        challenges: vec![ChallengeKind::Http01],
    };
    let table = Arc::new(Table::default());
    let config = KeeperConfig { acme, limits: Limits::default() };
    (Keeper::new(table.clone(), shelf.clone(), Arc::new(Tenants), config), table)
}

#[tokio::test]
async fn what_is_kept_is_read_when_it_is_new_and_not_again() {
    let shelf = Arc::new(Shelf::default());
    let (keeper, table) = keeper(&shelf);
    for number in 0..3 {
        shelf.put(&format!("tenant{number}.test"), "one");
    }
    assert_eq!(keeper.load().await.unwrap(), 3);
    keeper.tend(&[], TODAY).await;
    assert_eq!(*shelf.loads.lock(), 3, "nothing changed");
    shelf.put("tenant1.test", "two");
    assert_eq!(keeper.load().await.unwrap(), 1);
    assert_eq!((*shelf.loads.lock(), table.list().len()), (4, 3));
}

#[tokio::test]
async fn what_is_over_is_forgotten_if_it_is_nobodys() {
    let shelf = Arc::new(Shelf::default());
    let (keeper, table) = keeper(&shelf);
    for name in ["tenant.test", "gone.test"] {
        shelf.put(name, "one");
    }
    keeper.load().await.unwrap();
    keeper.tend(&[], TODAY).await;
    assert_eq!(table.list().len(), 2, "it still holds");
    keeper.tend(&[], TOO_LATE).await;
    let left: Vec<String> = table.list().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["tenant.test"]);
    assert_eq!(shelf.bundles.lock().keys().collect::<Vec<_>>(), ["tenant.test"]);
    shelf.put("gone.test", "one");
    assert_eq!(keeper.load().await.unwrap(), 1, "its mark was forgotten with it");
}

#[tokio::test]
async fn what_another_gateway_kept_before_the_claim_is_not_ordered_again() {
    let shelf = Arc::new(Shelf::default());
    let (keeper, _) = keeper(&shelf);
    *shelf.meanwhile.lock() = Some(("tenant.test".to_owned(), bundle("tenant.test")));
    assert!(matches!(keeper.obtain(&name("tenant.test"), TODAY).await, Obtained::Here));
    assert!(shelf.claims.lock().is_empty(), "the claim was given back");
    assert_eq!(keeper.counts().map(|(_, count)| count), [0; 4], "nobody was asked");
}

#[tokio::test]
async fn made_up_names_take_no_tenants_place() {
    let shelf = Arc::new(Shelf::default());
    let (keeper, _) = keeper(&shelf);
    let made_up: Vec<ServerName> = (0..=WAITING).map(|number| name(&format!("slow{number}.test"))).collect();
    let mut asked: Vec<_> = made_up.iter().map(|name| Box::pin(keeper.obtain(name, TODAY))).collect();
    assert!(asked.iter_mut().all(|asked| asked.now_or_never().is_none()), "all of them hang");
    shelf.put("tenant.test", "one");
    assert!(matches!(keeper.obtain(&name("tenant.test"), TODAY).await, Obtained::Here));
}
