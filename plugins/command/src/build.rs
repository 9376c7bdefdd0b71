//! `build`: cargo's work, and the component in its place.

use crate::cli::Build;
use crate::disk;
use crate::error::CommandError;
use plugin_package::Manifest;
use serde::Deserialize;
use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-wasip2";

pub(crate) fn build(build: &Build) -> Result<(), CommandError> {
    let file = build.folder.join("plugin.toml");
    let text = disk::read_text(&file)?;
    let manifest = Manifest::parse(&text, &file)?;
    let component = disk::read(&cargo(build)?)?;
    let into = build.into.as_deref().unwrap_or(&build.folder);
    let place = into.join(&manifest.wasm);
    disk::place(&place, &component)?;
    if build.into.is_some() {
        disk::place(&into.join("plugin.toml"), text.as_bytes())?;
    }
    writeln!(stdout(), "{} ({} bytes)", place.display(), component.len())?;
    Ok(())
}

/// Runs cargo, whose messages go to standard error, and returns where it put the component.
fn cargo(build: &Build) -> Result<PathBuf, CommandError> {
    let manifest = build.folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(CommandError::file(&manifest))?;
    // Inside of a cargo command this is that very cargo.
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(&program);
    cargo.args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    cargo.args(build.offline.then_some("--offline"));
    cargo.current_dir(&build.folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = cargo.spawn().map_err(CommandError::file(Path::new(&program)))?;
    let mut component = None;
    if let Some(messages) = running.stdout.take() {
        for line in BufReader::new(messages).lines() {
            component = artifact(&line?, &manifest).or(component);
        }
    }
    if !running.wait()?.success() {
        let hint = "see above; if it lacks the target: rustup target add wasm32-wasip2";
        return Err(CommandError::failed(format!("cargo built no component: {hint}")));
    }
    component
        .ok_or_else(|| CommandError::content(&manifest, "makes no component: [lib] needs crate-type = [\"cdylib\"]"))
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Where the component of the crate with this manifest is, if this line of cargo's tells.
fn artifact(line: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    if message.reason != "compiler-artifact" || message.manifest_path != manifest {
        return None;
    }
    message.filenames.into_iter().find(|file| file.extension().is_some_and(|end| end == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::artifact;
    use std::path::{Path, PathBuf};

    #[test]
    fn finds_the_component_among_cargo_s_messages() {
        let line = |reason: &str, manifest: &str| {
            format!(
                r#"{{"reason":"{reason}","package_id":"x","manifest_path":"{manifest}","filenames":["/t/x.d","/t/x.wasm"],"fresh":true}}"#
            )
        };
        let ours = Path::new("/p/Cargo.toml");
        assert_eq!(artifact(&line("compiler-artifact", "/p/Cargo.toml"), ours), Some(PathBuf::from("/t/x.wasm")));
        assert_eq!(artifact(&line("compiler-artifact", "/q/Cargo.toml"), ours), None);
        assert_eq!(artifact(&line("compiler-message", "/p/Cargo.toml"), ours), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#, ours), None);
        assert_eq!(artifact("Compiling x", ours), None);
    }
}
