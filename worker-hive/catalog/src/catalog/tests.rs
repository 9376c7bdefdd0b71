use super::{Catalog, Expect, Put};
use crate::manifest::{Draft, Part};
use crate::schema::CatalogError;
use tempfile::TempDir;
use wire::Slug;

fn draft(name: &str, messages: &[i32]) -> Draft {
    let part = |id: &i32| Part { chat_id: -5, message_id: *id, size: 10, identity: format!("d{id}") };
    Draft::new(name, "video/mp4", messages.iter().map(part).collect()).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn catalog() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog")).unwrap();
    (folder, catalog)
}

#[test]
fn what_is_put_comes_back_and_again_changes_nothing() {
    let (_folder, catalog) = catalog();
    let Put::Created(first) = catalog.put(slug("a"), draft("x", &[1, 2]), Expect::Anything, 100).unwrap() else {
        panic!("not created")
    };
    assert_eq!((first.created, first.changed, first.size()), (100, 100, 20));
    assert_eq!(catalog.get(slug("a")).unwrap(), Some(first.clone()));
    let again = catalog.put(slug("a"), draft("x", &[1, 2]), Expect::Anything, 200).unwrap();
    assert_eq!(again, Put::Same(first.clone()));
    // Another name is another manifest of the same bytes; other parts are other bytes.
    let Put::Changed(renamed) = catalog.put(slug("a"), draft("y", &[1, 2]), Expect::Anything, 300).unwrap() else {
        panic!("not changed")
    };
    assert_eq!((renamed.created, renamed.changed, &renamed.etag), (100, 300, &first.etag));
    let put = catalog.put(slug("a"), draft("y", &[2, 1]), Expect::Anything, 400).unwrap();
    assert!(matches!(&put, Put::Changed(changed) if changed.etag != first.etag));
    assert_eq!(catalog.get(slug("a")).unwrap().as_ref(), Some(put.manifest()));
    assert_eq!(catalog.get(slug("b")).unwrap(), None);
}

#[test]
fn a_change_is_made_to_what_was_expected_or_not_at_all() {
    let (_folder, catalog) = catalog();
    let tags = |tag: &str| vec![tag.to_owned()];
    let put = |expect: Expect<'_>, id| catalog.put(slug("a"), draft("x", &[id]), expect, 1);
    let refused = |result: Result<Put, CatalogError>| assert!(matches!(result, Err(CatalogError::Unexpected)));
    refused(put(Expect::Something, 1));
    refused(put(Expect::Etags(&tags("v1")), 1));
    let first = put(Expect::Nothing, 1).unwrap();
    refused(put(Expect::Nothing, 1));
    refused(put(Expect::Etags(&tags("v1")), 2));
    assert_eq!(catalog.get(slug("a")).unwrap().as_ref(), Some(first.manifest()));
    let second = put(Expect::Etags(&tags(&first.manifest().etag)), 2).unwrap();
    put(Expect::Something, 2).unwrap();
    assert!(matches!(
        catalog.remove(slug("a"), Expect::Etags(&tags(&first.manifest().etag))),
        Err(CatalogError::Unexpected)
    ));
    assert!(catalog.remove(slug("a"), Expect::Etags(&tags(&second.manifest().etag))).unwrap());
    assert!(!catalog.remove(slug("a"), Expect::Anything).unwrap());
    assert!(matches!(catalog.remove(slug("a"), Expect::Something), Err(CatalogError::Unexpected)));
}

#[test]
fn slugs_that_are_taken_are_not_made_again() {
    let (_folder, catalog) = catalog();
    let throws = |throws: Vec<u64>| {
        let mut throws = throws.into_iter();
        move || throws.next().unwrap()
    };
    let first = catalog.add_by(draft("x", &[1]), 1, throws(vec![7])).unwrap();
    catalog.put(slug("2222222"), draft("chosen", &[3]), Expect::Anything, 1).unwrap();
    let second = catalog.add_by(draft("y", &[2]), 2, throws(vec![7, 0, 7, 9])).unwrap();
    assert_ne!(first.slug, second.slug);
    assert_eq!(catalog.get(first.slug).unwrap(), Some(first));
    assert_eq!(catalog.get(second.slug).unwrap(), Some(second));
    assert_eq!(catalog.get(slug("2222222")).unwrap().unwrap().name, "chosen");
    assert!(matches!(catalog.add_by(draft("z", &[4]), 3, || 9), Err(CatalogError::NoSlug)));
    for id in 1..200 {
        assert_eq!(catalog.add(draft("x", &[id]), 1).unwrap().slug.as_str().len(), 7);
    }
    assert_eq!(catalog.list(None, 1000).unwrap().len(), 202);
}

#[test]
fn pages_cover_the_list_once() {
    let (_folder, catalog) = catalog();
    for name in ["c", "a", "B", "d-1", "e"] {
        catalog.put(slug(name), draft(name, &[1, 2, 3]), Expect::Anything, 5).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.list(after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.slug);
        seen.extend(page.iter().map(|row| row.slug.to_string()));
        assert!(page.iter().all(|row| (row.size, row.parts, row.created) == (30, 3, 5)));
        // One that comes or goes meanwhile moves no other onto a page twice.
        catalog.remove(slug("a"), Expect::Anything).unwrap();
    }
    assert_eq!(seen, ["B", "a", "c", "d-1", "e"]);
}

#[test]
fn what_was_acknowledged_is_there_after_a_close_and_after_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    let catalog = Catalog::open(&path).unwrap();
    catalog.put(slug("a"), draft("x", &[1]), Expect::Anything, 1).unwrap();
    catalog.close().unwrap();
    assert!(matches!(catalog.get(slug("a")), Err(CatalogError::Closed)));
    assert!(!path.with_extension("wal").exists() && !folder.path().join("catalog-wal").exists());
    let catalog = Catalog::open(&path).unwrap();
    catalog.put(slug("b"), draft("y", &[2]), Expect::Anything, 1).unwrap();
    // As after a kill: the journal is there and nobody folded it in.
    let copy = tempfile::tempdir().unwrap();
    for file in ["catalog", "catalog-wal"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    let survived = Catalog::open(&copy.path().join("catalog")).unwrap();
    assert_eq!(survived.list(None, 9).unwrap().len(), 2);
    assert_eq!(survived.get(slug("b")).unwrap(), catalog.get(slug("b")).unwrap());
}

#[test]
fn a_file_with_lost_parts_is_no_manifest() {
    let (folder, catalog) = catalog();
    catalog.put(slug("a"), draft("x", &[1, 2]), Expect::Anything, 1).unwrap();
    let other = rusqlite::Connection::open(folder.path().join("catalog")).unwrap();
    other.execute("DELETE FROM part WHERE number = 1", []).unwrap();
    assert!(matches!(catalog.get(slug("a")), Err(CatalogError::Damaged(_))));
}

#[test]
fn what_is_read_is_one_manifest_and_not_halves_of_two() {
    let (folder, writes) = catalog();
    let reads = Catalog::open(&folder.path().join("catalog")).unwrap();
    // Of one size, so that nothing else tells them apart.
    let drafts = [draft("one", &[1, 2]), draft("other", &[3, 4])];
    writes.put(slug("a"), drafts[0].clone(), Expect::Anything, 1).unwrap();
    let writer = std::thread::spawn(move || {
        for round in 0..300 {
            writes.put(slug("a"), drafts[round % 2].clone(), Expect::Anything, 1).unwrap();
        }
        drafts
    });
    let mut seen = Vec::new();
    while !writer.is_finished() {
        let found = reads.get(slug("a")).unwrap().unwrap();
        seen.push((found.name, found.parts));
    }
    let known = writer.join().unwrap().map(|draft| (draft.name, draft.parts));
    for found in seen {
        assert!(known.contains(&found), "{found:?}");
    }
}
