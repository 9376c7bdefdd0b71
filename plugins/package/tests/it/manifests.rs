//! `plugin.toml`: what is taken, what is refused, and in which words.

use plugin_package::{FailPolicy, Hook, Isolation, Limits, Manifest, Value};
use std::path::Path;
use std::time::Duration;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text, Path::new("plugin.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_template_of_each_hook_is_a_manifest_with_the_defaults() {
    for hook in Hook::ALL {
        let text = Manifest::template("my-plugin", hook);
        assert!(!text.contains("{name}") && !text.contains("{w"), "{text}");
        let manifest = parse(&text).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.hook), ("my-plugin", hook));
        assert_eq!(manifest.wasm, "my_plugin.wasm");
        assert_eq!(manifest.limits, Limits::of(hook));
        assert_eq!((manifest.order, manifest.fail, manifest.isolation), (100, hook.default_fail(), Isolation::Warm));
        assert_eq!(manifest.canary, None);
    }
}

/// What is commented out in the template must be true: taken in, it changes nothing but the examples.
#[test]
fn what_the_template_comments_out_are_the_defaults() {
    for hook in [Hook::Policy, Hook::Ads] {
        let template = Manifest::template("p", hook);
        let setting =
            |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let text: Vec<&str> =
            template.lines().map(|line| line.strip_prefix("# ").filter(|rest| setting(rest)).unwrap_or(line)).collect();
        let manifest = parse(&text.join("\n")).unwrap();
        assert_eq!(manifest.limits, Limits::of(hook));
        assert_eq!((manifest.order, manifest.fail, manifest.isolation), (100, hook.default_fail(), Isolation::Warm));
        assert_eq!(manifest.canary, Some(0.05));
        assert_eq!(manifest.visible.headers, ["referer", "user-agent"]);
        assert_eq!(manifest.visible.cookies, ["sv_access"]);
        assert_eq!(manifest.schema["mode"].default, Some(Value::Text("everybody".into())));
        assert!(manifest.schema["token"].required);
    }
}

#[test]
fn takes_what_an_author_says() {
    let manifest = parse(
        r#"
        name = "ads-gate"
        version = "1.2.0-rc.1+build"
        description = "Gates heavy files."
        hook = "ads"
        abi = "0.1"
        wasm = "ads_gate.wasm"
        order = -5
        fail = "closed"
        isolation = "request"
        canary = 0.25
        visible = { headers = ["referer", "accept", "referer"], cookies = ["sv_access"] }
        [limits]
        time = "20ms"
        memory = "64KiB"
        playlist = "0B"
        kv_keys = 0
        [settings.minutes]
        kind = "integer"
        doc = "How long."
        default = 60
        min = 1
        max = 1440
        "#,
    )
    .unwrap();
    assert_eq!(manifest.order, -5);
    assert_eq!(
        (manifest.fail, manifest.isolation, manifest.canary),
        (FailPolicy::Closed, Isolation::Request, Some(0.25))
    );
    assert_eq!(manifest.visible.headers, ["accept", "referer"]);
    let limits =
        Limits { time: Duration::from_millis(20), memory: 64 << 10, playlist: 0, kv_keys: 0, ..Limits::of(Hook::Ads) };
    assert_eq!(manifest.limits, limits);
    assert_eq!(manifest.schema["minutes"].default, Some(Value::Integer(60)));
}

#[test]
fn more_running_time_brings_more_waiting_with_it() {
    let with = |limits: &str| parse(&format!("name='p'\nversion='1'\nhook='policy'\n[limits]\n{limits}"));
    assert_eq!(with("time = '1s'").unwrap().limits.wall, Duration::from_secs(2));
    assert_eq!(with("time = '1s'\nwall = '1s'").unwrap().limits.wall, Duration::from_secs(1));
    assert!(with("time = '1s'\nwall = '999ms'").unwrap_err().contains("limits.wall: must not be shorter"));
}

/// A change of the good manifest, and the message: file, line, key, what is wanted.
#[test]
fn says_what_is_wrong_and_where() {
    let cases: &[(&str, &str, &str)] = &[
        ("name = \"p\"", "", ":1: name: is required"),
        ("\"p\"", "\"P q\"", ":1: name: must be 1 to 64 of a-z, 0-9"),
        ("\"p\"", "7", ":1: name: invalid type: integer `7`, expected a string"),
        ("\"1.0.0\"", "\"1 0\"", ":2: version: must be 1 to 64"),
        (
            "\"policy\"",
            "\"polcy\"",
            ":3: hook: unknown variant `polcy`, expected one of `tenant`, `policy`, `ads`, `observe`",
        ),
        ("hook =", "hok =", ":1: hook: is required"),
        ("hook =", "hok =", ":3: hok: unknown key; did you mean `hook`?"),
        ("END", "frobnicate = 1", ":4: frobnicate: unknown key; known here: name, version, hook"),
        ("END", "abi = \"0.2\"", ":4: abi: this gateway speaks version \"0.1\""),
        ("END", "description = \"a\\nb\"", ":4: description: must be one line"),
        ("END", "wasm = \"a.cwasm\"", ":4: wasm: compiled code (.cwasm) is not accepted"),
        ("END", "wasm = \"../a.wasm\"", ":4: wasm: must be the plain name"),
        ("END", "wasm = \".wasm\"", ":4: wasm: must be the plain name"),
        ("END", "order = 1000001", ":4: order: must lie between -1000000 and 1000000"),
        ("END", "fail = \"ajar\"", ":4: fail: unknown variant `ajar`, expected `open` or `closed`"),
        ("END", "isolation = \"cold\"", ":4: isolation: unknown variant"),
        ("END", "canary = 1.0", ":4: canary: must be a share above 0.0 and below 1.0"),
        ("END", "canary = nan", ":4: canary: must be a share"),
        ("END", "[visible]\nheaders = [\"x-a\", \"Cookie\"]", ":5: visible.headers: \"Cookie\" must be in lower case"),
        ("END", "[visible]\nheaders = [\"cookie\"]", "visible.headers: \"cookie\" is a credential; see request.claim"),
        ("END", "[visible]\nheaders = [\"te\"]", "\"te\" belongs to the connection"),
        ("END", "[visible]\nheaders = [\"x-streamvault-x\"]", "\"x-streamvault-x\" is the gateway's own"),
        ("END", "[visible]\ncookies = [\"a=b\"]", "visible.cookies: \"a=b\" is no cookie name"),
        ("END", "[visible]\nheader = []", ":5: visible.header: unknown key; did you mean `headers`?"),
        ("END", "visible = 1", ":4: visible: must be a table"),
        ("END", "[limits]\nmemory = \"2GiB\"", ":5: limits.memory: must lie between 64KiB and 1GiB"),
        ("END", "[limits]\nmemory = 5", ":5: limits.memory: invalid type: integer `5`, expected a size with its unit"),
        ("END", "[limits]\ntime = \"0s\"", ":5: limits.time: must lie between 1ms and 10s"),
        ("END", "[limits]\ntime = \"5\"", ":5: limits.time: not a time; write a whole number and ms"),
        ("END", "[limits]\nwall = \"61s\"", ":5: limits.wall: must lie between 1ms and 60s"),
        ("END", "[limits]\ninstances = 0", ":5: limits.instances: must lie between 1 and 1024"),
        ("END", "[limits]\nkv_keys = -1", ":5: limits.kv_keys: invalid value: integer `-1`, expected u32"),
        ("END", "[limits]\nkv_value = \"31B\"", ":5: limits.kv_value: must lie between 32B and 1MiB"),
        ("END", "[limits]\ntimes = \"1ms\"", ":5: limits.times: unknown key; did you mean `time`?"),
        ("END", "settings.a = 1", ":4: settings.a: must be a table"),
        ("END", "[settings.a]\ndoc = \"x\"", ":4: settings.a.kind: is required"),
        ("END", "[settings.a]\nkind = \"text\"", ":4: settings.a.doc: is required"),
        ("END", "[settings.a]\nkind = \"text\"\ndoc = \" \"", ":6: settings.a.doc: must say in a sentence"),
        ("END", "[settings.a]\nkind = \"number\"\ndoc = \"x\"", ":5: settings.a.kind: unknown variant `number`"),
        ("END", "[settings.A]\nkind = \"text\"\ndoc = \"x\"", "settings.A.kind: the setting's name must be 1 to 64"),
        (
            "END",
            "[settings.a]\nkind = \"text\"\ndoc = \"x\"\ndefault = 1",
            ":7: settings.a.default: must be text in quotes",
        ),
        (
            "END",
            "[settings.a]\nkind = \"secret\"\ndoc = \"x\"\ndefault = \"s\"",
            "settings.a.default: a secret that a manifest tells",
        ),
        ("END", "[settings.a]\nkind = \"integer\"\ndoc = \"x\"\nmin = 2\ndefault = 1", "must be at least 2"),
        (
            "END",
            "[settings.a]\nkind = \"integer\"\ndoc = \"x\"\nmin = 2\nmax = 1",
            ":8: settings.a.max: must not be below min",
        ),
        (
            "END",
            "[settings.a]\nkind = \"boolean\"\ndoc = \"x\"\nmax = 1",
            ":7: settings.a.max: a boolean has no bounds",
        ),
        (
            "END",
            "[settings.a]\nkind = \"integer\"\ndoc = \"x\"\nchoices = [\"a\"]",
            "only text and texts have choices, not integer",
        ),
        (
            "END",
            "[settings.a]\nkind = \"text\"\ndoc = \"x\"\nrequired = true\ndefault = \"a\"",
            "a required setting needs no default",
        ),
        ("END", "x = [", "plugin.toml:4: unclosed array"),
        ("END", "name = \"q\"", ":4: duplicate key"),
    ];
    for (from, to, message) in cases {
        let good = format!("{}END\n", super::support::MANIFEST);
        let text = good.replacen(from, to, 1).replace("END", "");
        let said = parse(&text).expect_err(&text);
        assert!(said.contains(message), "{to:?} gave:\n{said}");
    }
}

#[test]
fn hooks_fail_only_in_ways_that_make_sense() {
    for (hook, fail, fits) in [
        ("tenant", "open", false),
        ("tenant", "closed", true),
        ("policy", "open", true),
        ("ads", "closed", true),
        ("observe", "closed", false),
        ("observe", "open", true),
    ] {
        let text = format!("name='p'\nversion='1'\nhook='{hook}'\nfail='{fail}'");
        assert_eq!(parse(&text).is_ok(), fits, "{text}");
    }
    for hook in ["tenant", "observe"] {
        let text = format!("name='p'\nversion='1'\nhook='{hook}'\nvisible.headers=['referer']");
        assert!(parse(&text).unwrap_err().contains("visible.headers: plugins of this hook see no request"));
    }
}

#[test]
fn tells_all_problems_at_once_in_order() {
    let said = parse("hook = 'policy'\n[limits]\ncalls = 0\nmemory = '1B'\nx = 1\n").unwrap_err();
    let lines: Vec<&str> = said.lines().map(|line| line.split(": ").nth(1).unwrap_or_default()).collect();
    assert_eq!(lines, ["name", "version", "limits.calls", "limits.memory", "limits.x"], "{said}");
}

#[test]
fn what_ships_is_good() {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let mut found = 0;
    for guest in std::fs::read_dir(guests).unwrap() {
        let file = guest.unwrap().path().join("plugin.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let manifest = Manifest::parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(file.parent().and_then(Path::file_name), Some(manifest.name.as_ref()), "folder and name");
        found += 1;
    }
    assert!(found >= 4, "{found}");
}
