//! The catalog's face: manifests in, manifests out.

use crate::manifest::{Draft, Manifest, Part};
use crate::schema::{self, CatalogError};
use crate::slugs::slug_of;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::sync::Arc;
use wire::Slug;

/// Dice that are thrown for one slug before giving up. With a billion files of 34 billion slugs, 16 throws all hit with
/// a chance of 10⁻²⁴.
const THROWS: usize = 16;

/// The manifests of one file. Clones share it. Every method blocks on the disk.
#[derive(Clone)]
pub struct Catalog {
    /// None once it is closed.
    file: Arc<Mutex<Option<Connection>>>,
}

/// What must be there for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Whatever there is.
    Anything,
    /// No manifest.
    Nothing,
    /// Some manifest.
    Something,
    /// A manifest with one of these ETags.
    Etags(&'a [String]),
}

/// What became of a manifest that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none of this slug.
    Created(Manifest),
    /// It took another's place.
    Changed(Manifest),
    /// It was there already.
    Same(Manifest),
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name in paths.
    pub slug: Slug,
    /// The file's name.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Length in bytes.
    pub size: u64,
    /// How many parts it has.
    pub parts: u64,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// When it last became another, seconds since the Unix epoch.
    pub changed: u64,
    /// Names the bytes; without quotes.
    pub etag: String,
}

impl Catalog {
    /// Opens the file, making it if it is not there. Its folder must be.
    ///
    /// # Errors
    /// [`CatalogError`] when it can't be made, is none of ours, or was written by a newer release.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        Ok(Self { file: Arc::new(Mutex::new(Some(schema::open(path)?))) })
    }

    /// The manifest of a slug.
    ///
    /// # Errors
    /// [`CatalogError`] when the disk or the file's content is not to be trusted.
    pub fn get(&self, slug: Slug) -> Result<Option<Manifest>, CatalogError> {
        // One snapshot for both questions: another process may put another manifest between them.
        self.with(|file| read(&*file.transaction()?, slug))
    }

    /// Puts a manifest under a slug. The same again changes nothing, not even its times. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`CatalogError::Unexpected`] when what is there is not as expected; else as [`Catalog::get`].
    pub fn put(&self, slug: Slug, draft: Draft, expect: Expect<'_>, now: u64) -> Result<Put, CatalogError> {
        self.with(|file| {
            let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old = read(&transaction, slug)?;
            expect.check(old.as_ref())?;
            let put = match old {
                Some(old)
                    if (&old.name, &old.content_type, &old.parts)
                        == (&draft.name, &draft.content_type, &draft.parts) =>
                {
                    return Ok(Put::Same(old));
                }
                Some(old) => {
                    transaction.prepare_cached("DELETE FROM file WHERE slug = ?1")?.execute([slug.as_str()])?;
                    Put::Changed(Manifest::new(slug, draft, old.created, now))
                }
                None => Put::Created(Manifest::new(slug, draft, now, now)),
            };
            write(&transaction, put.manifest())?;
            transaction.commit()?;
            Ok(put)
        })
    }

    /// Keeps a manifest under a slug that is made for it: seven characters, never one that is taken.
    ///
    /// # Errors
    /// [`CatalogError::NoSlug`] when every throw hit a slug that is taken; else as [`Catalog::get`].
    pub fn add(&self, draft: Draft, now: u64) -> Result<Manifest, CatalogError> {
        // The thread's generator is one for cryptography: nobody guesses a slug from others.
        self.add_by(draft, now, rand::random)
    }

    fn add_by(&self, draft: Draft, now: u64, mut dice: impl FnMut() -> u64) -> Result<Manifest, CatalogError> {
        self.with(|file| {
            let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for _ in 0..THROWS {
                let slug = slug_of(dice()).ok_or(CatalogError::NoSlug)?;
                let manifest = Manifest::new(slug, draft.clone(), now, now);
                if write(&transaction, &manifest)? {
                    transaction.commit()?;
                    return Ok(manifest);
                }
            }
            Err(CatalogError::NoSlug)
        })
    }

    /// Forgets a manifest; `false` when there was none. Its messages are not touched.
    ///
    /// # Errors
    /// [`CatalogError::Unexpected`] when what is there is not as expected; else as [`Catalog::get`].
    pub fn remove(&self, slug: Slug, expect: Expect<'_>) -> Result<bool, CatalogError> {
        self.with(|file| {
            let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old = read(&transaction, slug)?;
            // Nothing to remove is no surprise but to whoever named what is to be removed.
            if old.is_some() || matches!(expect, Expect::Etags(_) | Expect::Something) {
                expect.check(old.as_ref())?;
            }
            let removed = transaction.prepare_cached("DELETE FROM file WHERE slug = ?1")?.execute([slug.as_str()])?;
            transaction.commit()?;
            Ok(removed > 0)
        })
    }

    /// At most `limit` manifests in order of their slugs, those after `after`.
    ///
    /// # Errors
    /// As [`Catalog::get`].
    pub fn list(&self, after: Option<Slug>, limit: usize) -> Result<Vec<Summary>, CatalogError> {
        self.with(|file| {
            let mut statement = file.prepare_cached(
                "SELECT slug, name, content_type, size, parts, created, changed, etag FROM file WHERE slug > ?1 \
                 ORDER BY slug LIMIT ?2",
            )?;
            let after = after.as_ref().map_or("", Slug::as_str);
            let mut rows = statement.query(params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let mut list = Vec::new();
            while let Some(row) = rows.next()? {
                let slug: String = row.get(0)?;
                list.push(Summary {
                    slug: Slug::parse(&slug).map_err(|_| CatalogError::Damaged("a slug"))?,
                    name: row.get(1)?,
                    content_type: row.get(2)?,
                    size: unsigned(row.get(3)?)?,
                    parts: unsigned(row.get(4)?)?,
                    created: unsigned(row.get(5)?)?,
                    changed: unsigned(row.get(6)?)?,
                    etag: row.get(7)?,
                });
            }
            Ok(list)
        })
    }

    /// Folds the journal into the file and closes it. Later calls fail with [`CatalogError::Closed`].
    ///
    /// # Errors
    /// When the disk refuses; what was acknowledged is kept in the journal then.
    pub fn close(&self) -> Result<(), CatalogError> {
        let Some(file) = self.file.lock().take() else { return Ok(()) };
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        file.close().map_err(|(_, error)| error.into())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, CatalogError>) -> Result<T, CatalogError> {
        work(self.file.lock().as_mut().ok_or(CatalogError::Closed)?)
    }
}

impl Expect<'_> {
    fn check(self, found: Option<&Manifest>) -> Result<(), CatalogError> {
        let holds = match (self, found) {
            (Self::Anything, _) | (Self::Nothing, None) | (Self::Something, Some(_)) => true,
            (Self::Etags(etags), Some(found)) => etags.contains(&found.etag),
            (Self::Nothing, Some(_)) | (Self::Something | Self::Etags(_), None) => false,
        };
        if holds { Ok(()) } else { Err(CatalogError::Unexpected) }
    }
}

impl Put {
    /// The manifest as it is now.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        let (Self::Created(manifest) | Self::Changed(manifest) | Self::Same(manifest)) = self;
        manifest
    }
}

fn read(file: &Connection, slug: Slug) -> Result<Option<Manifest>, CatalogError> {
    let mut statement =
        file.prepare_cached("SELECT name, content_type, etag, created, changed, size FROM file WHERE slug = ?1")?;
    let found = statement
        .query_row([slug.as_str()], |row| {
            let (created, changed, size): (i64, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, created, changed, size))
        })
        .optional()?;
    let Some((name, content_type, etag, created, changed, size)) = found else { return Ok(None) };
    let mut statement =
        file.prepare_cached("SELECT chat_id, message_id, size, identity FROM part WHERE slug = ?1 ORDER BY number")?;
    let mut rows = statement.query([slug.as_str()])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(Part {
            chat_id: row.get(0)?,
            message_id: row.get(1)?,
            size: unsigned(row.get(2)?)?,
            identity: row.get(3)?,
        });
    }
    let manifest =
        Manifest { slug, name, content_type, parts, created: unsigned(created)?, changed: unsigned(changed)?, etag };
    if manifest.parts.is_empty() || manifest.size() != unsigned(size)? {
        return Err(CatalogError::Damaged("parts are missing"));
    }
    Ok(Some(manifest))
}

/// `false` when the slug is taken; then nothing was written.
fn write(file: &Connection, manifest: &Manifest) -> Result<bool, CatalogError> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let slug = manifest.slug.as_str();
    let inserted = file
        .prepare_cached(
            "INSERT INTO file (slug, name, content_type, etag, size, parts, created, changed) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (slug) DO NOTHING",
        )?
        .execute(params![
            slug,
            manifest.name,
            manifest.content_type,
            manifest.etag,
            signed(manifest.size()),
            i64::try_from(manifest.parts.len()).unwrap_or(i64::MAX),
            signed(manifest.created),
            signed(manifest.changed)
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let mut statement = file.prepare_cached(
        "INSERT INTO part (slug, number, chat_id, message_id, size, identity) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (number, part) in (0_i64..).zip(&manifest.parts) {
        statement.execute(params![slug, number, part.chat_id, part.message_id, signed(part.size), part.identity])?;
    }
    Ok(true)
}

fn unsigned(number: i64) -> Result<u64, CatalogError> {
    u64::try_from(number).map_err(|_| CatalogError::Damaged("a negative number"))
}

#[cfg(test)]
mod tests;
