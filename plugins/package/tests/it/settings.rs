//! What an operator says, against what the manifest knows.

use crate::support::{Folder, MANIFEST};
use plugin_package::{FailPolicy, Hook, Isolation, LimitOverrides, Package, Spec, Tenants, Trust, Value};
use std::collections::BTreeSet;
use std::time::Duration;

const SCHEMA: &str = r#"
[settings.mode]
kind = "text"
doc = "Whom to let in."
default = "all"
choices = ["all", "members"]
[settings.token]
kind = "secret"
doc = "Shared with the shop."
min = 4
max = 64
[settings.minutes]
kind = "integer"
doc = "How long."
required = true
min = 1
max = 60
[settings.strict]
kind = "boolean"
doc = "Strict."
[settings.sites]
kind = "texts"
doc = "Sites."
max = 2
[settings.levels]
kind = "texts"
doc = "Levels."
choices = ["a", "b"]
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("plugin.toml", format!("{MANIFEST}{SCHEMA}").as_bytes());
    folder.write("../token", b"from-a-file\n");
    folder
}

fn with(folder: &Folder, settings: &str) -> Spec {
    let settings = settings.replace("TOKEN", &folder.file("../token").display().to_string());
    Spec { settings: settings.parse().unwrap(), ..folder.spec() }
}

#[test]
fn gives_what_the_operator_said_and_the_defaults() {
    let folder = folder();
    let text = "minutes = 5\nstrict = true\nsites = ['x', 'y']\ntoken = { file = 'TOKEN' }";
    let package = Package::open(&with(&folder, text), &Trust::default()).unwrap();
    assert_eq!(package.name, "slot");
    assert_eq!(package.settings["minutes"], Value::Integer(5));
    assert_eq!(package.settings["strict"], Value::Boolean(true));
    assert_eq!(package.settings["sites"], Value::Texts(vec!["x".into(), "y".into()]));
    assert_eq!(package.settings["mode"], Value::Text("all".into()));
    assert!(!package.settings.contains_key("levels"), "neither given nor known by default");
    assert!(matches!(&package.settings["token"], Value::Secret(secret) if secret.expose() == "from-a-file"));
}

#[test]
fn says_which_setting_and_what_is_wanted() {
    let cases: &[(&str, &str)] = &[
        ("", "plugin slot: settings.minutes: is required: How long."),
        ("minutes = 0", "settings.minutes: must be at least 1"),
        ("minutes = 61", "settings.minutes: must be at most 60"),
        ("minutes = '5'", "settings.minutes: must be a whole number"),
        ("minutes = 5.0", "settings.minutes: must be a whole number"),
        ("minutes = 5\nmode = 'none'", "settings.mode: must be one of all, members"),
        ("minutes = 5\nmode = 1", "settings.mode: must be text in quotes"),
        ("minutes = 5\nstrict = 'yes'", "settings.strict: must be true or false"),
        ("minutes = 5\nsites = ['a', 'b', 'c']", "settings.sites: must have at most 2 entries"),
        ("minutes = 5\nsites = 'a'", "settings.sites: must be a list of texts"),
        ("minutes = 5\nsites = [1]", "settings.sites: must be a list of texts"),
        ("minutes = 5\nlevels = ['a', 'c']", "settings.levels: must be one of a, b"),
        ("minutes = 5\ntoken = 1", "settings.token: must be a secret"),
        ("minutes = 5\ntoken = ''", "settings.token: the secret is empty"),
        ("minutes = 5\ntoken = 'abc'", "settings.token: must have at least 4 bytes"),
        ("minutes = 5\ntoken = { path = '/x' }", "settings.token: unknown field `path`, expected `file` or `env`"),
        ("minutes = 5\ntoken = { file = 'TOKENS' }", "settings.token: the secret's file"),
        (
            "minutes = 5\ntoken = { env = 'STREAMVAULT_NO_SUCH' }",
            "STREAMVAULT_NO_SUCH, which should hold the secret, is not set",
        ),
        ("minuts = 5", "settings.minuts: unknown setting; did you mean `minutes`?"),
        ("minutes = 5\nfrobnicate = 1", "unknown setting; known here: levels, minutes, mode, sites, strict, token"),
    ];
    let folder = folder();
    for (settings, message) in cases {
        let said = folder.message(Package::open(&with(&folder, settings), &Trust::default()));
        assert!(said.contains(message), "{settings:?} gave:\n{said}");
    }
}

#[test]
fn no_output_shows_a_secret() {
    let folder = folder();
    let secret = "hunter2hunter2";
    let mut shown = Vec::new();
    for settings in [format!("minutes = 5\ntoken = '{secret}'"), format!("minutes = 5\ntokn = '{secret}'")] {
        let spec = with(&folder, &settings);
        shown.push(format!("{spec:?} {spec:#?}"));
        let opened = Package::open(&spec, &Trust::default());
        shown.push(format!("{opened:?} {opened:#?}"));
        shown.extend(opened.err().map(|error| error.to_string()));
    }
    for (index, misplaced) in ["minutes", "mode", "strict", "sites"].into_iter().enumerate() {
        let spec = with(&folder, &format!("{misplaced} = '{secret}{index}'"));
        shown.push(Package::open(&spec, &Trust::default()).unwrap_err().to_string());
    }
    let pair = plugin_package::generate_keys().unwrap();
    shown.push(format!("{pair:?}").replace(&pair.public_pem, ""));
    assert!(!pair.private_pem.expose().is_empty());
    for text in shown {
        assert!(!text.contains(secret) && !text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn the_operator_has_the_last_word() {
    let folder = Folder::new();
    let spec = Spec {
        order: Some(-3),
        fail: Some(FailPolicy::Open),
        isolation: Some(Isolation::Request),
        canary: Some(0.5),
        limits: LimitOverrides {
            time: Some(Duration::from_millis(1)),
            instances: Some(2),
            ..LimitOverrides::default()
        },
        tenants: Tenants::Only(BTreeSet::from(["a".to_owned()])),
        ..folder.spec()
    };
    let manifest = Package::open(&spec, &Trust::default()).unwrap().manifest;
    assert_eq!((manifest.order, manifest.fail, manifest.canary), (-3, FailPolicy::Open, Some(0.5)));
    assert_eq!((manifest.isolation, manifest.limits.instances), (Isolation::Request, 2));
    assert_eq!(manifest.limits.time, Duration::from_millis(1));
    // A share of nothing is a generation that waits; a share of all is none.
    for (share, canary) in [(0.0, Some(0.0)), (1.0, None)] {
        let spec = Spec { canary: Some(share), ..folder.spec() };
        assert_eq!(Package::open(&spec, &Trust::default()).unwrap().manifest.canary, canary);
    }
}

#[test]
fn the_operator_says_what_a_plugin_is_for() {
    let folder = Folder::new();
    let spec = Spec { hook: Some(Hook::Policy), ..folder.spec() };
    assert!(Package::open(&spec, &Trust::default()).is_ok());
    folder.write("plugin.toml", MANIFEST.replace("policy", "observe").as_bytes());
    let said = folder.message(Package::open(&spec, &Trust::default()));
    assert_eq!(said, "plugin slot: hook: the settings say policy, but the plugin is for observe");
}

#[test]
fn the_gateway_s_settings_say_it_too() {
    for hook in Hook::ALL {
        let text = format!("name = 'a'\nfolder = '/a'\nhook = '{hook}'\ncanary = 0.0");
        let specs = plugin_package::specs(&[toml::from_str(&text).unwrap()]);
        assert_eq!((specs[0].hook, specs[0].canary), (Some(hook), Some(0.0)));
    }
}

#[test]
fn the_operator_is_checked_like_the_author() {
    let folder = Folder::new();
    let spec = Spec {
        name: "A slot".to_owned(),
        order: Some(i32::MAX),
        canary: Some(f64::NAN),
        tenants: Tenants::Only(BTreeSet::new()),
        limits: LimitOverrides {
            memory: Some(u64::MAX),
            kv_value: Some(1 << 40),
            wall: Some(Duration::from_millis(1)),
            ..LimitOverrides::default()
        },
        ..folder.spec()
    };
    let said = folder.message(Package::open(&spec, &Trust::default()));
    let keys: Vec<&str> = said.lines().map(|line| line.split(": ").nth(1).unwrap_or_default()).collect();
    assert_eq!(
        keys,
        ["name", "tenants", "order", "canary", "limits.memory", "limits.kv_value", "limits.wall"],
        "{said}"
    );

    folder.write("plugin.toml", MANIFEST.replace("policy", "tenant").as_bytes());
    let spec = Spec {
        fail: Some(FailPolicy::Open),
        tenants: Tenants::Only(BTreeSet::from(["a".to_owned()])),
        ..folder.spec()
    };
    let said = folder.message(Package::open(&spec, &Trust::default()));
    assert!(
        said.contains("tenants: a tenant plugin is asked before") && said.contains("fail: a tenant plugin fails"),
        "{said}"
    );
}
