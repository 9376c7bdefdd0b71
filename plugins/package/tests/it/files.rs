//! The folder: what is read, and what is left alone.

use crate::support::{Folder, WASM, chmod};
use plugin_package::{Manifest, Package, Spec, Trust};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_good_folder_opens() {
    let folder = Folder::new();
    let package = folder.open().unwrap();
    assert_eq!(package.wasm, WASM);
    assert_eq!(package.signed_by, None);
    assert_eq!(Manifest::read(&folder.path()).unwrap(), package.manifest);
    // A whole folder may be reached by a link: that is the operator's own path.
    symlink("plugin", folder.file("../current")).unwrap();
    assert_eq!(Package::open(&Spec::new("slot", folder.file("../current")), &Trust::default()).unwrap(), package);
}

/// A change to a good folder, and what the operator reads.
type Case = (&'static str, fn(&Folder), &'static str);

#[test]
fn spoilt_folders_are_refused() {
    let cases: &[Case] = &[
        ("no folder", |f| fs::rename(f.path(), f.file("../gone")).unwrap(), ".: can't be read: No such file"),
        ("no manifest", |f| fs::remove_file(f.file("plugin.toml")).unwrap(), "plugin.toml: is not there"),
        ("no component", |f| fs::remove_file(f.file("plugin.wasm")).unwrap(), "plugin.wasm: is not there"),
        ("not text", |f| f.write("plugin.toml", b"\xff"), "plugin.toml: is not UTF-8 text"),
        ("manifest too long", |f| f.write("plugin.toml", &vec![b'\n'; 262_145]), "plugin.toml: is larger than 256 KiB"),
        ("folder of all", |f| chmod(&f.path(), 0o777), ".: everybody can write to this folder"),
        ("manifest of all", |f| chmod(&f.file("plugin.toml"), 0o646), "plugin.toml: everybody can write to this file"),
        ("component of all", |f| chmod(&f.file("plugin.wasm"), 0o666), "plugin.wasm: everybody can write to this file"),
        ("empty component", |f| f.write("plugin.wasm", b""), "plugin.wasm: is no WebAssembly"),
        ("compiled", |f| f.write("plugin.wasm", b"\x7fELF\x02"), "plugin.wasm: is compiled code (.cwasm)"),
        (
            "component is a folder",
            |f| {
                fs::remove_file(f.file("plugin.wasm")).unwrap();
                fs::create_dir(f.file("plugin.wasm")).unwrap();
            },
            "plugin.wasm: is no regular file",
        ),
        (
            "component is a pipe",
            |f| {
                fs::remove_file(f.file("plugin.wasm")).unwrap();
                let mode = rustix::fs::Mode::from_raw_mode(0o644);
                rustix::fs::mkfifoat(rustix::fs::CWD, f.file("plugin.wasm"), mode).unwrap();
            },
            "plugin.wasm: is no regular file",
        ),
        (
            "link out, relative",
            |f| {
                fs::rename(f.file("plugin.wasm"), f.file("../other.wasm")).unwrap();
                symlink("../other.wasm", f.file("plugin.wasm")).unwrap();
            },
            "plugin.wasm: is a link that leaves the plugin's folder",
        ),
        (
            "link out, absolute",
            |f| {
                fs::rename(f.file("plugin.toml"), f.file("../other.toml")).unwrap();
                symlink(f.file("../other.toml"), f.file("plugin.toml")).unwrap();
            },
            "plugin.toml: is a link that leaves the plugin's folder",
        ),
        (
            "link through a folder that leads out",
            |f| {
                fs::create_dir(f.file("../data")).unwrap();
                fs::rename(f.file("plugin.wasm"), f.file("../data/plugin.wasm")).unwrap();
                symlink("../data", f.file("data")).unwrap();
                symlink("data/plugin.wasm", f.file("plugin.wasm")).unwrap();
            },
            "plugin.wasm: is a link that leaves the plugin's folder",
        ),
        (
            "link in a circle",
            |f| {
                fs::remove_file(f.file("plugin.wasm")).unwrap();
                symlink("plugin.wasm", f.file("plugin.wasm")).unwrap();
            },
            "plugin.wasm: is a link that leaves the plugin's folder",
        ),
    ];
    for (name, spoil, message) in cases {
        let folder = Folder::new();
        spoil(&folder);
        let said = folder.message(folder.open());
        assert!(said.starts_with(message), "{name}: {said}");
    }
}

#[test]
fn a_component_of_64_mib_is_the_largest() {
    let folder = Folder::new();
    let file = fs::OpenOptions::new().write(true).open(folder.file("plugin.wasm")).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    assert_eq!(folder.message(folder.open()), "plugin.wasm: is larger than 65536 KiB");
    file.set_len(64 << 20).unwrap();
    assert_eq!(folder.open().unwrap().wasm.len(), 64 << 20);
}

/// How a ConfigMap is mounted: the files are links to a folder that is swapped as a whole.
#[test]
fn links_that_stay_inside_are_followed() {
    let folder = Folder::new();
    fs::create_dir(folder.file("..2026")).unwrap();
    symlink("..2026", folder.file("..data")).unwrap();
    for name in ["plugin.toml", "plugin.wasm"] {
        fs::rename(folder.file(name), folder.file("..2026").join(name)).unwrap();
        symlink(format!("..data/{name}"), folder.file(name)).unwrap();
    }
    assert_eq!(folder.open().unwrap().wasm, WASM);
}

#[test]
fn a_pin_lets_one_component_in() {
    let folder = Folder::new();
    let sha256 = folder.open().unwrap().sha256;
    let pinned = Spec { sha256: Some(sha256), ..folder.spec() };
    assert!(Package::open(&pinned, &Trust::default()).is_ok());
    folder.write("plugin.wasm", b"\0asm\x01\0\0\0");
    let said = folder.message(Package::open(&pinned, &Trust::default()));
    assert!(
        said.starts_with("plugin.wasm: has sha256 93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"),
        "{said}"
    );
    assert!(said.contains("but the settings pin "), "{said}");
}
