//! The SDK and the contract as they go into a project.

use toml::{Table, Value};

include!(concat!(env!("OUT_DIR"), "/vendored.rs"));

/// The versions of crates that this SDK was tested with. Cargo drops what a project doesn't use.
pub(crate) fn lock_file() -> &'static str {
    LOCK
}

/// Every file by its path below the project's `vendor`; `None` if the SDK's own manifest can't be read.
pub(crate) fn files() -> Option<Vec<(String, String)>> {
    let sdk = SDK.iter().map(|(path, text)| (format!("sdk/src/{path}"), (*text).to_owned()));
    let wit = WIT.iter().map(|(path, text)| (format!("wit/{path}"), (*text).to_owned()));
    let manifest = ("sdk/Cargo.toml".to_owned(), manifest()?);
    // `cargo fmt` in the project goes through these files too.
    let format = ("sdk/rustfmt.toml".to_owned(), FORMAT.to_owned());
    Some([manifest, format].into_iter().chain(sdk).chain(wit).collect())
}

/// The SDK's Cargo.toml without its workspace, which stays behind: what it took from there is written out.
fn manifest() -> Option<String> {
    let workspace: Table = GUESTS_MANIFEST.parse().ok()?;
    let workspace = workspace.get("workspace")?.as_table()?;
    let mut manifest: Table = SDK_MANIFEST.parse().ok()?;
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        package.remove("workspace");
        inherit(package, workspace.get("package"));
    }
    // Its tests stay behind too.
    manifest.remove("dev-dependencies");
    if let Some(dependencies) = manifest.get_mut("dependencies").and_then(Value::as_table_mut) {
        inherit(dependencies, workspace.get("dependencies"));
    }
    if let (Some(lints), Some(shared)) = (manifest.get_mut("lints"), workspace.get("lints"))
        && is_inherited(lints)
    {
        *lints = shared.clone();
    }
    let text = toml::to_string(&manifest).ok()?;
    Some(format!("# A copy, with what its workspace says written out.\n{text}"))
}

/// Puts the workspace's values in the place of `{ workspace = true }`.
fn inherit(table: &mut Table, shared: Option<&Value>) {
    for (key, value) in table.iter_mut() {
        if is_inherited(value)
            && let Some(found) = shared.and_then(|shared| shared.get(key))
        {
            *value = found.clone();
        }
    }
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{files, lock_file, manifest};

    #[test]
    fn the_manifest_stands_alone() {
        let text = manifest().unwrap();
        assert!(!text.contains("workspace ="), "{text}");
        let manifest: toml::Table = text.parse().unwrap();
        assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
        assert!(manifest["package"]["version"].is_str());
        assert!(manifest["lints"]["rust"]["unsafe_code"].is_str());
    }

    #[test]
    fn nothing_is_left_out() {
        let files = files().unwrap();
        let has = |path: &str| files.iter().any(|(name, text)| name == path && !text.is_empty());
        for path in ["sdk/Cargo.toml", "sdk/src/lib.rs", "sdk/src/testing/mod.rs", "wit/worlds.wit", "wit/hooks.wit"] {
            assert!(has(path), "{path}");
        }
        assert!(lock_file().contains("name = \"wit-bindgen\""));
    }
}
