//! `plugin.toml`.

use crate::error::PackageError;
use crate::hook::{FailPolicy, Hook, Isolation};
use crate::limits::{LimitOverrides, Limits};
use crate::names::{NAME, bad_cookie, hidden_header, is_name};
use crate::reader::{Report, Section};
use crate::settings::Setting;
use config::{ByteSize, Problem, TimeSpan};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// The version of the contract that this gateway speaks: `streamvault:plugin@0.1.x`.
const ABI: &str = "0.1";

pub(crate) const ORDER: RangeInclusive<i32> = -1_000_000..=1_000_000;
const DEFAULT_ORDER: i32 = 100;
const MOST_VISIBLE: usize = 32;
const MOST_SETTINGS: usize = 256;

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
    /// Share of requests that a newly loaded generation gets until it is promoted: above 0, or 0 if the operator says so, and below
    /// 1. `None`: all at once.
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

impl Manifest {
    /// Parses and checks the text of a `plugin.toml`; `file` is for messages only.
    ///
    /// # Errors
    /// [`PackageError::Manifest`] with every problem that was found.
    pub fn parse(text: &str, file: &Path) -> Result<Self, PackageError> {
        let mut report = Report::new(file, text);
        let manifest = report.parse().and_then(|table| read(&mut report, table.get_ref()));
        report.finish().map_err(PackageError::Manifest)?;
        // Whatever kept the manifest from being read has been reported.
        manifest.ok_or_else(|| PackageError::Manifest(Vec::<Problem>::new()))
    }
}

fn read(report: &mut Report<'_>, table: &DeTable<'_>) -> Option<Manifest> {
    let empty = DeTable::new();
    let mut root = Section::root(table);
    let name: Option<String> = root.require(report, "name");
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        root.problem(report, "name", NAME);
    }
    let version: Option<String> = root.require(report, "version");
    if version.as_deref().is_some_and(|version| !is_version(version)) {
        root.problem(report, "version", "must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"-\" and \"+\", such as \"1.0.0\"");
    }
    let hook: Option<Hook> = root.require(report, "hook");
    let description: String = root.read(report, "description").unwrap_or_default();
    if description.chars().count() > 500 || description.chars().any(char::is_control) {
        root.problem(report, "description", "must be one line of up to 500 characters");
    }
    let abi: Option<String> = root.read(report, "abi");
    if abi.as_deref().is_some_and(|abi| abi != ABI) {
        root.problem(report, "abi", format!("this gateway speaks version \"{ABI}\" of the contract"));
    }
    let wasm = root.read(report, "wasm").unwrap_or_else(|| "plugin.wasm".to_owned());
    if let Err(message) = check_file_name(&wasm) {
        root.problem(report, "wasm", message);
    }
    let order = root.read(report, "order").unwrap_or(DEFAULT_ORDER);
    if !ORDER.contains(&order) {
        root.problem(report, "order", format!("must lie between {} and {}", ORDER.start(), ORDER.end()));
    }
    let fail: Option<FailPolicy> = root.read(report, "fail");
    if let (Some(hook), Some(fail)) = (hook, fail)
        && let Err(message) = check_fail(hook, fail)
    {
        root.problem(report, "fail", message);
    }
    let isolation = root.read(report, "isolation").unwrap_or(Isolation::Warm);
    let canary: Option<f64> = root.read(report, "canary");
    if canary.is_some_and(|share| !(share > 0.0 && share < 1.0)) {
        root.problem(report, "canary", "must be a share above 0.0 and below 1.0; leave it out for all at once");
    }
    let visible = root.section(report, "visible", &empty);
    let visible = read_visible(report, visible, hook);
    let named = root.section(report, "limits", &empty);
    let named = read_limits(report, named);
    let mut limits = Limits::of(hook.unwrap_or(Hook::Policy));
    for wrong in limits.apply(&named) {
        root.section(report, "limits", &empty).problem(report, wrong.key, wrong.message);
    }
    let schema = root.section(report, "settings", &empty);
    let schema = read_schema(report, schema);
    root.finish(report);
    let hook = hook?;
    let fail = fail.unwrap_or(hook.default_fail());
    let (name, version) = (name?, version?);
    Some(Manifest { name, version, description, hook, wasm, order, fail, isolation, canary, visible, limits, schema })
}

/// Whether a hook can fail in this way.
pub(crate) fn check_fail(hook: Hook, fail: FailPolicy) -> Result<(), &'static str> {
    match (hook, fail) {
        (Hook::Tenant, FailPolicy::Open) => {
            Err("a tenant plugin fails closed: its hosts must not be served as another's")
        }
        (Hook::Observe, FailPolicy::Closed) => Err("an observe plugin fails open: it hears of requests that are over"),
        _ => Ok(()),
    }
}

fn is_version(version: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    (1..=64).contains(&version.len()) && version.bytes().all(plain)
}

/// The component lies beside the manifest, under a plain name. Compiled code is the host's own to make: from outside it would
/// be native code, run without any check.
fn check_file_name(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    if name.ends_with(".cwasm") {
        return Err("compiled code (.cwasm) is not accepted; name the .wasm that it was made of");
    }
    if name.len() > 128 || name.starts_with('.') || !name.bytes().all(plain) || !name.ends_with(".wasm") {
        return Err("must be the plain name of a .wasm file beside this manifest");
    }
    Ok(())
}

fn read_visible(report: &mut Report<'_>, mut section: Section<'_, '_>, hook: Option<Hook>) -> Visible {
    let headers: Vec<String> = section.read(report, "headers").unwrap_or_default();
    let cookies: Vec<String> = section.read(report, "cookies").unwrap_or_default();
    let blind = matches!(hook, Some(Hook::Tenant | Hook::Observe));
    for (key, names, refuse) in
        [("headers", &headers, hidden_header as fn(&str) -> Option<&'static str>), ("cookies", &cookies, bad_cookie)]
    {
        if blind && !names.is_empty() {
            section.problem(report, key, "plugins of this hook see no request");
        }
        if names.len() > MOST_VISIBLE {
            section.problem(report, key, format!("up to {MOST_VISIBLE} can be visible"));
        }
        for (name, reason) in names.iter().take(MOST_VISIBLE).filter_map(|name| Some((name, refuse(name)?))) {
            section.problem(report, key, format!("{name:?} {reason}"));
        }
    }
    section.finish(report);
    let sorted = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    Visible { headers: sorted(headers), cookies: sorted(cookies) }
}

fn read_limits(report: &mut Report<'_>, mut section: Section<'_, '_>) -> LimitOverrides {
    let named = LimitOverrides {
        time: section.read::<TimeSpan>(report, "time").map(Duration::from),
        wall: section.read::<TimeSpan>(report, "wall").map(Duration::from),
        memory: section.read(report, "memory").map(ByteSize::bytes),
        hostcall_bytes: section.read(report, "hostcall_bytes").map(ByteSize::bytes),
        log_lines: section.read(report, "log_lines"),
        kv_keys: section.read(report, "kv_keys"),
        kv_value: section.read(report, "kv_value").map(ByteSize::bytes),
        instances: section.read(report, "instances"),
        calls: section.read(report, "calls"),
        playlist: section.read(report, "playlist").map(ByteSize::bytes),
    };
    section.finish(report);
    named
}

fn read_schema(report: &mut Report<'_>, section: Section<'_, '_>) -> BTreeMap<String, Setting> {
    let mut schema = BTreeMap::new();
    for (index, (name, mut entry)) in section.sections(report).into_iter().enumerate() {
        if index == MOST_SETTINGS {
            entry.problem(report, "kind", format!("up to {MOST_SETTINGS} settings can be known"));
            break;
        }
        if !is_name(name) {
            entry.problem(report, "kind", format!("the setting's name {NAME}"));
        }
        let setting = Setting::read(report, &mut entry);
        entry.finish(report);
        schema.extend(setting.map(|setting| (name.to_owned(), setting)));
    }
    schema
}
