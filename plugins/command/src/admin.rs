//! `list`, `reload`, `enable`, `disable`, `rollback`, `promote`: talk to a running gateway's admin listener.

use crate::cli::{List, Named};
use crate::error::CommandError;
use crate::listing::{self, Listed};
use admin_client::{AdminClient, Gateway};
use http::Method;
use serde::Deserialize;
use std::io::{Write, stdout};
use std::time::Duration;

/// A reload compiles every plugin that has changed, one after the other.
const ANSWER: Duration = Duration::from_secs(300);

/// What a change came to.
#[derive(Deserialize)]
struct Done {
    changes: Vec<String>,
}

pub(crate) fn list(list: &List) -> Result<(), CommandError> {
    let admin = AdminClient::new(&list.gateway, ANSWER)?;
    let body = admin.ask(Method::GET, "/v1/plugins")?;
    let text = if list.json { body } else { listing::table(&admin.read::<Vec<Listed>>(&body)?) };
    write!(stdout(), "{text}")?;
    Ok(())
}

/// A change to all plugins. Fails if it leaves one that should be in service and is not, or not as its files are.
pub(crate) fn change(gateway: &Gateway, what: &str) -> Result<(), CommandError> {
    let admin = AdminClient::new(gateway, ANSWER)?;
    let done = admin.ask(Method::POST, &format!("/v1/plugins/{what}"))?;
    for line in admin.read::<Done>(&done)?.changes {
        writeln!(stdout(), "{line}")?;
    }
    let listed = admin.ask(Method::GET, "/v1/plugins")?;
    let problems: Vec<String> = admin.read::<Vec<Listed>>(&listed)?.iter().filter_map(Listed::problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(CommandError::failed(problems.join("\n"))) }
}

/// A change to one plugin.
pub(crate) fn change_one(named: &Named, what: &str) -> Result<(), CommandError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if named.name.is_empty() || !named.name.bytes().all(plain) {
        return Err(CommandError::failed(format!("{:?} is no name for a plugin", named.name)));
    }
    let admin = AdminClient::new(&named.gateway, ANSWER)?;
    let done = admin.ask(Method::POST, &format!("/v1/plugins/{}/{what}", named.name))?;
    for line in admin.read::<Done>(&done)?.changes {
        writeln!(stdout(), "{line}")?;
    }
    Ok(())
}
