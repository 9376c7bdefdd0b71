//! `worker-hive import`: sessions of this and of other clients, from files, standard input or a hidden prompt.

use crate::cli::Import;
use crate::commands::{CommandError, load, open_folder};
use crate::login_prompt::{Echo, Prompter};
use mtproto::{AccountInfo, SeedError, SessionFolder, SessionSeed, StoreError};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use session_formats::{FormatError, PortableSession, is_database, read_database, read_string};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Largest session file in bytes: what is larger was surely meant to be something else.
const LONGEST: u64 = 256 << 20;
const STDIN: &str = "-";

/// Why nothing, or not everything, came in. Says where, never what was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("{place}: {source}")]
    Read { place: String, source: io::Error },
    #[error("{place}: {source}")]
    Seed { place: String, source: SeedError },
    #[error("{place}: {source}")]
    Format { place: String, source: FormatError },
    #[error("{0}: nothing is in it")]
    Empty(String),
    #[error("{0}: larger than any session file")]
    TooLarge(String),
    #[error("{0} holds no text and no session file")]
    NotText(String),
    #[error("{0} doesn't say which application it was made with: give --api-id, or set telegram.api_id")]
    ApiId(String),
    #[error("--name names one session, and there are {0}")]
    OneName(usize),
    #[error(
        "session `{account}` has the key of `{known}`, which is in the store already: Telegram revokes a key in use twice"
    )]
    Twin { account: String, known: String },
}

/// A session that was read, and what to call it if nobody says.
enum Found {
    Ours(SessionSeed),
    Theirs { place: String, stem: Option<String>, session: Box<PortableSession> },
}

pub(crate) fn run(options: &Import) -> Result<(), CommandError> {
    let settings = load(&options.config)?;
    let folder = open_folder(&settings)?;
    folder.check_key(None).map_err(CommandError::of_session)?;
    let mut found = Vec::new();
    if options.sessions.is_empty() {
        found.push(ask()?);
    }
    for path in &options.sessions {
        found.extend(read(path)?);
    }
    if options.name.is_some() && found.len() != 1 {
        return Err(ImportError::OneName(found.len()).into());
    }
    let api_id = options.api_id.or(settings.telegram.api_id);
    // All of them before the first is stored: a mistake in the last leaves nothing half done.
    let seeds = found.into_iter().map(|found| found.into_seed(options.name.as_deref(), api_id));
    for seed in seeds.collect::<Result<Vec<_>, _>>()? {
        store(&folder, &seed, options.skip_existing)?;
    }
    Ok(())
}

fn store(folder: &SessionFolder, seed: &SessionSeed, skip_existing: bool) -> Result<(), CommandError> {
    let account = &seed.account;
    let taken = folder.accounts()?.contains(account);
    let twin = if taken { None } else { twin(folder, seed)? };
    let outcome = match twin {
        Some(known) if !skip_existing => {
            return Err(ImportError::Twin { account: account.clone(), known: known.account }.into());
        }
        Some(_) => Err(StoreError::Exists(account.clone())),
        None => folder.import(seed),
    };
    match outcome {
        Ok(()) => writeln!(io::stdout(), "imported {account}")?,
        Err(StoreError::Exists(account)) if skip_existing => writeln!(io::stdout(), "kept {account}")?,
        Err(source) => return Err(CommandError::Session { account: account.clone(), source }),
    }
    Ok(())
}

/// The session in the store that has the same key. Those that can't be read have no say.
fn twin(folder: &SessionFolder, seed: &SessionSeed) -> Result<Option<AccountInfo>, CommandError> {
    let key_id = seed.key_id();
    let known = folder.accounts()?.into_iter().filter_map(|account| folder.describe(&account).ok());
    Ok(known.into_iter().find(|info| info.key_id == key_id))
}

fn ask() -> Result<Found, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { Prompter::new()?.ask("Session string", None, Echo::Hidden).await });
    let text = asked.map_err(crate::login::LoginError::from)?;
    text_session(text.expose_secret(), "the session string".to_owned()).map_err(CommandError::from)
}

fn read(path: &Path) -> Result<Vec<Found>, ImportError> {
    let place = if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |source| ImportError::Read { place: place.clone(), source };
    let bytes = match path == Path::new(STDIN) {
        true => bounded(io::stdin().lock(), &place),
        false => File::open(path).map_err(failed).and_then(|file| bounded(file, &place)),
    }?;
    if is_database(&bytes) {
        let beside = |suffix: &str| match File::open(with_suffix(path, suffix)) {
            Ok(file) => bounded(file, &place),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Zeroizing::default()),
            Err(source) => Err(failed(source)),
        };
        let (journal, rollback) = (beside("-wal")?, beside("-journal")?);
        let session = read_database(bytes.to_vec(), &journal, &rollback);
        let session = session.map_err(|source| ImportError::Format { place: place.clone(), source })?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).map(file_name);
        return Ok(vec![Found::Theirs { place, stem, session: Box::new(session) }]);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| ImportError::NotText(place.clone()))?;
    if text.trim_start().starts_with(['{', '[']) {
        let seeds = SessionSeed::parse_all(text).map_err(|source| ImportError::Seed { place, source })?;
        return Ok(seeds.into_iter().map(Found::Ours).collect());
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let found: Vec<_> =
        lines.map(|(at, line)| text_session(line, format!("{place}, line {}", at + 1))).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(ImportError::Empty(place)) } else { Ok(found) }
}

fn text_session(text: &str, place: String) -> Result<Found, ImportError> {
    match read_string(text) {
        Ok(session) => Ok(Found::Theirs { place, stem: None, session: Box::new(session) }),
        Err(source) => Err(ImportError::Format { place, source }),
    }
}

fn bounded(reader: impl Read, place: &str) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = reader.take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|source| ImportError::Read { place: place.to_owned(), source })?;
    if bytes.len() as u64 > LONGEST { Err(ImportError::TooLarge(place.to_owned())) } else { Ok(bytes) }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A file's name as a session's name: `my account.session` becomes `my-account`.
fn file_name(stem: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    stem.chars().map(|c| if known(c) { c } else { '-' }).take(64).collect()
}

impl Found {
    fn into_seed(self, name: Option<&str>, api_id: Option<i32>) -> Result<SessionSeed, ImportError> {
        let (place, stem, session) = match self {
            Self::Ours(mut seed) => {
                if let Some(name) = name {
                    name.clone_into(&mut seed.account);
                }
                return seed.check().map_err(|source| ImportError::Seed { place: "--name".to_owned(), source });
            }
            Self::Theirs { place, stem, session } => (place, stem, session),
        };
        let api_id = session.api_id.or(api_id).ok_or_else(|| ImportError::ApiId(place.clone()))?;
        let account = name.map(str::to_owned).or(stem).unwrap_or_default();
        let home = i32::from(session.home_dc);
        let key = *session.auth_key.expose();
        let named = |account: &str| {
            let seed = SessionSeed::carried(account, home, key, api_id);
            seed.map_err(|source| ImportError::Seed { place: place.clone(), source })
        };
        let mut seed = if account.is_empty() {
            let mut seed = named("session")?;
            seed.account = match (session.user_id, session.bot) {
                (Some(id), Some(true)) => format!("bot-{id}"),
                (Some(id), _) => format!("user-{id}"),
                // Nobody knows whose it is, but a name must tell it from the next.
                (None, _) => format!("session-{:08x}", seed.key_id() & 0xffff_ffff),
            };
            seed
        } else {
            named(&account)?
        };
        // What a user may do is told once it has connected; a bot that is taken for a user would ask for what bots don't get.
        if let (Some(id), Some(bot)) = (session.user_id, session.bot) {
            seed = seed.with_identity(id, bot);
        }
        for (dc, address) in session.addresses() {
            seed = seed.with_address(dc, address);
        }
        for peer in &session.peers {
            seed = seed.with_peer(peer.id, peer.access_hash);
        }
        Ok(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_files_name_becomes_a_sessions_name() {
        assert_eq!(file_name("my account"), "my-account");
        assert_eq!(file_name("../ü"), "----");
        assert_eq!(file_name(&"x".repeat(80)).len(), 64);
    }
}
