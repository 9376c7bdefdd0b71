//! The folder: what is read, and what is left alone.

use crate::support::{Folder, WASM, chmod};
use plugin_package::{Hook, Manifest, Package, Spec, Trust, claimed_hook};
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
        ("component is a pipe", |f| pipe(f, "plugin.wasm"), "plugin.wasm: is no regular file"),
        ("folder is a pipe", |f| pipe(f, ""), ".: is no folder"),
        (
            "folder is a file",
            |f| {
                fs::rename(f.path(), f.file("../gone")).unwrap();
                fs::copy(f.path().with_file_name("gone").join("plugin.toml"), f.path()).unwrap();
            },
            ".: is no folder",
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

fn pipe(folder: &Folder, name: &str) {
    let path = folder.path().join(name);
    let path = path.components().as_path();
    fs::rename(path, folder.file("../gone")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
}

/// Only root can give files away, and so make what this is about.
#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (name, said) in
        [("plugin.toml", "plugin.toml: this file"), ("plugin.wasm", "plugin.wasm: this file"), ("", ".: this folder")]
    {
        let folder = Folder::new();
        std::os::unix::fs::chown(folder.path().join(name), Some(65_534), None).unwrap();
        let message = folder.message(folder.open());
        assert!(message.starts_with(&format!("{said} belongs to user 65534")), "{message}");
        assert_eq!(claimed_hook(&folder.path()).is_some(), name == "plugin.wasm", "{name}");
    }
}

#[test]
fn a_broken_manifest_still_says_what_it_is_for() {
    let folder = Folder::new();
    let claimed = |text: &[u8]| {
        folder.write("plugin.toml", text);
        claimed_hook(&folder.path())
    };
    for hook in Hook::ALL {
        assert_eq!(claimed(format!("hook = \"{hook}\"\nname = 7\nlimits = \"none\"").as_bytes()), Some(hook));
    }
    for nothing in
        [b"".as_slice(), b"hook = 1", b"hook = \"Policy\"", b"hook = \"policy\"\n=", b"hook = \"ads\" # \xff"]
    {
        assert_eq!(claimed(nothing), None);
    }
    assert_eq!(
        claimed(format!("hook = \"ads\"\n{}", " ".repeat(262_144)).as_bytes()),
        None,
        "longer than any manifest"
    );
}

/// None of these may hold the caller up.
#[test]
fn a_manifest_without_end_says_nothing() {
    let spoil: [fn(&Folder); 4] = [
        |f| pipe(f, "plugin.toml"),
        |f| pipe(f, ""),
        |f| {
            fs::remove_file(f.file("plugin.toml")).unwrap();
            symlink("/dev/zero", f.file("plugin.toml")).unwrap();
        },
        |f| fs::remove_file(f.file("plugin.toml")).unwrap(),
    ];
    for spoil in spoil {
        let folder = Folder::new();
        assert_eq!(claimed_hook(&folder.path()), Some(Hook::Policy));
        spoil(&folder);
        assert_eq!(claimed_hook(&folder.path()), None);
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
