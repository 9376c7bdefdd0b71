//! What an author's tools need: a manifest to start from, and a signature.

use crate::error::PackageError;
use crate::files::unreadable;
use crate::hook::Hook;
use crate::manifest::Manifest;
use crate::package::Files;
use crate::trust::{TrustError, sign};
use std::fs;
use std::path::{Path, PathBuf};

/// Why a folder is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It would not be loaded either.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The private key doesn't hold.
    #[error(transparent)]
    Key(#[from] TrustError),
}

/// Signs a plugin's folder as it is now: writes `<component>.sig` beside the component, in one step, and returns its path.
///
/// # Errors
/// [`SignError`]: the folder must hold a good manifest and a component, the key must be a PKCS #8 PEM text.
pub fn sign_folder(folder: &Path, private_pem: &str) -> Result<PathBuf, SignError> {
    let files = Files::read(folder)?;
    let signature = sign(private_pem, &files.manifest, &files.wasm)?;
    let file = files.folder.path(&Files::signature(&files.parsed));
    write_whole(&file, signature.as_bytes())?;
    Ok(file)
}

/// A gateway that reloads meanwhile sees the old signature or the new one, never half of it.
#[expect(clippy::disallowed_methods, reason = "the one place that writes into a plugin's folder")]
fn write_whole(file: &Path, text: &[u8]) -> Result<(), PackageError> {
    let beside = file.with_extension("sig.new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    written.map_err(|source| unreadable(file, source))
}

impl Manifest {
    /// The text of a manifest to start from: every key with what it means and, commented out, its default.
    #[must_use]
    pub fn template(name: &str, hook: Hook) -> String {
        let (time, wall) = match hook {
            Hook::Observe => ("50ms", "5s"),
            Hook::Tenant | Hook::Policy | Hook::Ads => ("5ms", "250ms"),
        };
        let file = name.replace('-', "_");
        TEMPLATE
            .replace("{name}", name)
            .replace("{file}", &file)
            .replace("{hook}", hook.name())
            .replace("{world}", hook.world())
            .replace("{fail}", hook.default_fail().name())
            .replace("{time}", time)
            .replace("{wall}", wall)
    }
}

/// In braces: what [`Manifest::template`] fills in.
const TEMPLATE: &str = r#"# What the gateway must know about this plugin before it runs it. What is commented out shows its default. An operator can
# put something else in the place of order, fail, isolation, canary and limits, in the [[plugin]] table of gateway.toml.

# 1 to 64 of a-z, 0-9, "-" and "_".
name = "{name}"
version = "0.1.0"
# One line for operators.
description = ""
# What it is asked: "tenant", "policy", "ads" or "observe". The component must be built for the world {world}.
hook = "{hook}"
# Version of the contract streamvault:plugin that it was built for.
abi = "0.1"
# The component, beside this file.
wasm = "{file}.wasm"
# Place among the plugins of the same hook: lower ones are asked first, equal ones by name.
# order = 100
# What failing means for the request at hand: "closed" refuses it with 503, "open" goes on as if the plugin had not been asked.
# Tenant plugins are always closed, observe plugins always open.
# fail = "{fail}"
# "warm" keeps instances between the calls of one tenant, "request" makes a fresh one for each call.
# isolation = "warm"
# Share of requests that a newly loaded version gets until an operator promotes it. Left out: all at once.
# canary = 0.05

# Headers and cookies of a request that the plugin may read, up to 32 each. For policy and ads. Credentials, headers of the
# connection and the gateway's own are never shown; an ads plugin sets no cookies but these.
[visible]
# headers = ["referer", "user-agent"]
# cookies = ["sv_access"]

[limits]
# Running time of one call, 1ms to 10s.
# time = "{time}"
# Time of one call with all its waiting, up to 60s.
# wall = "{wall}"
# Memories and tables of one instance together, 64KiB to 1GiB.
# memory = "16MiB"
# Bytes that one call may hand over, in arguments and in its result, 4KiB to 64MiB.
# hostcall_bytes = "4MiB"
# Log lines a second, up to 100000.
# log_lines = 100
# Keys in the store of one tenant, up to 1000000, and bytes of one value, 32B to 1MiB.
# kv_keys = 10000
# kv_value = "4KiB"
# Instances at once for one tenant, up to 1024.
# instances = 8
# Calls after which a warm instance is replaced, up to 1000000000.
# calls = 100000
# Longest playlist that an ads plugin is asked about, up to 1MiB.
# playlist = "256KiB"

# Settings that an operator gives in [plugin.settings], checked before the plugin runs. Kinds: "text", "secret", "integer",
# "boolean", "texts" (a list). `min` and `max` bound an integer, the bytes of a text or secret, the entries of a list;
# `choices` lists what a text, or each of a list, may be. Without `required` and `default` the plugin is told that there is none.
# [settings.mode]
# kind = "text"
# doc = "Whom to let in."
# default = "everybody"
# choices = ["everybody", "members"]
#
# [settings.token]
# kind = "secret"
# doc = "Shared with the shop: a text, { file = \"/path\" } or { env = \"NAME\" }."
# required = true
# min = 16
"#;
