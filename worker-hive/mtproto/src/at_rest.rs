//! What lies on the disk: nothing that is secret once there is a key, and nothing lost on the way there.

use crate::key::StoreKey;
use crate::schema::StoreError;
use crate::seed::SessionSeed;
use crate::setting::Setting;
use crate::store::PeerRecord;
use crate::{FolderLock, SessionFolder};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const KEY: [u8; 16] = *b"an-auth-key-of-2";
const HASH: i64 = 0x0123_4567_89ab_cdef;
const ROUTE: &str = "socks5://user:a-password@127.0.0.1:1080";
const CHANNEL: i64 = -1_000_000_000_005;

fn key(digit: &str) -> Option<StoreKey> {
    Some(StoreKey::parse(&digit.repeat(64)).unwrap())
}

fn seed(account: &str) -> SessionSeed {
    let auth_key: [u8; 256] = std::array::from_fn(|n| KEY[n % 16]);
    SessionSeed::carried(account, 2, auth_key, 1).unwrap().with_identity(7, true).with_peer(CHANNEL, HASH)
}

fn folder(path: &Path, key: Option<StoreKey>) -> SessionFolder {
    SessionFolder::open(path).unwrap().with_key(key)
}

/// True when any file of the folder holds one of the secrets, in any form that they were ever written in.
fn leaks(path: &Path) -> bool {
    let needles: [&[u8]; 4] = [&KEY, &HASH.to_be_bytes(), &HASH.to_le_bytes(), b"a-password"];
    std::fs::read_dir(path).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == *needle))
    })
}

fn all_is_there(sessions: &SessionFolder, account: &str) {
    let seed = sessions.export(account).unwrap();
    assert_eq!(seed.home_key().unwrap()[..16], KEY);
    assert_eq!(seed.peers().collect::<Vec<_>>(), [(CHANNEL, HASH)]);
    assert_eq!(sessions.setting(account, Setting::Route).unwrap().as_deref(), Some(ROUTE));
}

#[tokio::test]
async fn with_a_key_nothing_secret_ever_lies_on_the_disk() {
    let at = tempfile::tempdir().unwrap();
    let sessions = folder(at.path(), key("1"));
    sessions.import(&seed("one")).unwrap();
    assert!(!leaks(at.path()));
    sessions.set_setting("one", Setting::Route, Some(ROUTE)).unwrap();
    let store = sessions.open_store("one").unwrap();
    let auth_key = std::array::from_fn(|n| KEY[n % 16]);
    store.save_dc(4, None, None, Some(auth_key)).await.unwrap();
    let peer = PeerRecord { access_hash: Some(HASH), ..PeerRecord::default() };
    store.save_peers(vec![(CHANNEL - 1, peer)]).await.unwrap();
    assert!(!leaks(at.path()), "not in the journal either");
    store.close().await.unwrap();
    assert!(!leaks(at.path()));
    let store = sessions.open_store("one").unwrap();
    assert_eq!((store.dc(4).unwrap().auth_key, store.peer(CHANNEL - 1)), (Some(auth_key), Some(peer)));
    assert_eq!(store.setting(Setting::Route).as_deref(), Some(ROUTE));
    assert!(store.info().encrypted && store.info().key_id == seed("one").key_id());
    for entry in std::fs::read_dir(at.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_plain_store_is_encrypted_by_the_run_that_has_a_key_and_leaves_no_trace() {
    let at = tempfile::tempdir().unwrap();
    let plain = folder(at.path(), None);
    plain.import(&seed("one")).unwrap();
    plain.set_setting("one", Setting::Route, Some(ROUTE)).unwrap();
    all_is_there(&plain, "one");
    // Rows that went, and so leave their bytes in unused corners.
    let file = Connection::open(at.path().join("one.session")).unwrap();
    for id in 1..2000 {
        file.execute("INSERT INTO peer (id, access_hash) VALUES (?1, ?2)", [id, HASH]).unwrap();
    }
    file.execute("DELETE FROM peer WHERE id > 0", []).unwrap();
    drop(file);
    assert!(leaks(at.path()));
    let sealed = folder(at.path(), key("1"));
    assert!(!sealed.describe("one").unwrap().encrypted, "who looks changes nothing");
    all_is_there(&sealed, "one");
    let store = sealed.open_store("one").unwrap();
    assert!(store.info().encrypted && !leaks(at.path()));
    all_is_there(&sealed, "one");
    store.close().await.unwrap();
    assert!(!leaks(at.path()));
    for (wrong, error) in [(None, "no key is configured"), (key("2"), "with another key")] {
        let wrong = folder(at.path(), wrong);
        for refused in [
            wrong.describe("one").map(drop),
            wrong.open_store("one").map(drop),
            wrong.setting("one", Setting::Route).map(drop),
            wrong.set_setting("one", Setting::Route, None),
            wrong.export("one").map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.to_string().contains(error) && !format!("{refused:?}").contains("22"), "{refused:?}");
        }
    }
    all_is_there(&sealed, "one");
}

/// A crash at any point: the files as they lie on the disk, journal included, are copied after each step and gone on with.
#[test]
fn a_crash_during_the_encryption_loses_nothing_and_is_made_good() {
    let at = tempfile::tempdir().unwrap();
    let plain = folder(at.path(), None);
    plain.import(&seed("one")).unwrap();
    plain.set_setting("one", Setting::Route, Some(ROUTE)).unwrap();
    let path = at.path().join("one.session");
    let stop = |steps: &str| {
        let copy = tempfile::tempdir().unwrap();
        let mut file = crate::schema::open(&path).unwrap();
        match steps {
            "uncommitted" => file.execute_batch("BEGIN IMMEDIATE; UPDATE datacentre SET auth_key = NULL").unwrap(),
            "committed" => drop(crate::rows::reseal(&mut file, None, key("1").as_ref().unwrap()).unwrap()),
            _ => crate::rows::scrub(&file).unwrap(),
        }
        for entry in std::fs::read_dir(at.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    };
    for steps in ["uncommitted", "committed", "scrubbed"] {
        let copy = stop(steps);
        let again = folder(copy.path(), key("1"));
        let store = again.open_store("one").unwrap();
        assert!(store.info().encrypted, "{steps}");
        drop(store);
        all_is_there(&again, "one");
        assert!(!leaks(copy.path()), "{steps}");
    }
}

#[test]
fn a_change_of_the_key_goes_on_where_it_was_cut_off() {
    let at = tempfile::tempdir().unwrap();
    let (old, plain) = (folder(at.path(), key("1")), folder(at.path(), None));
    for (sessions, account) in [(&plain, "c"), (&old, "a"), (&old, "b")] {
        sessions.import(&seed(account)).unwrap();
        sessions.set_setting(account, Setting::Route, Some(ROUTE)).unwrap();
    }
    let lock: FolderLock = old.lock().unwrap();
    let new = folder(at.path(), key("3"));
    // As a change that ended after the first of them leaves them.
    let mut first = crate::schema::open(&at.path().join("a.session")).unwrap();
    crate::rows::reseal(&mut first, key("1").as_ref(), key("3").as_ref().unwrap()).unwrap();
    drop(first);
    assert!(matches!(old.open_store("a").map(drop), Err(StoreError::WrongKey)));
    assert_eq!(old.change_key(&lock, key("3").as_ref().unwrap()).unwrap(), ["b", "c"]);
    assert_eq!(old.change_key(&lock, key("3").as_ref().unwrap()).unwrap(), Vec::<String>::new());
    for account in ["a", "b", "c"] {
        all_is_there(&new, account);
        assert!(matches!(old.describe(account), Err(StoreError::WrongKey)));
    }
    assert!(!leaks(at.path()));
    let (account, error) = folder(at.path(), key("1")).change_key(&lock, key("4").as_ref().unwrap()).unwrap_err();
    assert!(account == "a" && matches!(error, StoreError::WrongKey));
}

#[test]
fn cells_that_were_moved_or_changed_are_not_believed() {
    let moves = [
        "UPDATE datacentre SET sealed_key = (SELECT sealed_key FROM datacentre WHERE id = 4) WHERE id = 2",
        "UPDATE peer SET id = id - 1",
        "UPDATE datacentre SET sealed_key = zeroblob(296)",
        "UPDATE datacentre SET sealed_key = substr(sealed_key, 1, 100)",
        "UPDATE datacentre SET sealed_key = NULL, auth_key = zeroblob(256)",
        "UPDATE setting SET name = 'disabled'",
        "DELETE FROM seal",
        "UPDATE seal SET file = zeroblob(16)",
    ];
    for change in moves {
        let at = tempfile::tempdir().unwrap();
        let sessions = folder(at.path(), key("1"));
        let json = seed("one").to_json();
        let json = secrecy::ExposeSecret::expose_secret(&json).replace("\"2\":", "\"4\": \"K\", \"2\":");
        sessions.import(&SessionSeed::parse(&json.replace('K', &"ab".repeat(256))).unwrap()).unwrap();
        sessions.set_setting("one", Setting::Route, Some(ROUTE)).unwrap();
        let file = Connection::open(at.path().join("one.session")).unwrap();
        file.execute(change, []).unwrap();
        drop(file);
        let refused = sessions.open_store("one").map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_) | StoreError::WrongKey), "{change}: {refused}");
    }
}

#[test]
fn a_store_with_a_key_takes_nothing_that_was_not_made_with_it() {
    let at = tempfile::tempdir().unwrap();
    let sealed = folder(at.path(), key("1"));
    sealed.import(&seed("one")).unwrap();
    let lock = sealed.lock().unwrap();
    for wrong in [folder(at.path(), None), folder(at.path(), key("2"))] {
        let fits = |refused: &StoreError| matches!(refused, StoreError::KeyNeeded | StoreError::WrongKey);
        assert!(wrong.import(&seed("two")).is_err_and(|refused| fits(&refused)));
        assert!(wrong.replace(&seed("two"), &lock).is_err_and(|refused| fits(&refused)));
        assert!(wrong.check_key(None).is_err_and(|(account, refused)| account == "one" && fits(&refused)));
    }
    assert!(!leaks(at.path()) && sealed.accounts().unwrap() == ["one"]);
    // With the key lost, a session that is signed in anew takes the place of the only one that needed it.
    let other = folder(at.path(), key("2"));
    other.replace(&seed("one"), &lock).unwrap();
    other.import(&seed("two")).unwrap();
    assert!(!leaks(at.path()));
}

#[tokio::test]
async fn a_journal_left_behind_is_not_the_next_sessions() {
    let at = tempfile::tempdir().unwrap();
    let sessions = folder(at.path(), None);
    sessions.import(&seed("one")).unwrap();
    let store = sessions.open_store("one").unwrap();
    store.set_identity(8, true, true).await.unwrap();
    let journal = at.path().join("one.session-wal");
    let left = std::fs::read(&journal).unwrap();
    drop(store);
    // As after a crash, and an operator who cleaned up in a hurry.
    std::fs::remove_file(at.path().join("one.session")).unwrap();
    std::io::Write::write_all(&mut std::fs::File::create(&journal).unwrap(), &left).unwrap();
    let other = SessionSeed::carried("one", 4, [7; 256], 1).unwrap().with_identity(9, false);
    sessions.import(&other).unwrap();
    let info = sessions.describe("one").unwrap();
    assert_eq!((info.user_id, info.home_dc, info.key_id), (9, 4, other.key_id()));
}

#[test]
fn a_session_in_use_is_not_removed() {
    let at = tempfile::tempdir().unwrap();
    let sessions = folder(at.path(), key("1"));
    sessions.import(&seed("one")).unwrap();
    let store = sessions.open_store("one").unwrap();
    assert!(matches!(sessions.remove("one"), Err(StoreError::Busy)));
    assert_eq!(sessions.accounts().unwrap(), ["one"]);
    drop(store);
    sessions.remove("one").unwrap();
    assert!(sessions.accounts().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0, "nor is a journal left");
    assert!(matches!(sessions.remove("one"), Err(StoreError::Missing(_))));
}

/// Version 1 of the file, as the release before left it.
#[tokio::test]
async fn a_file_of_the_release_before_is_taken_over_under_its_run() {
    let at = tempfile::tempdir().unwrap();
    let sessions = folder(at.path(), None);
    sessions.import(&seed("one")).unwrap();
    let path = at.path().join("one.session");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(
        "DROP TABLE setting; DROP TABLE seal; ALTER TABLE datacentre DROP COLUMN sealed_key;
         ALTER TABLE peer DROP COLUMN sealed_hash; PRAGMA user_version = 1",
    )
    .unwrap();
    // A run of that release still has it open, and goes on writing as it did.
    let mut write = file
        .prepare("INSERT OR REPLACE INTO peer (id, access_hash, bot, is_self, channel_kind) VALUES (?1, 5, 0, 0, 0)")
        .unwrap();
    assert_eq!(sessions.describe("one").unwrap().peers, 1);
    write.execute([44]).unwrap();
    assert_eq!(sessions.describe("one").unwrap().peers, 2);
    sessions.set_setting("one", Setting::Disabled, Some("1")).unwrap();
    assert!(sessions.describe("one").unwrap().disabled);
}
