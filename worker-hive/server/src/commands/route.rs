//! `worker-hive sessions route`: how one session reaches Telegram.

use crate::cli::SessionRoute;
use crate::commands::{CommandError, load, open_folder};
use mtproto::{Route, RouteError, SessionFolder, Setting};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Largest text of a route in bytes: what is larger was surely meant to be something else.
const LONGEST: u64 = 4096;
const STDIN: &str = "-";

/// Why a route was not set. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionRouteError {
    #[error("{0}")]
    Route(#[from] RouteError),
    #[error("session `{account}`: {source}")]
    Kept { account: String, source: RouteError },
    #[error(
        "a route with user, password or secret is no argument, as every user of the machine sees those: give it with --file, or \
         with `-` on standard input. Whoever has seen this one knows it now: change it"
    )]
    InTheOpen,
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

pub(crate) fn run(options: &SessionRoute) -> Result<(), CommandError> {
    let folder = open_folder(&load(&options.config)?)?;
    let session = |source| CommandError::Session { account: options.name.clone(), source };
    let Some(change) = wanted(options)? else {
        let shown = own_route(&folder, &options.name)?;
        let shown = shown.map_or_else(|| "the hive's own".to_owned(), |route| route.to_string());
        writeln!(io::stdout(), "{}: {shown}", options.name)?;
        return Ok(());
    };
    match change {
        None => {
            folder.set_setting(&options.name, Setting::Route, None).map_err(session)?;
            writeln!(io::stdout(), "{}: the hive's own", options.name)?;
        }
        Some(route) => {
            let text = route.to_secret_text();
            folder.set_setting(&options.name, Setting::Route, Some(text.expose_secret())).map_err(session)?;
            writeln!(io::stdout(), "{}: {route}", options.name)?;
        }
    }
    Ok(())
}

/// The session's own route, if it has one.
pub(crate) fn own_route(folder: &SessionFolder, name: &str) -> Result<Option<Route>, CommandError> {
    let text = folder.setting(name, Setting::Route);
    let text = text.map_err(|source| CommandError::Session { account: name.to_owned(), source })?.map(Zeroizing::new);
    let route = text.map(|text| Route::parse(&text)).transpose();
    Ok(route.map_err(|source| SessionRouteError::Kept { account: name.to_owned(), source })?)
}

/// `None` to look only, `Some(None)` to have none of its own.
#[expect(clippy::option_option, reason = "nothing to do and nothing to be are two things")]
fn wanted(options: &SessionRoute) -> Result<Option<Option<Route>>, SessionRouteError> {
    if options.unset {
        return Ok(Some(None));
    }
    let read = |path: &Path| read(path).map_err(|source| SessionRouteError::Read { path: path.to_owned(), source });
    let text = match (&options.url, &options.file) {
        (None, None) => return Ok(None),
        (_, Some(file)) => read(file)?,
        (Some(url), None) if url == STDIN => read(Path::new(STDIN))?,
        (Some(url), None) => {
            let route = Route::parse(url)?;
            return if route.holds_secret() { Err(SessionRouteError::InTheOpen) } else { Ok(Some(Some(route))) };
        }
    };
    Ok(Some(Some(Route::parse(&text)?)))
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    if path == Path::new(STDIN) {
        io::stdin().take(LONGEST).read_to_string(&mut text)?;
    } else {
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    }
    Ok(text)
}
