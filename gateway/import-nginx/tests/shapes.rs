//! Configurations as data: what they become, that the settings are valid, that links stay good, that nothing is dropped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test writes into its temporary folder, and with UPDATE beside its cases"
)]

use config::{GatewaySettings, parse};
use import_nginx::{ImportError, Imported, Includes, NginxFile, Options, ReadError, import};
use link::{LinkKey, LinkRequest, LinkRules, SignRequest, Uri, Verdict, Verifier};
use secrecy::ExposeSecret;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const SECRETS: &str = "/etc/streamvault";

/// Files that other ones may include.
struct Files(Vec<(&'static str, &'static str)>);

impl Includes for Files {
    fn matching(&self, pattern: &str) -> Result<Vec<NginxFile>, ReadError> {
        let begin = pattern.split('*').next().unwrap();
        let found = self.0.iter().filter(|(name, _)| name.starts_with(begin));
        Ok(found.map(|(name, text)| NginxFile { name: (*name).to_owned(), text: (*text).to_owned() }).collect())
    }
}

fn file(text: &str) -> NginxFile {
    NginxFile { name: "nginx.conf".to_owned(), text: text.to_owned() }
}

fn translate(text: &str) -> Result<Imported, ImportError> {
    import(&[file(text)], &Files(vec![]), &Options::default())
}

/// The settings as the gateway would have them.
fn load(imported: &Imported) -> GatewaySettings {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("hive.token", "token");
    for secret in &imported.secrets {
        put(&secret.name, secret.secret.expose_secret());
    }
    let text = imported.text.replace(SECRETS, &folder.path().display().to_string());
    let loaded = parse::<GatewaySettings>(&text, Path::new("gateway.toml"));
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(loaded.warnings, []);
    loaded.settings
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs")
}

fn verifier(settings: &GatewaySettings, tenant: &str) -> Verifier {
    let link = &settings.tenant.iter().find(|known| known.id == tenant).unwrap().link;
    let keys = link.secrets.iter().map(|key| LinkKey::new(&key.id, key.secret.expose().to_owned())).collect();
    let mut rules = LinkRules::nginx(keys);
    rules.expires_param.clone_from(&link.expires_parameter);
    rules.schemes[0].param.clone_from(&link.token_parameter);
    rules.schemes[0].expression.clone_from(&link.expression);
    Verifier::new(rules).unwrap()
}

/// `UPDATE=1` writes what is seen, to be read before it is committed.
#[test]
fn each_configuration_becomes_the_settings_beside_it() {
    let mut names: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    assert!(names.len() >= 3);
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let imported = import(&[NginxFile { name, text }], &Files(vec![]), &Options::default()).unwrap();
        load(&imported);
        let beside = path.with_extension("toml");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&beside, &imported.text).unwrap();
        }
        assert_eq!(fs::read_to_string(&beside).unwrap_or_default(), imported.text, "{}", path.display());
    }
}

/// Each line that has a directive is in the settings or in a note, and no note has a secret.
#[test]
fn nothing_is_dropped_and_no_secret_is_printed() {
    // What is in the settings, by its name.
    let taken = [
        "http",
        "server",
        "location",
        "secure_link",
        "secure_link_md5",
        "server_name",
        "listen",
        "if",
        "ssl_certificate",
        "slice",
        "proxy_cache",
        "proxy_cache_lock",
        "proxy_cache_lock_age",
        "proxy_cache_valid",
        "proxy_cache_use_stale",
        "keepalive_timeout",
        "limit_conn_zone",
        "worker_processes",
        "ssl_certificate_key",
        "set",
        "access_log",
        "proxy_cache_min_uses",
        "send_timeout",
        "max_ranges",
        "}",
        // Inside of blocks that are noted as a whole.
        "local",
        "--",
    ];
    for name in ["documented", "tenants", "part"] {
        let path = folder().join(format!("{name}.conf"));
        let text = fs::read_to_string(&path).unwrap();
        let imported =
            import(&[NginxFile { name: "x.conf".to_owned(), text: text.clone() }], &Files(vec![]), &Options::default());
        let imported = imported.unwrap();
        for (index, line) in text.lines().enumerate() {
            let word = line.trim().trim_end_matches(';').split([' ', '{']).next().unwrap();
            let noted = imported.notes.iter().any(|note| note.starts_with(&format!("x.conf:{}: ", index + 1)));
            assert!(
                noted || word.is_empty() || word.starts_with('#') || taken.contains(&word),
                "{name}:{} {line} is dropped",
                index + 1
            );
        }
        for secret in ["enigma", "not-to-be-printed", "\"secret\" word", "other-word"] {
            assert!(!imported.text.contains(secret), "{name} prints {secret}");
        }
    }
}

#[test]
fn a_third_of_the_settings_are_values() {
    let imported = translate(&fs::read_to_string(folder().join("documented.conf")).unwrap()).unwrap();
    let settings = load(&imported);
    assert_eq!(settings.cache.slice_size.bytes(), 1 << 20);
    assert_eq!(settings.cache.max_size.bytes(), 500 << 30);
    assert_eq!(settings.cache.metadata_ttl.get().as_secs(), 3600);
    assert_eq!(settings.cache.lock_age.get().as_secs(), 15);
    let tenant = &settings.tenant[0];
    assert_eq!(tenant.domains.len(), 2);
    assert_eq!(tenant.limits.viewer_streams, Some(3));
    assert_eq!(tenant.limits.viewer_bytes_per_second.unwrap().bytes(), 12 << 20);
    assert_eq!(settings.listen.len(), 1);
    assert_eq!(settings.listen[0].address.to_string(), "[::]:443");
    assert!(settings.listen[0].tls.is_some());
}

#[test]
fn links_of_each_site_open_at_it_alone() {
    let imported = translate(&fs::read_to_string(folder().join("tenants.conf")).unwrap()).unwrap();
    let settings = load(&imported);
    let ids: Vec<_> = settings.tenant.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(ids, ["one-example", "two-example"]);
    let judge = |tenant: &str, target: &str| {
        let uri = Uri::parse(target.as_bytes()).unwrap();
        let request = LinkRequest { uri: &uri, host: Some("two.example"), remote_addr: Some("192.0.2.1"), now: 1_000 };
        matches!(verifier(&settings, tenant).check(&request), Verdict::Valid(_))
    };
    for (tenant, other) in [("one-example", "two-example"), ("two-example", "one-example")] {
        let request = SignRequest {
            host: Some("two.example"),
            remote_addr: Some("192.0.2.1"),
            ..SignRequest::new("/stream/-5/7/a.mkv", 2_000)
        };
        let link = verifier(&settings, tenant).sign(&request).unwrap();
        assert!(judge(tenant, &link) && !judge(other, &link), "{link}");
    }
}

#[test]
fn includes_are_read_in_their_places() {
    let outer = "http { include conf.d/*.conf; }";
    let inner = "server { listen 81; include secret.inc; }";
    let secret = "secure_link $arg_md5,$arg_expires;\nsecure_link_md5 \"$secure_link_expires$uri s3cret\";";
    let files = Files(vec![("conf.d/a.conf", inner), ("secret.inc", secret)]);
    let imported = import(&[file(outer)], &files, &Options::default()).unwrap();
    assert_eq!(imported.secrets[0].secret.expose_secret(), "s3cret");
    assert_eq!(load(&imported).listen[0].address.to_string(), "0.0.0.0:81");
    // Around in a circle.
    let circle = Files(vec![("a.conf", "include a.conf;")]);
    let error = import(&[file("include a.conf;")], &circle, &Options::default()).unwrap_err();
    assert!(error.to_string().starts_with("a.conf:1: includes are nested too deeply"), "{error}");
}

#[test]
fn what_nginx_refuses_is_refused_with_its_line() {
    for (text, message) in [
        ("http {\n", "nginx.conf:2: a block has no \"}\""),
        ("}", "nginx.conf:1: there is a \"}\" without a block"),
        ("http {\nslice 1m\n}", "nginx.conf:3: a directive has no \";\""),
        ("a 'b", "nginx.conf:1: a quoted word has no end"),
        (";", "nginx.conf:1: a directive has no name"),
        ("include a b;", "nginx.conf:1: include takes one file name"),
    ] {
        assert_eq!(translate(text).unwrap_err().to_string(), message);
    }
    let deep = "a {".repeat(100);
    assert!(translate(&deep).unwrap_err().to_string().ends_with("nested too deeply"));
    let none = translate("http { server { listen 80; location / { root /srv; } } }").unwrap_err().to_string();
    assert!(none.starts_with("no server has links that could be carried over"), "{none}");
    assert!(none.contains("nginx.conf:1: root /srv"), "{none}");
}

proptest::proptest! {
    /// No text, and no mixture of nginx's own words, makes it fail otherwise than by an error; what it makes is valid.
    #[test]
    fn whatever_comes_the_settings_are_valid(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "http {", "server {", "location /stream/ {", "}", "}", ";", "\n", "listen 80;", "listen [::]:80;", "listen 443 ssl;",
                "server_name a.b *.c _ ~x;", "secure_link $arg_md5,$arg_e;", "secure_link $arg_a,$arg_a;", "slice 3m;", "slice 9g;",
                "secure_link_md5 \"$arg_e$uri s\";", "secure_link_md5 $secure_link_expires$uri\\ é\"'$arg_x;", "set $s s;", "limit_rate 1k;",
                "limit_conn z 0;", "limit_conn z 2;", "limit_conn_zone $remote_addr zone=z:1m;", "proxy_cache z;", "proxy_cache_valid any 0;",
                "proxy_cache_path /x keys_zone=z:1m max_size=1k inactive=1ms min_free=1;", "keepalive_timeout 0;", "send_timeout 9y;",
                "proxy_cache_valid 200 9y;", "max_ranges 0;", "worker_processes 9999;", "access_log /x\"y;", "#", "'", "\"", "$", "{", "é",
                "ssl_certificate /c.pem;", "ssl_certificate_key /k.pem;", "proxy_cache_lock_age 20y;", "proxy_cache_min_uses 300;",
            ]),
            0..60,
        )
    ) {
        if let Ok(imported) = translate(&words.join(" ")) {
            load(&imported);
        }
    }
}
