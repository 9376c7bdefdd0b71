//! `worker-hive keygen` and `rekey`: the key that the session store is encrypted with.

use crate::cli::{Keygen, Rekey};
use crate::commands::{CommandError, load, open_folder};
use hive_server::OptionsError;
use mtproto::StoreKey;
use std::io::{self, Write};

pub(crate) fn make(options: &Keygen) -> Result<(), CommandError> {
    StoreKey::make(&options.file).map_err(OptionsError::from)?;
    writeln!(io::stdout(), "made {}; keep a copy elsewhere: without it the sessions are lost", options.file.display())?;
    Ok(())
}

/// Each session by itself: after a crash some have the new key and some the old one, and the same command goes on.
pub(crate) fn change(options: &Rekey) -> Result<(), CommandError> {
    let folder = open_folder(&load(&options.config)?)?;
    let key = StoreKey::read(&options.to).map_err(OptionsError::from)?;
    let lock = folder.lock()?;
    let changed = folder.change_key(&lock, &key);
    let changed = changed.map_err(CommandError::of_session)?;
    for account in &changed {
        writeln!(io::stdout(), "encrypted {account}")?;
    }
    writeln!(io::stdout(), "done; now set store.key_file = \"{}\"", options.to.display())?;
    Ok(())
}
