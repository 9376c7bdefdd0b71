//! What is refused, and in which words: each case is a change to a good file and the first line of the refusal.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use config::{ConfigError, GatewaySettings, HiveSettings, Settings, load, parse};
use proptest::prelude::{any, prop_assert, proptest};
use proptest::sample::Index;
use std::path::Path;

#[path = "refusals/domains.rs"]
mod domains;
#[path = "refusals/identities.rs"]
mod identities;
#[path = "refusals/traces.rs"]
mod traces;

const GATEWAY: &str = r#"listen = [{ address = "127.0.0.1:8080" }]
[hive]
token = "the-token"
[cache]
folder = "/cache"
[[tenant]]
id = "one"
domains = ["one.example", "*.one.example"]
[tenant.link]
secrets = [{ id = "1", secret = "the-secret" }]
"#;

const HIVE: &str = r#"token = "the-token"
[telegram]
api_id = 1
data_centres = [{ id = 2, address = "127.0.0.1:4430" }]
[pool]
chunk = "512KiB"
"#;

fn refusal<T: Settings>(text: &str) -> String {
    match parse::<T>(text, Path::new("f.toml")) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// (text to replace, its replacement, the refusal)
type Case = (&'static str, &'static str, &'static str);

fn check<T: Settings>(good: &str, cases: &[Case]) {
    assert_eq!(refusal::<T>(good), "accepted");
    for (from, to, expected) in cases {
        assert!(good.contains(from), "{from}");
        let refusal = refusal::<T>(&good.replacen(from, to, 1));
        assert_eq!(refusal, *expected, "with {to:?} for {from:?}");
        assert!(!refusal.contains("the-token") && !refusal.contains("the-secret"));
    }
}

#[test]
fn gateway() {
    check::<GatewaySettings>(
        GATEWAY,
        &[
            // Unknown and missing keys.
            ("folder", "foldr", "f.toml:5: cache.foldr: unknown key; did you mean `cache.folder`?"),
            ("[cache]", "[cahce]", "f.toml:4: cahce: unknown key; did you mean `cache`?"),
            (
                "folder = \"/cache\"",
                "keepalive = \"1s\"",
                "f.toml:5: cache.keepalive: unknown key; did you mean `limits.keepalive`?",
            ),
            (
                "address =",
                "adress =",
                "f.toml:1: listen[0].adress: unknown key; did you mean `listen[0].address`?\nf.toml:1: listen[0].address: is required",
            ),
            (
                "secret =",
                "key =",
                "f.toml:10: tenant[0].link.secrets[0].key: unknown key; did you mean `listen[].tls.key`?\nf.toml:10: tenant[0].link.secrets[0].secret: is required",
            ),
            (
                "token = \"the-token\"\n",
                "token = \"the-token\"\naddresses = [\"h:1\", \"i:1\", \"h:1\"]\n",
                "f.toml:4: hive.addresses[2]: is there already",
            ),
            ("token = \"the-token\"\n", "", "f.toml:2: hive.token: is required"),
            // The admin API.
            (
                "[hive]",
                "[admin]\ntokens = [{ name = \"A\", role = \"read\", token = \"t\" }]\n[hive]",
                "f.toml:3: admin.tokens[0].name: must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"",
            ),
            (
                "[hive]",
                "[admin]\ntokens = [{ name = \"local\", role = \"read\", token = \"t\" }]\n[hive]",
                "f.toml:3: admin.tokens[0].name: is the name of who has admin.token, or of who sends signals",
            ),
            (
                "[hive]",
                "[admin]\ntoken = \"t\"\ntokens = [{ name = \"a\", role = \"write\", token = \"t\" }]\n[hive]",
                "f.toml:4: admin.tokens[0].token: is another one's token already",
            ),
            ("[hive]", "[admin]\naudit = \"audit.log\"\n[hive]", "f.toml:3: admin.audit: must be an absolute path"),
            (
                "[hive]",
                "[tenants]\nfolder = \"t\"\n[hive]",
                "f.toml:3: tenants.folder: must be an absolute path\nf.toml:8: tenant[0].channels: is required where there are several tenants: none may open another's media",
            ),
            (
                "[hive]",
                "[tenants]\nkey = \"short\"\n[hive]",
                "f.toml:3: tenants.key: must be at least 32 characters: take \"openssl rand -hex 32\"\nf.toml:3: tenants.key: needs tenants.folder",
            ),
            ("id = \"one\"\n", "", "f.toml:6: tenant[0].id: is required"),
            (
                "token = \"the-token\"",
                "token = { flie = \"/x\" }",
                "f.toml:3: hive.token.flie: unknown key; did you mean `hive.token.file`?",
            ),
            // Syntax and types.
            ("[cache]", "[cache", "f.toml:4: unclosed table, expected `]`"),
            ("token = \"the-token\"", "token = the-token", "f.toml:3: invalid boolean, expected `true`"),
            ("token = \"the-token\"", "token = 12345", "f.toml:3: hive.token: a secret must be text in quotes"),
            (
                "token = \"the-token\"",
                "token = [\"the-token\"]",
                "f.toml:3: hive.token: invalid type: sequence, expected a secret: \"text\", { file = \"/path\" } or { env = \"NAME\" }",
            ),
            (
                "token = \"the-token\"",
                "token = { env = \"HOME\", file = \"/x\" }",
                "f.toml:3: hive.token: a secret has either `file` or `env`",
            ),
            (
                "folder = \"/cache\"",
                "max_size = 10",
                "f.toml:5: cache.max_size: invalid type: integer `10`, expected a size with its unit, such as \"64KiB\"",
            ),
            (
                "folder = \"/cache\"",
                "metadata_ttl = \"30\"",
                "f.toml:5: cache.metadata_ttl: not a time; write a whole number and ms, s, m, h or d, such as \"30s\"",
            ),
            (
                "folder = \"/cache\"",
                "max_run = -1",
                "f.toml:5: cache.max_run: invalid value: integer `-1`, expected u32",
            ),
            (
                "127.0.0.1:8080",
                "localhost:8080",
                "f.toml:1: listen[0].address: not an address to listen on; write \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\"",
            ),
            (
                "[cache]",
                "[log]\naccess = \"syslog\"\n[cache]",
                "f.toml:5: log.access: unknown variant `syslog`, expected one of `stdout`, `stderr`, `off`, `file`",
            ),
            (
                "*.one.example",
                "*one.example",
                "f.toml:8: tenant[0].domains[1]: not a domain; write \"films.example.com\", \"*.example.com\" or \"*\", without port (names in other scripts as xn--…)",
            ),
            (
                "[cache]",
                "[limits]\nmax_ranges = 0\nkeepalive = \"0s\"\n[cache]",
                "f.toml:5: limits.max_ranges: must be from 1 to 1000\nf.toml:6: limits.keepalive: must be more than 0s",
            ),
            (
                "[cache]",
                "[limits]\ndrain = \"0s\"\nupgrade_drain = \"2d\"\n[cache]",
                "f.toml:5: limits.drain: must be from 1s to 1d\nf.toml:6: limits.upgrade_drain: must be from 1s to 1d",
            ),
            (
                "[cache]",
                "[connections]\nhead_timeout = \"50ms\"\nbody_timeout = \"11m\"\nhttp2_streams = 0\n[cache]",
                "f.toml:5: connections.head_timeout: must be from 100ms to 10m\nf.toml:6: connections.body_timeout: must be from 100ms to 10m\nf.toml:7: connections.http2_streams: must be from 1 to 1000",
            ),
            (
                "[cache]",
                "[connections]\nmax = 20000000\nmax_per_address = 20000000\n[cache]",
                "f.toml:5: connections.max: must be at most 16000000\nf.toml:6: connections.max_per_address: must be at most 16000000",
            ),
            ("[cache]\nfolder = \"/cache\"", "cache = 1", "f.toml:4: hive.cache: unknown key; did you mean `cache`?"),
            (
                "[tenant.link]\nsecrets = [{ id = \"1\", secret = \"the-secret\" }]",
                "link = true",
                "f.toml:9: tenant[0].link: must be a table: { … }, or a section of its own",
            ),
            (
                "[cache]",
                "[redis]\nurl = \"rediss://localhost\"\n[cache]",
                "f.toml:5: redis.url: must begin with redis:// or redis+unix://",
            ),
            // Bounds.
            (
                "listen = [{ address = \"127.0.0.1:8080\" }]",
                "listen = []",
                "f.toml:1: listen: needs at least one address",
            ),
            (
                "8080\" }",
                "8080\" }, { address = \"tcp:127.0.0.1:8080\" }",
                "f.toml:1: listen[1].address: is listened on already",
            ),
            ("8080", "9090", "f.toml:1: listen[0].address: is the address of admin"),
            (
                "8080\"",
                "8080\", tls = { certificate = \"c.pem\", key = \"/k.pem\" }",
                "f.toml:1: listen[0].tls.certificate: must be an absolute path",
            ),
            ("\"the-token\"", "\"the token\"", "f.toml:3: hive.token: must be visible ASCII without spaces"),
            ("\"the-token\"", "\"\"", "f.toml:3: hive.token: the secret is empty"),
            (
                "\"the-token\"",
                "{ env = \"STREAMVAULT_NOT_SET\" }",
                "f.toml:3: hive.token: the environment variable STREAMVAULT_NOT_SET, which should hold the secret, is not set",
            ),
            (
                "\"the-token\"",
                "{ file = \"token\" }",
                "f.toml:3: hive.token: the secret's file token must be given by an absolute path",
            ),
            ("\"/cache\"", "\"cache\"", "f.toml:5: cache.folder: must be an absolute path"),
            (
                "folder = \"/cache\"",
                "slice_size = \"96KiB\"",
                "f.toml:5: cache.slice_size: must be a power of two from 64KiB to 8MiB",
            ),
            (
                "folder = \"/cache\"",
                "slice_size = \"32KiB\"",
                "f.toml:5: cache.slice_size: must be a power of two from 64KiB to 8MiB",
            ),
            (
                "folder = \"/cache\"",
                "max_size = \"1KiB\"",
                "f.toml:5: cache.max_size: must be at least cache.slice_size",
            ),
            ("folder = \"/cache\"", "first_run = 33", "f.toml:5: cache.first_run: must be from 1 to cache.max_run"),
            ("id = \"one\"", "id = \"One\"", "f.toml:7: tenant[0].id: must be 1 to 64 of a-z, 0-9, \"-\" and \"_\""),
            (
                "\"*.one.example\"",
                "\"ONE.example\"",
                "f.toml:8: tenant[0].domains[1]: one.example leads to tenant[0] already",
            ),
            ("[\"one.example\", \"*.one.example\"]", "[]", "f.toml:8: tenant[0].domains: needs at least one domain"),
            (
                "[tenant.link]",
                "[tenant.link]\nexpression = \"$secure_link_expires$uri hunter2\"",
                "f.toml:10: tenant[0].link.expression: must contain $secret, in the place of the secret",
            ),
            (
                "[tenant.link]",
                "[tenant.link]\nexpires_parameter = \"MD5\"",
                "f.toml:10: tenant[0].link.expires_parameter: must differ from token_parameter",
            ),
            (
                "[{ id = \"1\", secret = \"the-secret\" }]",
                "[]",
                "f.toml:10: tenant[0].link.secrets: needs at least one secret",
            ),
            (
                "the-secret\" }",
                "the-secret\" }, { id = \"1\", secret = \"x\" }",
                "f.toml:10: tenant[0].link.secrets[1].id: is the id of another secret already",
            ),
            (
                "domains = [\"one.example\", \"*.one.example\"]",
                "domains = [\"one.example\"]\nlink.secrets = [{ id = \"1\", secret = \"s\" }]\n[[tenant]]\nid = \"two\"\ndomains = [\"two.example\"]\nchannels = []",
                "f.toml:6: tenant[0].channels: is required where there are several tenants: none may open another's media\nf.toml:13: tenant[1].channels: needs at least one channel",
            ),
            // Plugins, and what they need.
            (
                "[cache]",
                "[[plugin]]\nname = \"A\"\nfolder = \"a\"\nsha256 = \"12\"\ncanary = 1.5\n[cache]",
                "f.toml:5: plugin[0].name: must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"\nf.toml:6: plugin[0].folder: must be an absolute path\nf.toml:7: plugin[0].sha256: must be 64 hexadecimal digits\nf.toml:8: plugin[0].canary: must be from 0 to 1",
            ),
            (
                "[cache]",
                "[[plugin]]\nname = \"a\"\nfolder = \"/a\"\n[[plugin]]\nname = \"a\"\nfolder = \"/a\"\n[cache]",
                "f.toml:8: plugin[1].name: is the name of plugin[0] already",
            ),
            (
                "[cache]",
                "[[plugin]]\nname = \"a\"\nfolder = \"/a\"\nfail = \"ajar\"\n[cache]",
                "f.toml:7: plugin[0].fail: unknown variant `ajar`, expected `open` or `closed`",
            ),
            (
                "[cache]",
                "[plugins]\nrequire_signature = true\nwatch = \"1ms\"\n[cache]",
                "f.toml:5: plugins.require_signature: needs plugins.trusted_keys\nf.toml:6: plugins.watch: must be at least 100ms",
            ),
            (
                "[cache]",
                "[redis]\nurl = \"localhost\"\n[cache]",
                "f.toml:5: redis.url: must begin with redis:// or redis+unix://",
            ),
            // The fleet.
            (
                "[cache]",
                "[peers]\nlisten = \"127.0.0.1:8080\"\nself = \"h:1\"\nmembers = [{ address = \"i:1\" }, { address = \"i:1\", weight = 0 }]\ntoken = \"the-token\"\npatience = \"0s\"\n[cache]",
                "f.toml:5: peers.listen: is an address for viewers\nf.toml:6: peers.self: is none of peers.members\nf.toml:7: peers.members[1].address: is there already\nf.toml:7: peers.members[1].weight: must be from 1 to 100\nf.toml:8: peers.token: is the hive's token: take another one\nf.toml:9: peers.patience: must be more than 0s",
            ),
            // Rates, and where they are counted.
            (
                "[cache]",
                "[rates]\nsign.address = \"5 a minute\"\n[cache]",
                "f.toml:5: rates.sign.address: not a rate; write how many in how long, such as \"5/1m\", or \"unlimited\"",
            ),
            (
                "[cache]",
                "[rates]\napi.tenant = \"0/1m\"\n[cache]",
                "f.toml:5: rates.api.tenant: a rate is at least 1, in at least 1ms; suspend a tenant to serve nobody",
            ),
            (
                "[tenant.link]",
                "[tenant.rates]\nstream.address = \"1000000/1d\"\n[tenant.link]",
                "f.toml:10: tenant[0].rates.stream.address: so many in so long can't be counted exactly; write it for a shorter time",
            ),
            (
                "[tenant.link]",
                "[tenant.limits]\nbytes_per_month = \"1KiB\"\n[tenant.link]",
                "f.toml:10: tenant[0].limits.bytes_per_month: must be from 1MiB to 4096TiB",
            ),
            ("[cache]", "[redis]\nprefix = \"sv\"\n[cache]", "f.toml:4: redis: needs one of url, cluster and sentinel"),
            (
                "[cache]",
                "[redis]\nurl = \"redis://a\"\ncluster = { nodes = [\"a:1\", \"b\"] }\nrate_timeout = \"1ms\"\n[cache]",
                "f.toml:4: redis: needs one of url, cluster and sentinel\nf.toml:6: redis.cluster.nodes[1]: must be host:port\nf.toml:7: redis.rate_timeout: must be from 5ms to 5s",
            ),
            (
                "[cache]",
                "[redis]\nsentinel = { nodes = [], master = \"\" }\n[cache]",
                "f.toml:5: redis.sentinel.nodes: needs at least one host:port\nf.toml:5: redis.sentinel.master: must not be empty",
            ),
            // Viewers.
            (
                "[tenant.link]",
                "[tenant.viewer]\nkeys = [{ id = \"1\", algorithm = \"HS256\", key = \"short\" }, { id = \"1\", algorithm = \"EdDSA\", key = \"x\" }]\n[tenant.link]",
                "f.toml:10: tenant[0].viewer.keys[0].key: must have at least 32 bytes\nf.toml:10: tenant[0].viewer.keys[1].id: is the id of another key already\nf.toml:10: tenant[0].viewer.keys[1].key: must be a public key as PEM",
            ),
            (
                "[tenant.link]",
                "[tenant.viewer]\nkeys = [{ id = \"1\", algorithm = \"none\", key = \"x\" }]\n[tenant.link]",
                "f.toml:10: tenant[0].viewer.keys[0].algorithm: unknown variant `none`, expected one of `HS256`, `HS384`, `HS512`, `RS256`, `ES256`, `EdDSA`",
            ),
            (
                "[tenant.link]",
                "[tenant.limits]\nstreams = 0\nviewer_bytes_per_second = \"1B\"\n[tenant.branding]\nsupport_url = \"javascript:alert(1)\"\n[tenant.link]",
                "f.toml:10: tenant[0].limits.streams: must be at least 1; set status to suspended to serve nobody\nf.toml:11: tenant[0].limits.viewer_bytes_per_second: must be at least 1KiB\nf.toml:13: tenant[0].branding.support_url: must be an http(s) address",
            ),
        ],
    );
    let second = "[[tenant]]\nid = \"one\"\nchannels = [1]\ndomains = [\"one.example\"]\nlink = { secrets = [{ id = \"1\", secret = \"x\" }] }\n";
    assert_eq!(
        refusal::<GatewaySettings>(&format!("{}{second}", GATEWAY.replacen("id =", "channels = [1]\nid =", 1))),
        "f.toml:13: tenant[1].id: is the id of tenant[0] already\n\
         f.toml:15: tenant[1].domains[0]: one.example leads to tenant[0] already"
    );
    assert_eq!(refusal::<GatewaySettings>(""), "f.toml:1: hive: is required");
}

#[test]
fn worker_hive() {
    check::<HiveSettings>(
        HIVE,
        &[
            ("token", "tokens", "f.toml:1: tokens: unknown key; did you mean `token`?\nf.toml:1: token: is required"),
            ("api_id = 1", "api_id = 0", "f.toml:3: telegram.api_id: must be more than 0"),
            (
                "api_id = 1",
                "api_id = 4294967296",
                "f.toml:3: telegram.api_id: invalid value: integer `4294967296`, expected i32",
            ),
            ("id = 2", "id = 0", "f.toml:4: telegram.data_centres[0].id: must be from 1 to 99999"),
            (
                "4430\" }",
                "4430\" }, { id = 2, address = \"127.0.0.1:1\" }",
                "f.toml:4: telegram.data_centres[1].id: is there already",
            ),
            (":4430", ":0", "f.toml:4: telegram.data_centres[0].address: must have a port other than 0"),
            ("\"512KiB\"", "\"1MiB\"", "f.toml:6: pool.chunk: must be a power of two from 4KiB to 512KiB"),
            ("\"512KiB\"", "\"32KiB\"", "f.toml:5: pool.first_chunk: must be a power of two from 4KiB to pool.chunk"),
            (
                "chunk = \"512KiB\"",
                "window_max = 0",
                "f.toml:5: pool.window_start: must be from 1 to pool.window_max\nf.toml:6: pool.window_max: must be from 1 to 64",
            ),
            (
                "chunk = \"512KiB\"",
                "call_timeout = \"16s\"",
                "f.toml:5: pool.chunk_deadline: must be at least pool.call_timeout",
            ),
            (
                "chunk = \"512KiB\"",
                "retry_window = \"16s\"",
                "f.toml:6: pool.retry_window: must be at most pool.chunk_deadline",
            ),
            (
                "[telegram]",
                "[redis]\nurl = \"localhost\"\nhive = \"a/b\"\nlease = \"1s\"\n[telegram]",
                "f.toml:3: redis.url: must begin with redis:// or redis+unix://\n\
                 f.toml:4: redis.hive: must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"\n\
                 f.toml:5: redis.lease: must be from 2s to 10m",
            ),
            (
                "[telegram]",
                "[redis]\nurl = \"rediss://localhost\"\n[telegram]",
                "f.toml:3: redis.url: must begin with redis:// or redis+unix://",
            ),
            ("[telegram]", "listen = \"127.0.0.1:9091\"\n[telegram]", "f.toml:2: listen: is the address of admin"),
            ("[telegram]", "[store]\nfolder = \"x\"\n[telegram]", "f.toml:3: store.folder: must be an absolute path"),
        ],
    );
}

/// A gateway's patience must bridge what a hive's death costs; the runbook says by how much.
#[test]
fn defaults_of_the_two_files_fit_each_other() {
    let hive = HIVE.replace("[telegram]", "[redis]\nurl = \"redis://localhost\"\n[telegram]");
    let hive = parse::<HiveSettings>(&hive, Path::new("f.toml")).unwrap().settings;
    let gateway = parse::<GatewaySettings>(GATEWAY, Path::new("f.toml")).unwrap().settings;
    assert!(gateway.hive.retry_window.get() * 3 >= hive.redis.unwrap().lease.get() * 4);
}

proptest! {
    /// Damage of any kind gives settings or a refusal, never a panic, and a refusal never holds what was secret.
    #[test]
    fn damaged_files(cut in any::<(Index, Index)>(), put in "[\\[\\]{}=.,\"' \n#a-z0-9$-]{0,8}", at in any::<Index>()) {
        let mut bytes = GATEWAY.as_bytes().to_vec();
        let (a, b) = (cut.0.index(bytes.len()), cut.1.index(bytes.len()));
        bytes.drain(a.min(b)..a.max(b).min(a.min(b) + 12));
        let at = at.index(bytes.len());
        bytes.splice(at..at, put.bytes());
        let text = String::from_utf8(bytes).unwrap();
        let refusal = refusal::<GatewaySettings>(&text);
        prop_assert!(refusal == "accepted" || refusal.starts_with("f.toml:"), "{refusal}");
        prop_assert!(!refusal.contains("the-secret"), "{refusal}");
    }
}

#[test]
fn a_file_that_is_not_there() {
    match load::<GatewaySettings>(Path::new("/nowhere/gateway.toml")) {
        Err(error @ ConfigError::Unreadable { .. }) => {
            assert!(error.to_string().starts_with("/nowhere/gateway.toml: can't be read: "), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
