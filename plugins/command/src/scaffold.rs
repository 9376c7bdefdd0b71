//! `new`: a project that builds, tests and loads as it is.

use crate::cli::New;
use crate::disk;
use crate::error::CommandError;
use crate::vendored;
use plugin_package::{Hook, Manifest};
use std::io::{Write, stdout};

/// What a hook's project begins with.
struct Template {
    description: &'static str,
    code: &'static str,
    /// Appended to the manifest's template: settings.
    manifest: &'static str,
    /// Lines of the manifest's template, and what stands in their place.
    visible: &'static [(&'static str, &'static str)],
    requests: (&'static str, &'static str),
    /// What the README shows an operator to write.
    settings: &'static str,
}

const HEADERS: &str = "# headers = [\"referer\", \"user-agent\"]";
const COOKIES: &str = "# cookies = [\"sv_access\"]";

/// Names that cargo, or the linker, would take for something else.
const TAKEN: [&str; 12] = [
    "test",
    "core",
    "std",
    "alloc",
    "proc_macro",
    "streamvault_sdk",
    "build",
    "deps",
    "examples",
    "incremental",
    "self",
    "super",
];

pub(crate) fn new(new: &New) -> Result<(), CommandError> {
    check_name(&new.name)?;
    let hook = Hook::from(new.hook);
    let folder = new.into.join(&new.name);
    if !disk::is_free(&folder)? {
        return Err(CommandError::content(&folder, "is there already, and not empty"));
    }
    let template = template(hook);
    let fill = |text: &str| {
        text.replace("@NAME@", &new.name)
            .replace("@FILE@", &file_name(&new.name))
            .replace("@HOOK@", hook.name())
            .replace("@SETTINGS@", template.settings)
    };
    let manifest = manifest(&new.name, hook, &template);
    Manifest::parse(&manifest, &folder.join("plugin.toml"))?;
    let (requests, recorded) = template.requests;
    let mut files = vec![
        ("Cargo.toml".to_owned(), fill(include_str!("../template/common/Cargo.toml.in"))),
        ("Cargo.lock".to_owned(), vendored::lock_file().to_owned()),
        (".cargo/config.toml".to_owned(), fill(include_str!("../template/common/config.toml.in"))),
        ("rustfmt.toml".to_owned(), fill(include_str!("../template/common/rustfmt.toml.in"))),
        (".gitignore".to_owned(), fill(include_str!("../template/common/gitignore.in"))),
        ("README.md".to_owned(), fill(include_str!("../template/common/README.md.in"))),
        ("plugin.toml".to_owned(), manifest),
        ("src/lib.rs".to_owned(), template.code.to_owned()),
        (format!("requests/{requests}"), recorded.to_owned()),
    ];
    let vendored = vendored::files().ok_or_else(|| CommandError::failed("this build has no SDK in it"))?;
    files.extend(vendored.into_iter().map(|(path, text)| (format!("vendor/{path}"), text)));
    for (path, text) in files {
        disk::write_new(&folder.join(path), &text)?;
    }
    let folder = folder.strip_prefix(".").unwrap_or(&folder).display();
    writeln!(stdout(), "{folder}: made. Next:\n")?;
    writeln!(stdout(), "  rustup target add wasm32-wasip2")?;
    writeln!(stdout(), "  cd {folder}")?;
    writeln!(stdout(), "  cargo test\n  gateway plugin build .\n  gateway plugin test .\n  gateway plugin bench .\n")?;
    writeln!(stdout(), "README.md goes on from there.")?;
    Ok(())
}

/// A plugin's name is the crate's too, so that both rules hold.
fn check_name(name: &str) -> Result<(), CommandError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !first || name.len() > 64 || !name.bytes().all(plain) {
        let message = format!("{name:?} is no name for a plugin: 1 to 64 of a-z, 0-9, \"-\" and \"_\", a letter first");
        return Err(CommandError::failed(message));
    }
    if TAKEN.contains(&file_name(name).as_str()) {
        return Err(CommandError::failed(format!("{name:?} means something else to cargo; take another name")));
    }
    Ok(())
}

/// What cargo calls the artefact of a crate.
fn file_name(name: &str) -> String {
    name.replace('-', "_")
}

fn manifest(name: &str, hook: Hook, template: &Template) -> String {
    let mut text = Manifest::template(name, hook)
        .replace("description = \"\"", &format!("description = \"{}\"", template.description));
    for (line, instead) in template.visible {
        text = text.replace(line, instead);
    }
    text + template.manifest
}

fn template(hook: Hook) -> Template {
    match hook {
        Hook::Policy => Template {
            description: "Members stream at full speed, guests one slow stream.",
            code: include_str!("../template/policy/lib.rs"),
            manifest: include_str!("../template/policy/plugin.toml.in"),
            visible: &[(HEADERS, "headers = [\"referer\"]")],
            requests: ("viewers.toml", include_str!("../template/policy/requests/viewers.toml")),
            settings: "settings = { member_streams = 4 }",
        },
        Hook::Tenant => Template {
            description: "Tenants out of the settings, suspended by a key in the store.",
            code: include_str!("../template/tenant/lib.rs"),
            manifest: include_str!("../template/tenant/plugin.toml.in"),
            visible: &[],
            requests: ("hosts.toml", include_str!("../template/tenant/requests/hosts.toml")),
            settings: "settings = { tenants = [\"films.example films -1001700000001\"] }",
        },
        Hook::Ads => Template {
            description: "An ad page before heavy films, a film of the house before playlists.",
            code: include_str!("../template/ads/lib.rs"),
            manifest: include_str!("../template/ads/plugin.toml.in"),
            visible: &[(COOKIES, "cookies = [\"ad_seen\"]")],
            requests: ("heavy.toml", include_str!("../template/ads/requests/heavy.toml")),
            settings: "settings = { ad_page = \"https://ads.example/visit\" }",
        },
        Hook::Observe => Template {
            description: "Bytes, requests and viewers of each tenant, by day.",
            code: include_str!("../template/observe/lib.rs"),
            manifest: include_str!("../template/observe/plugin.toml.in"),
            visible: &[],
            requests: ("day.toml", include_str!("../template/observe/requests/day.toml")),
            settings: "settings = { keep_days = 30 }",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{check_name, manifest, template};
    use crate::recorded::Recorded;
    use plugin_package::{Hook, Manifest};
    use std::path::Path;

    #[test]
    fn names() {
        for name in ["a", "members-only", "b_2", &"a".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "2b", "-a", "A", "a b", "a/b", "..", "test", "proc-macro", "streamvault-sdk", &"a".repeat(65)]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn manifests_hold_and_show_what_the_code_reads() {
        for hook in Hook::ALL {
            let template = template(hook);
            let text = manifest("my-plugin", hook, &template);
            let manifest = Manifest::parse(&text, Path::new("plugin.toml")).unwrap();
            assert_eq!((manifest.hook, manifest.wasm.as_str()), (hook, "my_plugin.wasm"));
            assert!(!manifest.description.is_empty() && !manifest.schema.is_empty());
            for (names, call) in
                [(&manifest.visible.headers, "request.header("), (&manifest.visible.cookies, "request.cookie(")]
            {
                assert_eq!(template.code.contains(call), !names.is_empty(), "{hook}: {call}");
            }
            for name in manifest.schema.keys() {
                assert!(template.code.contains(&format!("\"{name}\"")), "{hook}: nobody reads {name}");
            }
        }
    }

    #[test]
    fn recorded_requests_are_some() {
        for hook in Hook::ALL {
            let (file, text) = template(hook).requests;
            let recorded = Recorded::parse(text, Path::new(file)).unwrap();
            assert!(!recorded.steps.is_empty(), "{file}");
        }
    }
}
