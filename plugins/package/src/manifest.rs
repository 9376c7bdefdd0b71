//! `plugin.toml`.

use crate::hook::{FailPolicy, Hook, Isolation};
use crate::limits::Limits;
use crate::settings::Setting;
use std::collections::BTreeMap;

/// What a plugin says about itself. From [`Package::open`](crate::Package::open) it has the operator's overrides applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The plugin's name: 1 to 64 of a-z, 0-9, `-`, `_`.
    pub name: String,
    /// Its version: 1 to 64 of A-Z, a-z, 0-9, `.`, `-`, `+`.
    pub version: String,
    /// Up to 500 characters on one line.
    pub description: String,
    /// What it is asked.
    pub hook: Hook,
    /// The component's file beside the manifest: a plain name that ends in `.wasm`. Default `plugin.wasm`.
    pub wasm: String,
    /// Lower ones are asked first, equals by name. -1,000,000 to 1,000,000, default 100.
    pub order: i32,
    /// What failing means.
    pub fail: FailPolicy,
    /// How long an instance lives; default [`Isolation::Warm`].
    pub isolation: Isolation,
    /// Share of requests that a newly loaded generation gets until it is promoted: above 0, below 1. `None`: all at once.
    pub canary: Option<f64>,
    /// What it may see of a request.
    pub visible: Visible,
    /// What it may use.
    pub limits: Limits,
    /// The settings that it knows, up to 256.
    pub schema: BTreeMap<String, Setting>,
}

/// What a plugin may see of a request beside what each may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visible {
    /// Header names in lower case, up to 32, sorted. None of a connection, a credential or the gateway itself.
    pub headers: Vec<String>,
    /// Cookie names, up to 32, sorted; case counts. An ads plugin may set these and no others.
    pub cookies: Vec<String>,
}
