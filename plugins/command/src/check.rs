//! `check`: everything that loading would do, with the host itself, and a first call.

use crate::ask::{Question, chain, ordinary};
use crate::cli::Check;
use crate::error::CommandError;
use crate::facts::TENANT;
use crate::session::{Workshop, block_on, in_memory, settings, spec};
use config::{GatewaySettings, Loaded};
use plugin_package::{Package, Spec, Trust};
use std::io::{Write, stderr, stdout};
use std::path::Path;
use toml::Table;

pub(crate) fn check(check: &Check) -> Result<(), CommandError> {
    let (specs, trust) = wanted(check)?;
    if specs.is_empty() {
        writeln!(stdout(), "no [[plugin]] in these settings")?;
        return Ok(());
    }
    let workshop = Workshop::new()?;
    let mut failed = 0;
    for spec in &specs {
        writeln!(stdout(), "{}  {}", spec.name, spec.folder.display())?;
        match block_on(one(&workshop, spec, &trust)) {
            Ok(()) => {}
            Err(CommandError::Output(error)) => return Err(error.into()),
            Err(error) => {
                failed += 1;
                for line in error.to_string().lines() {
                    writeln!(stdout(), "  FAIL  {line}")?;
                }
            }
        }
    }
    if failed > 0 {
        return Err(CommandError::failed(format!("{failed} of {} would not be loaded or not answer", specs.len())));
    }
    Ok(())
}

/// Which plugins, under which operator's eyes.
fn wanted(check: &Check) -> Result<(Vec<Spec>, Trust), CommandError> {
    let Some(config) = &check.config else {
        let given = check.settings.as_deref().map_or_else(|| Ok(Table::new()), settings)?;
        let folder = check.folder.as_deref().unwrap_or(Path::new("."));
        return Ok((vec![spec(folder, given)?], Trust::default()));
    };
    let Loaded { settings, warnings } = config::load::<GatewaySettings>(config)?;
    for warning in warnings {
        let _ = writeln!(stderr(), "warning: {warning}");
    }
    let trust = plugin_package::trust(&settings.plugins)?;
    let mut specs = plugin_package::specs(&settings.plugin);
    let known = specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &check.name {
        specs.retain(|spec| spec.name == *name);
        if specs.is_empty() {
            return Err(CommandError::content(config, format!("has no plugin {name:?}; it has: {known}")));
        }
    }
    if let Some(folder) = &check.folder {
        let [spec] = specs.as_mut_slice() else {
            return Err(CommandError::content(
                config,
                format!("say which plugin's settings by --name; it has: {known}"),
            ));
        };
        folder.clone_into(&mut spec.folder);
    }
    Ok((specs, trust))
}

async fn one(workshop: &Workshop, spec: &Spec, trust: &Trust) -> Result<(), CommandError> {
    let package = Package::open(spec, trust)?;
    let manifest = &package.manifest;
    let ok = |what: &str, text: String| writeln!(stdout(), "  ok    {what:<12} {text}");
    ok("manifest", format!("{} {}, hook {}, fail {}", manifest.name, manifest.version, manifest.hook, manifest.fail))?;
    ok("settings", format!("{} given, {} in all", spec.settings.len(), package.settings.len()))?;
    if spec.sha256.is_some() {
        ok("pin", "the component is the one that the settings name".to_owned())?;
    }
    ok(
        "signature",
        match (&package.signed_by, trust.keys.is_empty()) {
            (Some(id), _) => format!("by {id}"),
            (None, false) => "none".to_owned(),
            (None, true) => "not looked at: no trusted keys".to_owned(),
        },
    )?;
    // What was loaded is what is shown: the session reads the folder again, and a pin on what was read here keeps it the same.
    let pinned = Spec { sha256: Some(package.sha256), ..spec.clone() };
    let session = workshop.session(pinned, trust.clone(), in_memory()).await?;
    ok("component", format!("{} bytes, fits contract {}", package.wasm.len(), plugin_host::CONTRACT))?;
    let question = Question::of(&ordinary(session.hook()), session.hook(), Path::new("a first call"), 1)?;
    let answer = question.put(&session, &chain(&session, TENANT)?).await;
    let text = |key: &str| answer.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    if text("verdict") == "failed" {
        let why = if answer.contains_key("reason") { text("reason") } else { text("failure") };
        return Err(CommandError::failed(format!("its first call failed: {why}")));
    }
    ok("first call", text("verdict"))?;
    if !spec.enabled {
        writeln!(stdout(), "  note  disabled in the settings")?;
    }
    Ok(())
}
