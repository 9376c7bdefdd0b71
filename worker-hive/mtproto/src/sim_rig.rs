//! An account in front of a simulated data-centre, for tests that must reach the inside.

use crate::{Account, Ask, CallFault, ClientConfig, Location, MessageRef, RsaKeys, SessionFolder, SessionSeed};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::{Account as SimAccount, Channel, Content, Document, Sim, World, rsa_public_pem};
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const CHANNEL: i64 = 1_234_567_890;
pub(crate) const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_000 - CHANNEL, message_id: 1 };
pub(crate) const SIZE: u64 = 6 * 1024 * 1024 + 77;

pub(crate) struct Rig {
    pub(crate) sim: Sim,
    pub(crate) account: Arc<Account>,
    _folder: TempDir,
}

impl Rig {
    pub(crate) fn start(account: SimAccount, dc: i32) -> Self {
        Self::start_with(account, dc, |_| {})
    }

    pub(crate) fn start_with(account: SimAccount, dc: i32, change: impl Fn(&mut serde_json::Value)) -> Self {
        let channel = Channel::new(CHANNEL, "films").with_document(1, Document::generated("f.mkv", dc, SIZE, 5));
        Self::start_in(account, channel, change)
    }

    pub(crate) fn start_in(account: SimAccount, channel: Channel, change: impl Fn(&mut serde_json::Value)) -> Self {
        let sim = Sim::start(World::new(3).with_account(account).with_channel(channel)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        let mut seed = serde_json::to_value(&sim.seeds()[0]).unwrap();
        change(&mut seed);
        let seed = SessionSeed::parse(&seed.to_string()).unwrap();
        sessions.import(&seed).unwrap();
        let config = ClientConfig {
            connections_min: 2,
            connections: 2,
            call_timeout: Duration::from_millis(1500),
            reconnect_first: Duration::from_millis(10),
            rsa_keys: RsaKeys::from_pem(&rsa_public_pem()).unwrap(),
            ..ClientConfig::default()
        };
        let account = Account::open(&sessions, &seed.account, Arc::new(config)).unwrap();
        Self { sim, account, _folder: folder }
    }

    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.sim.counters().snapshot().calls(method)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.sim.counters().snapshot().accepted.values().sum()
    }

    /// Asks for `count` chunks of `limit` bytes at once.
    pub(crate) fn ask(
        &self,
        location: &Location,
        from: u64,
        count: u64,
        limit: u32,
    ) -> Vec<JoinHandle<Result<Bytes, CallFault>>> {
        (0..count)
            .map(|n| {
                let (account, location) = (Arc::clone(&self.account), location.clone());
                tokio::spawn(async move {
                    account.get_chunk(&location, from + n * u64::from(limit), limit, &Ask::new(false)).await
                })
            })
            .collect()
    }

    pub(crate) async fn exact(&self, location: &Location, offset: u64, limit: u32) {
        // A call may meet the connection's end; the pool tries again, and so does this test, but not for long.
        let mut tries = 0;
        let bytes = loop {
            match self.account.get_chunk(location, offset, limit, &Ask::new(false)).await {
                Ok(bytes) => break bytes,
                Err(CallFault::Dropped(_)) if tries < 200 => tries += 1,
                Err(fault) => panic!("{fault}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut expected = vec![0; bytes.len()];
        Content::Generated { seed: 5 }.read_at(offset, &mut expected).unwrap();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), u64::from(limit).min(SIZE.saturating_sub(offset)));
        assert!(bytes == expected);
    }
}

/// Waits for something that must come, however slow the machine.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
