//! An account on a route, and the data-centres at the end of it.

use mtproto::{
    Account, Ask, CallFault, ClientConfig, Location, MessageRef, Route, RsaKeys, SessionFolder, SessionSeed,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::{Account as SimAccount, Channel, Content, Counts, Document, Sim, World, rsa_public_pem};
use tempfile::TempDir;

const CHANNEL: i64 = 1_234_567_890;
const SIZE: u64 = 3 * 1024 * 1024 + 77;
const SEED: u64 = 5;

/// The account's home, and where the second document lies.
pub(crate) const HOME: i32 = 2;
pub(crate) const ABROAD: i32 = 4;

pub(crate) struct Rig {
    pub(crate) sim: Sim,
    pub(crate) account: Arc<Account>,
    pub(crate) folder: SessionFolder,
    _temporary: TempDir,
}

pub(crate) fn world() -> World {
    let channel = Channel::new(CHANNEL, "films")
        .with_document(1, Document::generated("home.mkv", HOME, SIZE, SEED))
        .with_document(2, Document::generated("abroad.mkv", ABROAD, SIZE, SEED));
    World::new(3).with_account(SimAccount::bot("bot", 7001)).with_channel(channel)
}

pub(crate) fn config(route: Route) -> ClientConfig {
    ClientConfig {
        route,
        connections_min: 2,
        connections: 2,
        rsa_keys: RsaKeys::from_pem(&rsa_public_pem()).unwrap(),
        connect_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
        reconnect_first: Duration::from_millis(10),
        reconnect_last: Duration::from_millis(100),
        ..ClientConfig::default()
    }
}

impl Rig {
    /// An account that has no key abroad yet, so that making one is part of the way.
    pub(crate) fn start(sim: Sim, config: ClientConfig) -> Self {
        Self::start_with(sim, config, |_| {}, None)
    }

    pub(crate) fn start_with(
        sim: Sim,
        config: ClientConfig,
        change: impl FnOnce(&mut serde_json::Value),
        own_route: Option<&str>,
    ) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = SessionFolder::open(temporary.path()).unwrap();
        let mut seed = serde_json::to_value(&sim.seeds()[0]).unwrap();
        seed["auth_keys"].as_object_mut().unwrap().retain(|dc, _| *dc == HOME.to_string());
        change(&mut seed);
        folder.import(&SessionSeed::parse(&seed.to_string()).unwrap()).unwrap();
        folder.set_setting("bot", mtproto::Setting::Route, own_route).unwrap();
        let account = Account::open(&folder, "bot", Arc::new(config)).unwrap();
        Self { sim, account, folder, _temporary: temporary }
    }

    pub(crate) async fn locate(&self, message_id: i32) -> Location {
        let message = MessageRef { chat_id: -1_000_000_000_000 - CHANNEL, message_id };
        self.account.locate(message).await.unwrap()
    }

    /// Fetches some of both documents, and checks it.
    pub(crate) async fn fetch(&self) {
        self.account.bring_up().await.unwrap();
        for message in [1, 2] {
            let location = self.locate(message).await;
            for (offset, limit) in [(0, 4096), (1 << 20, 512 * 1024), (3 << 20, 4096)] {
                self.exact(&location, offset, limit).await.unwrap();
            }
        }
    }

    pub(crate) async fn exact(&self, location: &Location, offset: u64, limit: u32) -> Result<(), CallFault> {
        let bytes = self.account.get_chunk(location, offset, limit, &Ask::new(false)).await?;
        let mut expected = vec![0; usize::try_from(u64::from(limit).min(SIZE - offset)).unwrap()];
        Content::Generated { seed: SEED }.read_at(offset, &mut expected).unwrap();
        assert!(bytes == expected, "{offset}");
        Ok(())
    }

    pub(crate) fn counts(&self) -> Counts {
        self.sim.counters().snapshot()
    }

    /// Where connections came from, apart from those that came through the MTProxy in front.
    pub(crate) fn sources(&self) -> Vec<IpAddr> {
        self.counts().accepted_from.into_keys().collect()
    }
}

/// Waits for something that must come, however slow the machine.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// False on a machine without IPv6, where tests of it have nothing to test.
pub(crate) fn has_ipv6(sim: &Sim) -> bool {
    let has = sim.listen_on_ipv6().is_ok();
    if !has {
        eprintln!("skipped: this machine has no IPv6 loopback");
    }
    has
}
