//! The file: whatever happens to it or to its writer, it is read back whole or not at all.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use takedown::{FileError, List, ListFile, Record};

/// In the environment of this program when it is its own child: where to save lists until it is killed.
const CHILD: &str = "TAKEDOWN_CHILD_FILE";

fn record(version: u64) -> Record {
    let target = format!("/stream/-1001700000001/{version}").parse().unwrap();
    Record::new(target, version, !version.is_multiple_of(3), 1_764_000_000 + version, "alice", "Notice 7, \"a\" and b")
        .unwrap()
}

fn list(records: u64) -> List {
    let mut list = List::default();
    for version in 1..=records {
        list.merge(record(version));
    }
    list
}

fn lines(list: &List) -> Vec<String> {
    list.records().iter().map(ToString::to_string).collect()
}

/// Overwrites a file as something from outside would.
#[expect(clippy::disallowed_methods, reason = "damage is what is tested")]
fn damage(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_saved_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/takedowns");
    assert!(matches!(ListFile::open(&path), Err(FileError::Missing(_))), "no folder either");
    ListFile::create(&path).unwrap();
    assert!(matches!(ListFile::create(&path), Err(FileError::Exists(_))));
    let (file, empty) = ListFile::open(&path).unwrap();
    assert!(empty.is_empty() && empty.records().is_empty());
    assert!(matches!(ListFile::open(&path), Err(FileError::InUse(_))));
    file.save(&list(7)).unwrap();
    assert_eq!(lines(&ListFile::read(&path).unwrap()), lines(&list(7)), "whoever holds it");
    drop(file);
    let (_file, read) = ListFile::open(&path).unwrap();
    assert_eq!(lines(&read), lines(&list(7)));
    assert!(read.find(&"/stream/-1001700000001/1".parse().unwrap()).is_some());
    assert!(read.find(&"/stream/-1001700000001/3".parse().unwrap()).is_none(), "lifted");
}

#[test]
fn a_missing_file_is_no_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("takedowns");
    let error = ListFile::open(&path).unwrap_err();
    assert!(matches!(error, FileError::Missing(_)));
    assert!(error.to_string().contains("gateway takedown init"), "{error}");
    assert!(matches!(ListFile::open(folder.path()), Err(FileError::Disk { .. })), "a folder is no file");
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("takedowns");
    ListFile::create(&path).unwrap();
    let (file, _) = ListFile::open(&path).unwrap();
    file.save(&list(4)).unwrap();
    drop(file);
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        damage(&path, bytes);
        assert!(matches!(ListFile::open(&path), Err(FileError::Damaged { .. })), "{what}");
    };
    for end in 0..good.len() {
        refused(&good[..end], &format!("cut at {end}"));
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            refused(&bad, &format!("bit {bit} of byte {at}"));
        }
    }
    let text = String::from_utf8(good.clone()).unwrap();
    let rows: Vec<&str> = text.split_inclusive('\n').collect();
    refused(&[good.clone(), b"more\n".to_vec()].concat(), "more after the end");
    refused(&[rows[0], rows[2], rows[3], rows[4], rows[5]].concat().into_bytes(), "a line is gone");
    refused(&[rows[0], rows[1], rows[1], rows[2], rows[3], rows[4], rows[5]].concat().into_bytes(), "a line twice");
    refused(&[rows[0], rows[2], rows[1], rows[3], rows[4], rows[5]].concat().into_bytes(), "lines in another order");
    damage(&path, &good);
    assert_eq!(lines(&ListFile::open(&path).unwrap().1), lines(&list(4)));
}

#[test]
fn a_torn_second_file_is_passed_over_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("takedowns");
    ListFile::create(&path).unwrap();
    let torn = folder.path().join("takedowns.new");
    damage(&torn, b"streamvault takedo");
    let (file, read) = ListFile::open(&path).unwrap();
    assert!(read.records().is_empty());
    file.save(&list(2)).unwrap();
    drop(file);
    assert!(!torn.exists());
    assert_eq!(lines(&ListFile::open(&path).unwrap().1), lines(&list(2)));
}

#[test]
fn a_full_disk_is_an_error_and_the_old_list_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("takedowns");
    ListFile::create(&path).unwrap();
    let (file, _) = ListFile::open(&path).unwrap();
    // A folder where the second file should be: it can't be written.
    std::fs::create_dir(folder.path().join("takedowns.new")).unwrap();
    assert!(matches!(file.save(&list(1)), Err(FileError::Disk { .. })));
    drop(file);
    assert!(ListFile::open(&path).unwrap().1.records().is_empty());
}

/// Not a test of its own: the process that [`a_killed_writer_loses_nothing_that_it_told_of`] kills.
#[test]
fn child_saves_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let (file, mut list) = ListFile::open(Path::new(&path)).unwrap();
    for version in list.next_version().. {
        list.merge(record(version));
        file.save(&list).unwrap();
        println!("saved {version}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_told_of() {
    let seed = std::env::var("TAKEDOWN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("TAKEDOWN_SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("takedowns");
    ListFile::create(&path).unwrap();
    for _ in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_saves_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut told = 0;
        for _ in 0..rng.random_range(1..12) {
            let mut line = String::new();
            while !line.contains("saved ") {
                line.clear();
                assert!(out.read_line(&mut line).unwrap() > 0, "the writer ended by itself");
            }
            told = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        }
        // Anywhere in its next rounds.
        for _ in 0..rng.random_range(0..20_000_u32) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (_file, read) = ListFile::open(&path).unwrap();
        let count = read.records().len() as u64;
        assert!(count >= told, "{told} were told of, {count} are there");
        assert_eq!(lines(&read), lines(&list(count)));
    }
}
