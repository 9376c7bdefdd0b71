//! Lists what `gateway plugin new` puts into a project: the SDK and the contract, as they are at this commit.
#![expect(clippy::disallowed_methods, reason = "writes into cargo's own output folder")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let home = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let plugins = home.join("..").canonicalize()?;
    let mut text = String::new();
    for (name, folder) in [("SDK", "sdk/src"), ("WIT", "wit")] {
        let folder = plugins.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        walk(&folder, &mut files)?;
        files.sort();
        let mut list = String::new();
        for file in &files {
            let inside = file.strip_prefix(&folder).unwrap_or(file);
            let _ = write!(list, "({inside:?}, include_str!({file:?})),");
        }
        let _ = writeln!(text, "static {name}: &[(&str, &str)] = &[{list}];");
    }
    for (name, file) in [
        ("SDK_MANIFEST", "sdk/Cargo.toml"),
        ("GUESTS_MANIFEST", "guests/Cargo.toml"),
        ("LOCK", "guests/Cargo.lock"),
        ("FORMAT", "../rustfmt.toml"),
    ] {
        let _ = writeln!(text, "static {name}: &str = include_str!({:?});", plugins.join(file));
    }
    fs::write(out.join("vendored.rs"), text)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs" || end == "wit") {
            files.push(path);
        }
    }
    Ok(())
}
