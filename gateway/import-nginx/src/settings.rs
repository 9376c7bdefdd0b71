//! The text of `gateway.toml`.

use crate::cache::Section;
use crate::tenants::{Found, TenantDraft};
use crate::units::size_text;
use std::fmt::Write;

/// A channel that no bot and no user can have, so that a tenant whose channels nobody filled in serves nothing.
const NOBODYS_CHANNEL: i64 = -1;

/// Writes what was found, and `notes` as comments.
pub(crate) fn text(found: &Found, notes: &[String], secrets_folder: &str, sources: &[String]) -> String {
    let mut out = String::new();
    for line in [
        "# Settings of the gateway, translated from nginx's configuration by \"gateway import-nginx\".",
        "# Read the notes at the end, then: gateway check --config FILE",
    ] {
        line_of(&mut out, line);
    }
    for source in sources {
        line_of(&mut out, &format!("# {}", comment(source)));
    }
    line_of(&mut out, "");
    line_of(&mut out, "listen = [");
    for listener in &found.listeners {
        let mut text = format!("    {{ address = {}", quoted(&listener.address.text()));
        if let Some((certificate, key)) = &listener.tls {
            let _ = write!(text, ", tls = {{ certificate = {}, key = {} }}", quoted(certificate), quoted(key));
        }
        if listener.h2c {
            text.push_str(", h2c = true");
        }
        line_of(&mut out, &format!("{text} }},"));
    }
    line_of(&mut out, "]");
    if let Some(threads) = found.shared.threads {
        line_of(&mut out, &format!("threads = {threads}"));
    }
    line_of(
        &mut out,
        "\n# In the place of proxy_pass: the hive, which has the Telegram sessions. The file holds the same token as the hive's.",
    );
    line_of(&mut out, "[hive]");
    line_of(&mut out, "address = \"unix:/run/streamvault/hive.sock\"");
    line_of(&mut out, &format!("token = {{ file = {} }}", quoted(&format!("{secrets_folder}/hive.token"))));
    section(&mut out, "cache", &found.shared.cache);
    section(&mut out, "limits", &found.shared.limits);
    section(&mut out, "log", &found.shared.log);
    for draft in &found.tenants {
        tenant(&mut out, draft, found.tenants.len() > 1, secrets_folder);
    }
    if !notes.is_empty() {
        line_of(&mut out, "\n# What is not above, or not as it was:");
        for note in notes {
            line_of(&mut out, &format!("# {}", comment(note)));
        }
    }
    out
}

/// Name of the file with a tenant's link secret.
pub(crate) fn secret_file(id: &str) -> String {
    format!("{id}.link.secret")
}

fn tenant(out: &mut String, draft: &TenantDraft, several: bool, secrets_folder: &str) {
    line_of(out, "\n[[tenant]]");
    line_of(out, &format!("id = {}", quoted(&draft.id)));
    let domains: Vec<_> = draft.domains.iter().map(|domain| quoted(domain)).collect();
    line_of(out, &format!("domains = [{}]", domains.join(", ")));
    if several {
        line_of(out, "# FILL IN the tenant's channels, as \"worker-hive channels\" prints them; this one is nobody's.");
        line_of(out, &format!("channels = [{NOBODYS_CHANNEL}]"));
    }
    line_of(out, "\n[tenant.link]");
    for (key, value) in [
        ("expression", &draft.link.expression),
        ("token_parameter", &draft.link.token_parameter),
        ("expires_parameter", &draft.link.expires_parameter),
    ] {
        line_of(out, &format!("{key} = {}", quoted(value)));
    }
    let file = format!("{secrets_folder}/{}", secret_file(&draft.id));
    line_of(out, &format!("secrets = [{{ id = \"imported\", secret = {{ file = {} }} }}]", quoted(&file)));
    let limits = &draft.limits;
    let rows = [
        ("streams", limits.streams.map(|streams| streams.to_string())),
        ("viewer_streams", limits.viewer_streams.map(|streams| streams.to_string())),
        ("viewer_bytes_per_second", limits.viewer_bytes_per_second.map(|rate| quoted(&size_text(rate)))),
    ];
    if rows.iter().any(|(_, value)| value.is_some()) {
        line_of(out, "\n[tenant.limits]");
        for (key, value) in rows.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            line_of(out, &format!("{key} = {value}"));
        }
    }
}

fn section(out: &mut String, name: &str, keys: &Section) {
    if keys.is_empty() {
        return;
    }
    line_of(out, &format!("\n[{name}]"));
    for (key, value) in keys {
        line_of(out, &format!("{key} = {value}"));
    }
}

fn line_of(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A comment is one line, whatever a file is called.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
