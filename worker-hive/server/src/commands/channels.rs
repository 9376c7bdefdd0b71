//! `worker-hive channels`: the channels that the sessions see, asked of the running hive.

use crate::cli::Config;
use crate::commands::virtual_files::{ask, parsed, table};
use crate::commands::{CommandError, load};
use crate::login_prompt::{printable, say};
use serde::Deserialize;
use std::io::{self, Write};

#[derive(Deserialize)]
struct Listing {
    channels: Vec<Channel>,
    faults: Vec<Failed>,
}

#[derive(Deserialize)]
struct Channel {
    chat_id: i64,
    title: String,
    username: Option<String>,
    sessions: Vec<String>,
}

#[derive(Deserialize)]
struct Failed {
    session: String,
    fault: String,
}

pub(crate) fn run(config: &Config) -> Result<(), CommandError> {
    let answer = ask(&load(config)?, "GET", "/v1/channels", "", None)?;
    let Listing { channels, faults } = parsed(&answer)?;
    for Failed { session, fault } in faults {
        say(&format!("note: `{session}` could not be asked: {fault}"));
    }
    if channels.is_empty() {
        say("note: no user's session runs here that is a member of a channel");
    }
    let mut rows = vec![["CHAT", "NAME", "SESSIONS", "TITLE"].map(str::to_owned)];
    rows.extend(channels.iter().map(|channel| {
        let name = channel.username.as_ref().map_or_else(|| "-".to_owned(), |name| format!("@{}", printable(name)));
        [channel.chat_id.to_string(), name, channel.sessions.join(","), printable(&channel.title)]
    }));
    Ok(io::stdout().write_all(table(&rows).as_bytes())?)
}
