//! Steps before `start`, and those that mean the same after it: what is in the settings.

use crate::films::{NewFilm, size};
use crate::{Failure, Fixed, PluginSettings, Settings};
use telegram_sim::{Document, Shape};

/// Adds a step to what will be started.
pub(super) fn prepare(mut settings: Settings, words: &[&str]) -> Result<Settings, Failure> {
    Ok(match words {
        ["film", name, bytes, options @ ..] => {
            settings.with_film(film(NewFilm::generated(name, size(bytes)?), options)?)
        }
        ["text", name, text, options @ ..] => {
            let film = film(NewFilm::generated(name, text.len() as u64), options)?;
            let document = Document::from_bytes(name, film.dc, text.as_bytes().to_vec());
            settings.with_film(NewFilm { document: Some(document), ..film })
        }
        ["accounts", count] => Settings { accounts: count.parse()?, ..settings },
        ["shape", shape] => Settings { shape: serde_json::from_str::<Shape>(shape)?, ..settings },
        ["gateway", key, value] => settings.gateway(key, value),
        ["hive", key, value] => settings.hive(key, value),
        ["tenant", id, key, value] => settings.tenant(id, key, value),
        ["tenant", id] => settings.tenant(id, "id", &format!("{id:?}")),
        ["plugin", name, options @ ..] => settings.plugin(plugin(name, options)?),
        ["policy", name, verdict @ ..] => settings.plugin(PluginSettings::fixed(name, Fixed::read(verdict)?)),
        ["secret", tenant, name, text] => {
            settings.secrets.push(((*tenant).to_owned(), (*name).to_owned(), (*text).to_owned()));
            settings
        }
        ["redis"] => Settings { redis: true, ..settings },
        ["signed"] => Settings { signed: true, ..settings },
        _ => return Err("no such step before start".into()),
    })
}

fn film(mut film: NewFilm, options: &[&str]) -> Result<NewFilm, Failure> {
    for option in options {
        match option.split_once('=') {
            Some(("dc", dc)) => film.dc = dc.parse()?,
            Some(("channel", channel)) => film.channel = channel.parse()?,
            _ => return Err(format!("no such option of a film: {option}").into()),
        }
    }
    Ok(film)
}

/// `NAME [as OTHER] KEY=TOML…`.
pub(super) fn plugin(name: &str, options: &[&str]) -> Result<PluginSettings, Failure> {
    let mut plugin = PluginSettings::new(name);
    let options = match options {
        ["as", other, rest @ ..] => {
            (*other).clone_into(&mut plugin.name);
            rest
        }
        all => all,
    };
    for option in options {
        let (key, value) = option.split_once('=').ok_or_else(|| format!("{option} is not KEY=TOML"))?;
        plugin = plugin.set(key, value);
    }
    Ok(plugin)
}
