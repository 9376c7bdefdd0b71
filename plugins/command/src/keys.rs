//! `keygen`, `sign`.

use crate::cli::{Keygen, Sign};
use crate::disk;
use crate::error::CommandError;
use std::io::{Write, stdout};

pub(crate) fn keygen(keygen: &Keygen) -> Result<(), CommandError> {
    let pair = plugin_package::generate_keys()?;
    disk::write_secret(&keygen.private, pair.private_pem.expose())?;
    write!(stdout(), "{}", pair.public_pem)?;
    Ok(())
}

pub(crate) fn sign(sign: &Sign) -> Result<(), CommandError> {
    let pem = config::Secret::inline(disk::read_text(&sign.key)?)
        .map_err(|error| CommandError::content(&sign.key, error.to_string()))?;
    let signature = plugin_package::sign_folder(&sign.folder, pem.expose())?;
    writeln!(stdout(), "{}", signature.display())?;
    Ok(())
}
