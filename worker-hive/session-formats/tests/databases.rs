//! Session files, made as Telethon and Pyrogram make them, whole and damaged, with and without a journal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use rusqlite::{Connection, params};
use session_formats::{Format, FormatError, Peer, PortableSession, is_database, read_database, read_string};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TELETHON: &str = "
    create table version (version integer primary key);
    create table sessions (dc_id integer primary key, server_address text, port integer, auth_key blob,
        takeout_id integer, tmp_auth_key blob);
    create table entities (id integer primary key, hash integer not null, username text, phone integer, name text, date integer);
    insert into version values (8);";
const PYROGRAM: &str = "
    CREATE TABLE sessions (dc_id INTEGER PRIMARY KEY, api_id INTEGER, test_mode INTEGER, auth_key BLOB,
        date INTEGER NOT NULL, user_id INTEGER, is_bot INTEGER);
    CREATE TABLE peers (id INTEGER PRIMARY KEY, access_hash INTEGER, type INTEGER NOT NULL, username TEXT, phone_number TEXT);
    CREATE TABLE version (number INTEGER PRIMARY KEY);
    INSERT INTO version VALUES (3);";
const KEY: [u8; 256] = [0x5a; 256];
const CHANNEL: i64 = -1_001_234_567_890;

fn new(schema: &str) -> (TempDir, PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.session");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(schema).unwrap();
    (folder, path, file)
}

fn pyrogram() -> (TempDir, PathBuf, Connection) {
    let (folder, path, file) = new(PYROGRAM);
    file.execute("INSERT INTO sessions VALUES (4, 99, 0, ?1, 0, 7001, 1)", [&KEY[..]]).unwrap();
    file.execute("INSERT INTO peers (id, access_hash, type) VALUES (?1, -5, 'channel'), (-44, 0, 'group')", [CHANNEL])
        .unwrap();
    (folder, path, file)
}

fn beside(path: &Path, suffix: &str) -> Vec<u8> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    std::fs::read(name).unwrap_or_default()
}

fn read(path: &Path) -> Result<PortableSession, FormatError> {
    read_database(std::fs::read(path).unwrap(), &beside(path, "-wal"), &beside(path, "-journal"))
}

#[test]
fn a_pyrogram_file_with_its_peers() {
    let (_folder, path, file) = pyrogram();
    let session = read(&path).unwrap();
    assert_eq!((session.format, session.home_dc), (Some(Format::PyrogramFile), 4));
    assert_eq!((session.api_id, session.user_id, session.bot), (Some(99), Some(7001), Some(true)));
    assert_eq!((session.address, session.test_mode, session.auth_key.expose()), (None, false, &KEY));
    assert_eq!(session.peers, [Peer { id: CHANNEL, access_hash: -5 }], "a basic group has no hash");
    // As Kurigram's seventh version has it, before 2.0 had an application id, and when hashes were still wrong.
    file.execute_batch("ALTER TABLE sessions ADD server_address TEXT; ALTER TABLE sessions ADD port INTEGER").unwrap();
    file.execute("UPDATE sessions SET server_address = '127.0.0.1', port = 4430", []).unwrap();
    assert_eq!(read(&path).unwrap().address, Some("127.0.0.1:4430".parse().unwrap()));
    file.execute_batch("ALTER TABLE sessions DROP COLUMN api_id; UPDATE version SET number = 1").unwrap();
    let session = read(&path).unwrap();
    assert!(session.api_id.is_none() && session.peers.is_empty());
}

#[test]
fn a_telethon_file_with_its_peers_and_the_account_it_hides_among_them() {
    let (_folder, path, file) = new(TELETHON);
    let not_signed_in = Err(FormatError::NotSignedIn(Format::TelethonFile));
    assert_eq!(read(&path), not_signed_in, "no row");
    file.execute("insert into sessions values (2, '149.154.167.51', 443, x'', null, x'')", []).unwrap();
    assert_eq!(read(&path), not_signed_in, "no key");
    file.execute("update sessions set auth_key = ?1", [&KEY[..]]).unwrap();
    file.execute(
        "insert into entities values (?1, 5, 'films', null, 'Films', 1), (8, 9, null, null, 'x', 1)",
        [CHANNEL],
    )
    .unwrap();
    let session = read(&path).unwrap();
    assert_eq!((session.home_dc, session.user_id, session.bot, session.api_id), (2, None, None, None));
    assert_eq!(session.peers, [Peer { id: CHANNEL, access_hash: 5 }, Peer { id: 8, access_hash: 9 }]);
    file.execute("insert into entities values (0, 7002, null, null, null, 1)", []).unwrap();
    let session = read(&path).unwrap();
    assert_eq!((session.user_id, session.peers.len()), (Some(7002), 2));
    assert_eq!(session.address, Some("149.154.167.51:443".parse().unwrap()));
    file.execute("update version set version = 5", []).unwrap();
    assert!(read(&path).unwrap().peers.is_empty());
}

#[test]
fn what_is_not_signed_in_damaged_or_foreign_is_told_apart() {
    let cases: &[(&str, FormatError)] = &[
        ("UPDATE sessions SET auth_key = NULL", FormatError::NotSignedIn(Format::PyrogramFile)),
        ("UPDATE sessions SET auth_key = zeroblob(256)", FormatError::NotSignedIn(Format::PyrogramFile)),
        ("UPDATE sessions SET user_id = NULL", FormatError::NotSignedIn(Format::PyrogramFile)),
        ("DELETE FROM sessions", FormatError::NotSignedIn(Format::PyrogramFile)),
        ("DROP TABLE sessions", FormatError::UnknownDatabase),
        ("DROP TABLE version", FormatError::UnknownDatabase),
        ("ALTER TABLE sessions RENAME TO s; CREATE VIEW sessions AS SELECT * FROM s", FormatError::UnknownDatabase),
    ];
    for (change, expected) in cases {
        let (_folder, path, file) = pyrogram();
        file.execute_batch(change).unwrap();
        assert_eq!(read(&path).unwrap_err(), *expected, "{change}");
    }
    for change in [
        "UPDATE sessions SET auth_key = x'5a5a'",
        "UPDATE sessions SET auth_key = 'text'",
        "UPDATE sessions SET user_id = 'text'",
        "UPDATE sessions SET dc_id = 0",
        "UPDATE sessions SET dc_id = 700",
    ] {
        let (_folder, path, file) = pyrogram();
        file.execute_batch(change).unwrap();
        assert!(matches!(read(&path), Err(FormatError::Damaged { .. })), "{change}: {:?}", read(&path));
    }
    assert!(!is_database(b"SQLite") && read_database(b"{}".to_vec(), &[], &[]).is_err());
    let (_folder, path, _file) = pyrogram();
    assert_eq!(read_database(std::fs::read(path).unwrap(), &[], &[1]), Err(FormatError::Unfinished));
}

#[test]
fn a_cut_or_changed_file_never_panics_and_never_quotes() {
    let (_folder, path, _file) = pyrogram();
    let whole = std::fs::read(path).unwrap();
    for cut in (0..whole.len()).step_by(251) {
        assert!(read_database(whole[..cut].to_vec(), &[], &[]).is_err(), "cut at {cut}");
    }
    for at in (0..whole.len()).step_by(61) {
        for byte in [0, 0xff, whole[at] ^ 1] {
            let mut changed = whole.clone();
            changed[at] = byte;
            if let Err(error) = read_database(changed, &[], &[]) {
                assert!(!format!("{error} {error:?}").contains("ZZZ"));
            }
        }
    }
}

/// What a writer does between two looks.
#[derive(Clone, Debug)]
enum Step {
    Learn(i64, i64),
    Forget(i64),
    Bulk(u16),
    Drop,
    Shrink,
    Checkpoint,
    Abandoned(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..50_i64, 1..i64::MAX).prop_map(|(id, hash)| Step::Learn(id, hash)),
        (1..50_i64).prop_map(Step::Forget),
        (1..2000_u16).prop_map(Step::Bulk),
        proptest::strategy::Just(Step::Drop),
        proptest::strategy::Just(Step::Shrink),
        proptest::strategy::Just(Step::Checkpoint),
        (1..50_i64).prop_map(Step::Abandoned),
    ];
    prop::collection::vec(step, 1..12)
}

fn take(file: &Connection, step: &Step) {
    let learn = "INSERT OR REPLACE INTO peers (id, access_hash, type) VALUES (?1, ?2, 'user')";
    match step {
        Step::Learn(id, hash) => file.execute(learn, params![id, hash]).map(drop).unwrap(),
        Step::Forget(id) => file.execute("DELETE FROM peers WHERE id = ?1", [id]).map(drop).unwrap(),
        Step::Bulk(count) => {
            let sql = "INSERT OR REPLACE INTO peers (id, access_hash, type) WITH RECURSIVE n(i) AS
                (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT i + 1000, i * 3 + 1, 'user' FROM n";
            file.execute(sql, [count]).map(drop).unwrap();
        }
        Step::Drop => file.execute("DELETE FROM peers WHERE id > 1000", []).map(drop).unwrap(),
        Step::Shrink => file.execute_batch("VACUUM").unwrap(),
        Step::Checkpoint => file.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap(),
        Step::Abandoned(id) => {
            file.execute_batch("BEGIN; PRAGMA cache_size = 1").unwrap();
            file.execute(learn, params![id, 1]).unwrap();
            file.execute_batch("ROLLBACK").unwrap();
        }
    }
}

/// Peers as SQLite itself sees them in a copy of both files; nothing if it sees damage.
fn by_sqlite(main: &[u8], journal: &[u8]) -> Option<Vec<Peer>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), main).unwrap();
    std::io::Write::write_all(&mut std::fs::File::create(folder.path().join("copy-wal")).unwrap(), journal).unwrap();
    let copy = Connection::open(path).unwrap();
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).ok()?;
    let mut statement = copy.prepare("SELECT id, access_hash FROM peers WHERE access_hash <> 0 ORDER BY id").ok()?;
    let rows = statement.query_map([], |row| Ok(Peer { id: row.get(0)?, access_hash: row.get(1)? })).ok()?;
    (verdict == "ok").then(|| rows.map(Result::unwrap).collect())
}

fn by_us(main: &[u8], journal: &[u8]) -> Option<Vec<Peer>> {
    match read_database(main.to_vec(), journal, &[]) {
        Ok(session) => Some(session.peers),
        Err(error) => {
            assert_eq!(error, FormatError::Unreadable);
            None
        }
    }
}

/// A journal as its format has it, out of page numbers, pages, and how many pages the database has after the frame (0: no commit).
fn journal(page_size: usize, frames: impl Iterator<Item = (u32, Vec<u8>, u32)>) -> Vec<u8> {
    fn add(sums: &mut (u32, u32), bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| u32::from_le_bytes(pair[at..at + 4].try_into().unwrap());
            sums.0 = sums.0.wrapping_add(word(0)).wrapping_add(sums.1);
            sums.1 = sums.1.wrapping_add(word(4)).wrapping_add(sums.0);
        }
    }
    let numbers = |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_be_bytes()).collect() };
    let mut sums = (0, 0);
    let mut journal = numbers(&[0x377f_0682, 3_007_000, u32::try_from(page_size).unwrap(), 0, 11, 12]);
    add(&mut sums, &journal);
    journal.extend(numbers(&[sums.0, sums.1]));
    for (number, page, pages) in frames {
        let head = numbers(&[number, pages]);
        add(&mut sums, &head);
        add(&mut sums, &page);
        journal.extend([head, numbers(&[11, 12, sums.0, sums.1]), page].concat());
    }
    journal
}

/// Bytes are worth what their last commit says: sizes that go up and down in between neither cost hours nor empty pages.
#[test]
fn a_journal_of_many_sizes_is_as_good_as_any() {
    const FRAMES: u32 = 20_000;
    let (_folder, path, file) = pyrogram();
    file.execute_batch("PRAGMA page_size = 512; VACUUM; PRAGMA journal_mode = WAL").unwrap();
    drop(file);
    let main = std::fs::read(&path).unwrap();
    let pages = u32::try_from(main.len() / 512).unwrap();
    let frames = (0..FRAMES).map(|at| {
        let page = usize::try_from(at % pages).unwrap();
        let size = if at + 1 == FRAMES { pages } else { [1, FRAMES][usize::try_from(at % 2).unwrap()] };
        (at % pages + 1, main[page * 512..][..512].to_vec(), size)
    });
    let journal = journal(512, frames);
    let seen = by_us(&main, &journal);
    assert_eq!(seen.as_ref().map(Vec::len), Some(1));
    assert_eq!(seen, by_sqlite(&main, &journal));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_counts_as_sqlite_counts_it(steps in steps(), page in 9..=13_u32, cut in any::<prop::sample::Index>()) {
        let (_folder, path, file) = pyrogram();
        file.execute_batch(&format!("PRAGMA page_size = {}; VACUUM; PRAGMA journal_mode = WAL", 1 << page)).unwrap();
        file.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        for step in &steps {
            take(&file, step);
            let (main, journal) = (std::fs::read(&path).unwrap(), beside(&path, "-wal"));
            let seen = by_us(&main, &journal);
            assert!(seen.is_some());
            assert_eq!(seen, by_sqlite(&main, &journal));
        }
        // A journal cut anywhere ends with its last whole commit, and so does one with a changed byte. If part of it was in the database
        // already, that is damage.
        let (main, journal) = (std::fs::read(&path).unwrap(), beside(&path, "-wal"));
        let cut = cut.index(journal.len().max(1));
        let short = journal.get(..cut).unwrap_or_default();
        assert_eq!(by_us(&main, short), by_sqlite(&main, short));
        let mut changed = journal.clone();
        if let Some(byte) = changed.get_mut(cut) {
            *byte ^= 0x40;
        }
        assert_eq!(by_us(&main, &changed), by_sqlite(&main, &changed));
    }

    #[test]
    fn nothing_in_place_of_a_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..4096), journal in prop::collection::vec(any::<u8>(), 0..4096)) {
        let file = [b"SQLite format 3\0".as_slice(), &bytes].concat();
        assert!(read_database(file, &journal, &[]).is_err());
        drop(read_string(&String::from_utf8_lossy(&bytes)));
    }
}
