//! `test`: recorded requests, and what must come of them.

use crate::ask::{Question, chain, tenant_of};
use crate::cli::Test;
use crate::disk;
use crate::error::CommandError;
use crate::expect;
use crate::facts;
use crate::pattern::Kept;
use crate::recorded::{Recorded, Step};
use crate::session::{Session, Workshop, block_on, in_memory, spec};
use plugin_kv::{Kv, KvError, Namespace};
use plugin_package::Trust;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;
use toml::{Table, Value};

/// How long a key that a step sets in the store stays: beyond any test.
const TTL: u32 = 86_400;
/// A test waits longer for a store than a gateway would.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn test(test: &Test) -> Result<(), CommandError> {
    let files = files(test)?;
    let workshop = Workshop::new()?;
    let (mut passed, mut failed) = (0, 0);
    block_on(async {
        for (index, file) in files.iter().enumerate() {
            let recorded = Recorded::parse(&disk::read_text(file)?, file)?;
            let spec = spec(&test.folder, recorded.settings.clone())?;
            let session = workshop.session(spec, Trust::default(), store(test, index)?).await?;
            let (good, bad) = run(&session, &recorded).await?;
            passed += good;
            failed += bad;
        }
        Ok(())
    })?;
    if failed > 0 {
        return Err(CommandError::failed(format!("{failed} of {} steps failed", passed + failed)));
    }
    writeln!(stdout(), "{passed} steps passed")?;
    Ok(())
}

fn files(test: &Test) -> Result<Vec<PathBuf>, CommandError> {
    if !test.requests.is_empty() {
        return Ok(test.requests.clone());
    }
    let folder = test.folder.join("requests");
    let files = disk::files(&folder, "toml")?;
    if files.is_empty() {
        return Err(CommandError::content(&folder, "no recorded requests (*.toml) here"));
    }
    Ok(files)
}

/// Each file has a store of its own: in Redis under a prefix that no other run has.
fn store(test: &Test, index: usize) -> Result<Kv, CommandError> {
    let Some(url) = &test.redis else { return Ok(in_memory()) };
    let prefix = format!("sv-test-{}-{}-{index}", std::process::id(), started());
    Ok(Kv::redis(url, &prefix, STORE_PATIENCE)?)
}

/// Steps that passed, and that didn't.
async fn run(session: &Session, recorded: &Recorded) -> Result<(usize, usize), CommandError> {
    let mut kept = Kept::new();
    let (mut passed, mut failed) = (0, 0);
    let file = recorded.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for index in 0..recorded.steps.len() {
        let step = recorded.step(index, &kept)?;
        let name = if step.name.is_empty() { format!("step {}", index + 1) } else { step.name.clone() };
        for hidden in facts::hidden(&step.request, &session.manifest.visible) {
            tracing::warn!("{file}: {name}: {hidden}");
        }
        let differences = one(session, recorded, &step, index + 1, &mut kept).await?;
        let mut out = stdout().lock();
        if differences.is_empty() {
            passed += 1;
            writeln!(out, "ok    {file}: {name}")?;
        } else {
            failed += 1;
            writeln!(out, "FAIL  {file}: {name}")?;
            for line in differences {
                writeln!(out, "      {line}")?;
            }
        }
    }
    Ok((passed, failed))
}

async fn one(
    session: &Session,
    recorded: &Recorded,
    step: &Step,
    number: usize,
    kept: &mut Kept,
) -> Result<Vec<String>, CommandError> {
    let question = Question::of(step, session.hook(), &recorded.file, number)?;
    let wrong = |message: String| CommandError::content(&recorded.file, format!("step {number}: {message}"));
    if let Some(message) = expect::unknown(&step.expect, question.known()) {
        return Err(wrong(message));
    }
    if step.expect.is_empty() {
        return Err(wrong("expects nothing; write [step.expect]".to_owned()));
    }
    let store = session.store(tenant_of(step))?;
    let broken = |error: KvError| CommandError::failed(format!("the store: {error}"));
    for (key, value) in &step.kv {
        store.set(key, value.as_bytes(), TTL).await.map_err(broken)?;
    }
    let answer = question.put(session, &chain(session, tenant_of(step))?).await;
    let mut differences = expect::compare(&step.expect, &answer, kept);
    differences.extend(compare_store(&store, &step.expect, kept).await.map_err(broken)?);
    Ok(differences)
}

async fn compare_store(store: &Namespace, expected: &Table, kept: &mut Kept) -> Result<Vec<String>, KvError> {
    let mut differences = Vec::new();
    for (key, wanted) in expected.get("kv").and_then(Value::as_table).into_iter().flatten() {
        let found = store.get(key).await?;
        let found = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        differences.extend(expect::compare_kv(key, wanted, found.as_deref(), kept));
    }
    Ok(differences)
}

#[expect(clippy::disallowed_methods, reason = "a name for this run's keys: process ids come again")]
fn started() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
