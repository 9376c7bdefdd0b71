//! `worker-hive sessions`: what is in the store, and what the running hive says about it.

use crate::cli::{Config, Named, Sessions, SessionsAction};
use crate::commands::live::{self, Live};
use crate::commands::route;
use crate::commands::{CommandError, load, open_folder};
use crate::login_prompt::printable;
use config::HiveSettings;
use mtproto::{AccountInfo, SessionFolder, Setting, StoreError};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// How long a running hive may take to let go of a session that was disabled.
const LET_GO: Duration = Duration::from_secs(15);

pub(crate) fn run(options: &Sessions) -> Result<(), CommandError> {
    match &options.action {
        None => show(options),
        Some(SessionsAction::Disable(named)) => set_disabled(named, true),
        Some(SessionsAction::Enable(named)) => set_disabled(named, false),
        Some(SessionsAction::Remove(named)) => remove(named),
        Some(SessionsAction::Route(route)) => route::run(route),
    }
}

fn show(options: &Sessions) -> Result<(), CommandError> {
    // The command line has it where there is no subcommand.
    let Some(config) = options.config.clone() else { return Ok(()) };
    let settings = load(&Config { config })?;
    let sessions = describe(&settings)?;
    let live = live::ask(settings.admin.address).unwrap_or_default();
    io::stdout().write_all(table(&sessions, &live).as_bytes())?;
    Ok(())
}

pub(crate) fn describe(settings: &HiveSettings) -> Result<Vec<AccountInfo>, CommandError> {
    let folder = open_folder(settings)?;
    let describe =
        |account: String| folder.describe(&account).map_err(|source| CommandError::Session { account, source });
    folder.accounts()?.into_iter().map(describe).collect()
}

fn set_disabled(named: &Named, disabled: bool) -> Result<(), CommandError> {
    let settings = load(&named.config)?;
    mark(&open_folder(&settings)?, &named.name, disabled)?;
    writeln!(io::stdout(), "{} {}", if disabled { "disabled" } else { "enabled" }, named.name)?;
    if disabled {
        say_of_others(&settings);
    }
    Ok(())
}

/// Each store has its own word on who is in service, and hives that share sessions may have stores of their own.
fn say_of_others(settings: &HiveSettings) {
    if settings.redis.is_some() {
        eprintln!(
            "note: hives with other stores go on running the session: do the same on every machine that has a copy"
        );
    }
}

fn mark(folder: &SessionFolder, name: &str, disabled: bool) -> Result<(), CommandError> {
    folder
        .set_setting(name, Setting::Disabled, disabled.then_some("1"))
        .map_err(|source| CommandError::Session { account: name.to_owned(), source })
}

#[expect(clippy::disallowed_methods, reason = "a command that waits for another process owns its clock")]
fn remove(named: &Named) -> Result<(), CommandError> {
    let settings = load(&named.config)?;
    let folder = open_folder(&settings)?;
    // A hive that runs it sees that and closes it. One that can't be encrypted again can be removed all the same.
    match mark(&folder, &named.name, true) {
        Err(CommandError::Session { source: StoreError::KeyNeeded | StoreError::WrongKey, .. }) => {}
        other => other?,
    }
    let deadline = Instant::now() + LET_GO;
    loop {
        match folder.remove(&named.name) {
            // SQLite waits for some seconds by itself.
            Err(StoreError::Busy) if Instant::now() < deadline => {}
            Err(source) => return Err(CommandError::Session { account: named.name.clone(), source }),
            Ok(()) => break,
        }
    }
    writeln!(io::stdout(), "removed {}", named.name)?;
    say_of_others(&settings);
    Ok(())
}

fn table(sessions: &[AccountInfo], live: &BTreeMap<String, Live>) -> String {
    const HEAD: [&str; 12] = [
        "ACCOUNT",
        "KIND",
        "PREMIUM",
        "USER ID",
        "HOME DC",
        "DCS",
        "PEERS",
        "STATE",
        "LOAD",
        "SPEED",
        "FLOOD UNTIL",
        "LAST ERROR",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for info in sessions {
        let dcs: Vec<String> = info.authorized_dcs.iter().map(i32::to_string).collect();
        let known = info.user_id != 0;
        let idle = Live::stored(info.disabled);
        let live = live.get(&info.account).unwrap_or(&idle);
        let premium = info.premium.map_or("unknown", |premium| if premium { "yes" } else { "no" });
        rows.push([
            info.account.clone(),
            if !known {
                "unknown"
            } else if info.bot {
                "bot"
            } else {
                "user"
            }
            .to_owned(),
            premium.to_owned(),
            if known { info.user_id.to_string() } else { "unknown".to_owned() },
            info.home_dc.to_string(),
            dcs.join(","),
            info.peers.to_string(),
            printable(&live.state),
            printable(&live.load),
            printable(&live.speed),
            printable(&live.flood_until),
            printable(&live.last_error),
        ]);
    }
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::commands::live::Live;
    use mtproto::AccountInfo;
    use std::collections::BTreeMap;

    fn info(account: &str, user_id: i64, disabled: bool) -> AccountInfo {
        AccountInfo {
            account: account.into(),
            user_id,
            bot: true,
            premium: None,
            api_id: 1,
            home_dc: 2,
            authorized_dcs: vec![2, 4],
            peers: 12,
            disabled,
            encrypted: false,
            key_id: 9,
        }
    }

    #[test]
    fn columns_line_up() {
        let mut live = BTreeMap::new();
        let state = "flood\u{1b}[2J".to_owned();
        live.insert("b".to_owned(), Live { state, load: "3/15".to_owned(), ..Live::stored(false) });
        let text = table(&[info("a-rather-long-name", 7, true), info("b", 0, false)], &live);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("HOME DC"), lines[1].find("2  "));
        assert_eq!(lines[0].find("LOAD"), lines[2].find("3/15"));
        assert!(lines[1].contains("2,4") && lines[1].contains("unknown") && lines[1].contains("disabled"), "{text}");
        assert!(lines[2].contains("flood?[2J"), "nobody steers the terminal");
    }
}
