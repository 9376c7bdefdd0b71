//! Accounts against a simulated data-centre, where the inside must be reached to break it.

use crate::{
    Account, CallFault, ClientConfig, LocateFault, Location, MAX_CHUNK, MessageRef, SessionFolder, SessionSeed,
};
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::{Account as SimAccount, Channel, Content, Document, Fault, Rule, Sim, When, World};
use tempfile::TempDir;

const CHANNEL: i64 = 1_234_567_890;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_000 - CHANNEL, message_id: 1 };
const SIZE: u64 = 2 * 1024 * 1024 + 77;

struct Rig {
    sim: Sim,
    account: Arc<Account>,
    _folder: TempDir,
}

impl Rig {
    fn start(account: SimAccount, dc: i32) -> Self {
        let channel = Channel::new(CHANNEL, "films").with_document(1, Document::generated("f.mkv", dc, SIZE, 5));
        let sim = Sim::start(World::new(3).with_account(account).with_channel(channel)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        let seed = SessionSeed::parse(&serde_json::to_string(&sim.seeds()[0]).unwrap()).unwrap();
        sessions.import(&seed).unwrap();
        let config = ClientConfig {
            connections: 2,
            call_timeout: Duration::from_millis(1500),
            reconnect_first: Duration::from_millis(10),
            ..ClientConfig::default()
        };
        let account = Account::open(&sessions, &seed.account, Arc::new(config)).unwrap();
        Self { sim, account, _folder: folder }
    }

    async fn exact(&self, location: &Location, offset: u64, limit: u32) {
        // A call may meet the connection's end; the pool tries again, and so does this test, but not for long.
        let mut tries = 0;
        let bytes = loop {
            match self.account.get_chunk(location, offset, limit).await {
                Ok(bytes) => break bytes,
                Err(CallFault::Dropped(_)) if tries < 50 => tries += 1,
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

#[tokio::test]
async fn dead_runners_are_rebuilt() {
    for dc in [2, 4] {
        let rig = Rig::start(SimAccount::bot("bot", 7001), dc);
        let location = rig.account.locate(MESSAGE).await.unwrap();
        for _ in 0..3 {
            rig.exact(&location, 0, MAX_CHUNK).await;
            rig.account.datacentre(dc).kill_runners().await;
        }
        rig.exact(&location, 2 * 1024 * 1024, 1024).await;
        assert!(rig.sim.counters().snapshot().calls("auth.exportAuthorization") <= 1);
    }
}

#[tokio::test]
async fn the_largest_chunk_and_all_rules_about_chunks_hold() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    for (offset, limit) in [(0, 1024), (1024, 3072), (4096, 4096), (512 * 1024, MAX_CHUNK), (64 * 1024, 448 * 1024)] {
        rig.exact(&location, offset, limit).await;
    }
    assert!(rig.account.get_chunk(&location, 4 << 20, 4096).await.unwrap().is_empty(), "past the end");
    let bad = [(0, 0), (1, 1024), (0, 1000), (0, MAX_CHUNK + 1024), (1_047_552, 2048)];
    for (offset, limit) in bad {
        assert!(matches!(rig.account.get_chunk(&location, offset, limit).await, Err(CallFault::Other(_))));
    }
    assert_eq!(rig.sim.counters().snapshot().calls("upload.getFile"), 6, "what is against the rules is not sent");
}

#[tokio::test]
async fn many_at_once_export_the_authorization_once_even_when_the_import_is_lost() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.sim.faults().add(Rule::on("auth.importAuthorization", Fault::Drop).when(When::Nth(1)));
    let calls = (0..8_u64).map(|n| {
        let (account, location) = (Arc::clone(&rig.account), location.clone());
        tokio::spawn(async move { account.get_chunk(&location, n * 4096, 4096).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(rig.sim.counters().snapshot().calls("auth.exportAuthorization"), 1);
}

#[tokio::test]
async fn a_forgotten_authorization_is_carried_again_but_not_in_a_loop() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.exact(&location, 0, 4096).await;
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::KeyUnregistered).when(When::First(1)));
    rig.exact(&location, 0, 4096).await;
    rig.sim.faults().clear();
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::KeyUnregistered));
    for _ in 0..5 {
        assert_eq!(rig.account.get_chunk(&location, 0, 4096).await, Err(CallFault::Unauthorized));
    }
    assert_eq!(rig.sim.counters().snapshot().calls("auth.exportAuthorization"), 3);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let rig = Rig::start(SimAccount::user("user", 7002), 2);
    for (chat_id, message_id, expected) in [
        (MESSAGE.chat_id, 99, LocateFault::NoMessage),
        (-1_000_000_000_777, 1, LocateFault::NoChat),
        (-5, 1, LocateFault::NoMessage),
        (0, 1, LocateFault::NoChat),
        (i64::MIN, 1, LocateFault::NoChat),
    ] {
        let found = rig.account.locate(MessageRef { chat_id, message_id }).await;
        assert_eq!(found.unwrap_err(), expected, "{chat_id}/{message_id}");
    }
    assert_eq!(
        rig.sim.counters().snapshot().calls("messages.getDialogs"),
        1,
        "a chat not found is not looked for again at once"
    );
    rig.sim.world().ban("user", None).unwrap();
    assert!(matches!(rig.account.locate(MESSAGE).await, Err(LocateFault::Call(CallFault::Banned(_)))));
}
