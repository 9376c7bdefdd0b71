//! `worker-hive export`: a session for another client, into a file of its owner's, or onto the screen of who insists.

use crate::cli::{Export, ExportFormat};
use crate::commands::{CommandError, load, open_folder};
use mtproto::SessionSeed;
use secrecy::{ExposeSecret, SecretString};
use session_formats::{AuthKey, MissingField, Peer, PortableSession, write_pyrogram, write_telethon};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Why nothing went out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("{0}; run the hive once, so that it is learnt, or use --format json")]
    Missing(#[from] MissingField),
    #[error("the session can't be written in this format: its data-centre's number, or its key")]
    Unfit,
    #[error("{}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(crate) fn run(options: &Export) -> Result<(), CommandError> {
    let folder = open_folder(&load(&options.config)?)?;
    let session = |source| CommandError::Session { account: options.name.clone(), source };
    let seed = folder.export(&options.name).map_err(session)?;
    let text = write(&seed, options.format)?;
    match &options.output {
        Some(path) => {
            let failed = |source| ExportError::Write { path: path.clone(), source };
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| writeln!(file, "{}", text.expose_secret())).map_err(failed)?;
            writeln!(io::stdout(), "exported {} to {}", options.name, path.display())?;
        }
        // The command line allows no third way than the flag that asks for it.
        None => writeln!(io::stdout(), "{}", text.expose_secret())?,
    }
    eprintln!(
        "warning: Telegram revokes a key that two programs use at once: disable the session on every machine that has a copy \
         before it is used elsewhere"
    );
    Ok(())
}

fn write(seed: &SessionSeed, format: ExportFormat) -> Result<SecretString, ExportError> {
    Ok(match format {
        ExportFormat::Json => seed.to_json(),
        ExportFormat::Pyrogram => write_pyrogram(&portable(seed)?)?,
        ExportFormat::Telethon => write_telethon(&portable(seed)?)?,
    })
}

fn portable(seed: &SessionSeed) -> Result<PortableSession, ExportError> {
    let home_dc = u8::try_from(seed.home_dc).map_err(|_| ExportError::Unfit)?;
    let key = seed.home_key().and_then(|key| AuthKey::new(key)).ok_or(ExportError::Unfit)?;
    let address = seed.home_address();
    let session = PortableSession::new(home_dc, key).at(address);
    Ok(PortableSession {
        api_id: Some(seed.api_id),
        user_id: Some(seed.user_id).filter(|id| *id > 0),
        bot: Some(seed.bot).filter(|_| seed.user_id > 0),
        peers: seed.peers().map(|(id, access_hash)| Peer { id, access_hash }).collect(),
        ..session
    })
}
