//! What ships in deploy/, judged by the programs that will read it: our own, systemd, Prometheus, nginx.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

#[cfg(test)]
#[path = "../../../gateway/link/tests/nginx/mod.rs"]
mod nginx;

#[cfg(test)]
#[path = "deploy/unit.rs"]
mod unit;

#[cfg(test)]
mod tests {
    use crate::nginx::{Client, Nginx};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use harness::{Failure, Fixed, PluginSettings, Process, Settings, Stack, binary, sign};
    use http::Method;
    use md5::{Digest, Md5};
    use std::collections::BTreeSet;
    use std::fs;
    use std::net::SocketAddr;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// Exposure by `systemd-analyze security`, times ten, that no unit may exceed. deploy/systemd/README.md has what they reach.
    const MOST_EXPOSED: u32 = 20;

    fn deploy() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
    }

    /// Files below a folder with an extension, in order.
    fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                found.extend(files(&path, extension));
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
        found.sort();
        found
    }

    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs a command to its end: whether it succeeded, and what it said.
    fn run(command: &mut Command) -> (bool, String) {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/setup test"));
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), said)
    }

    /// A shipped settings file with its secrets and folders below a temporary one.
    fn placed(file: &Path, folder: &Path) -> PathBuf {
        let mut text = fs::read_to_string(file).unwrap();
        for (known, secret) in [
            ("hive.token", "a-token"),
            ("admin.token", "another-token"),
            ("link.secret", "a secret"),
            ("store.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ] {
            put(&folder.join(known), secret);
        }
        let here = folder.display().to_string();
        for known in ["/run/credentials/gateway.service", "/run/credentials/worker-hive.service", "/run/secrets"] {
            text = text.replace(known, &here);
        }
        for known in
            ["/var/lib/streamvault-gateway", "/var/lib/streamvault", "/var/cache/streamvault", "/run/streamvault"]
        {
            text = text.replace(known, &here);
        }
        let place = folder.join("settings.toml");
        put(&place, &text);
        place
    }

    #[test]
    fn every_settings_file_passes_the_check_of_its_program() {
        let shipped = files(&deploy(), "toml");
        assert!(shipped.len() >= 4, "{shipped:?}");
        for file in shipped {
            let folder = tempfile::tempdir().unwrap();
            let place = placed(&file, folder.path());
            let hive = file.file_name().unwrap() == "worker-hive.toml";
            let program = binary(if hive { "worker-hive" } else { "gateway" }).unwrap();
            if hive {
                let key = folder.path().join("store.key");
                fs::remove_file(&key).unwrap();
                assert!(run(Command::new(&program).arg("keygen").arg(&key)).0);
            } else {
                let (made, said) = run(Command::new(&program).args(["takedown", "init", "--config"]).arg(&place));
                assert!(made, "{}: {said}", file.display());
            }
            let (good, said) = run(Command::new(&program).args(["check", "--config"]).arg(&place));
            assert!(good && !said.contains("warning"), "{}: {said}", file.display());
        }
    }

    #[test]
    fn units_are_what_systemd_takes_and_expose_little() {
        for unit in files(&deploy().join("systemd"), "service") {
            let folder = tempfile::tempdir().unwrap();
            // The programs of the packages are not installed here.
            let mut text = fs::read_to_string(&unit).unwrap();
            for program in ["gateway", "worker-hive"] {
                text =
                    text.replace(&format!("/usr/bin/{program} "), &format!("{} ", binary(program).unwrap().display()));
            }
            let place = folder.path().join(unit.file_name().unwrap());
            put(&place, &text);
            let (good, said) = run(Command::new("systemd-analyze").arg("verify").arg(&place));
            assert!(good && said.trim().is_empty(), "{}: {said}", unit.display());
            let threshold = format!("--threshold={MOST_EXPOSED}");
            let security = ["security", "--offline=yes", "--no-pager", &threshold];
            let (good, said) = run(Command::new("systemd-analyze").args(security).arg(&place));
            let last = said.lines().last().unwrap_or_default();
            assert!(good, "{}: {said}", unit.display());
            println!("{last}");
        }
    }

    #[test]
    fn rules_do_what_they_say() {
        let folder = deploy().join("prometheus");
        let (good, said) = run(Command::new("promtool").args(["test", "rules", "rules.test.yml"]).current_dir(&folder));
        assert!(good, "{said}");
        let (good, said) =
            run(Command::new("promtool").args(["check", "config", "prometheus.yml"]).current_dir(&folder));
        assert!(good, "{said}");
        // In a container the rules lie elsewhere.
        let compose = fs::read_to_string(deploy().join("compose/prometheus.yml")).unwrap();
        let place = tempfile::tempdir().unwrap();
        put(&place.path().join("p.yml"), &compose.replace("/etc/prometheus", &folder.display().to_string()));
        let (good, said) = run(Command::new("promtool").args(["check", "config"]).arg(place.path().join("p.yml")));
        assert!(good, "{said}");
    }

    /// Names that look like metrics of ours in a text of PromQL.
    fn names(text: &str) -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let ours = words.filter(|word| word.starts_with("streamvault_") || word.starts_with("hive_"));
        ours.map(str::to_owned).collect()
    }

    /// Values of a label that a text of PromQL names, without patterns.
    fn values(text: &str, label: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for begin in [format!("{label}=\""), format!("{label}=~\"")] {
            for rest in text.split(&begin).skip(1) {
                let value = rest.split('"').next().unwrap_or_default();
                let words = value.split('|').filter(|word| !word.contains(['*', '$']));
                found.extend(words.map(str::to_owned));
            }
        }
        found
    }

    /// All PromQL of the dashboard.
    fn queries(dashboard: &serde_json::Value) -> String {
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let mut text: String = targets.map(|target| format!("{}\n", target["expr"].as_str().unwrap())).collect();
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            text.push_str(variable["query"]["query"].as_str().unwrap_or_default());
            text.push('\n');
        }
        text
    }

    async fn text(address: SocketAddr) -> Result<String, Failure> {
        let answer = harness::Client { address }.ask(Method::GET, "/metrics", &[]).await?;
        Ok(String::from_utf8(answer.body)?)
    }

    /// Everything that dashboard and rules ask for is there, in the metrics of programs that run; and the commands of an operator's day
    /// say what happened.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_operators_day() -> Result<(), Failure> {
        let reports = tempfile::tempdir()?;
        let folder = format!("\"{}/days\"", reports.path().display());
        let hive_admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let allow = Fixed::Allow {
            rate: None,
            viewer_streams: None,
            tenant_streams: None,
            expires: None,
            ranges: Vec::new(),
            viewer: None,
            keep: None,
        };
        let settings = Settings::default()
            .hive("admin.address", &format!("\"{hive_admin}\""))
            .film("a.mkv", 300_000)
            .gateway("report.folder", &folder)
            .plugin(PluginSettings::fixed("fixed", allow));
        let mut stack = Stack::start(settings).await?;
        let film = stack.get("a.mkv", None).await?;
        assert_eq!((film.status.as_u16(), film.body.len()), (200, 300_000));
        let missing = format!("/stream/{}/999", stack.chat_id());
        let gone = stack.client.ask(Method::GET, &sign(&missing, 4_000_000_000), &[]).await?;
        assert_eq!(gone.status.as_u16(), 404);

        let there = text(stack.admin.address).await? + &text(hive_admin).await?;
        let known: BTreeSet<_> =
            there.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let rules = fs::read_to_string(deploy().join("prometheus/rules.yml"))?;
        let dashboard = fs::read_to_string(deploy().join("grafana/dashboards/streamvault.json"))?;
        let queries = queries(&serde_json::from_str(&dashboard)?);
        // Some happen only now and then, and have no series before.
        let rare = [
            "hive_session_faults_total",
            "hive_connections_ended_total",
            "streamvault_plugin_failures_total",
            "streamvault_fleet",
        ];
        for (what, promql) in [("rules.yml", &rules), ("the dashboard", &queries)] {
            let asked = names(promql);
            assert!(asked.len() > 10, "{asked:?}");
            for name in asked.iter().filter(|name| !rare.contains(&name.as_str())) {
                let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(
                    known.contains(name.as_str()) || known.contains(base),
                    "{what} asks for {name}, which nobody has"
                );
            }
            for label in ["outcome", "event", "what"] {
                for value in values(promql, label) {
                    assert!(there.contains(&format!("{label}=\"{value}\"")), "{what} asks for {label}=\"{value}\"");
                }
            }
        }
        // What dashboards ask of rules is recorded there.
        for recorded in queries.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':') {
            let ours = recorded.starts_with("streamvault:");
            assert!(!ours || rules.contains(&format!("record: {recorded}\n")), "{recorded} is not recorded");
        }
        assert!(there.contains("streamvault_tenant_sent_bytes_total{tenant=\"films\"} 300"), "{there}");
        assert!(there.contains("streamvault_tenant_requests_total{tenant=\"films\",result=\"refused\"} 1"), "{there}");

        let shown = stack.gateway_command(&["top", "--once", "--interval", "200ms"]).await?.done()?;
        for part in ["requests ", "hives reached 1 of 1", "served  ", "media-not-found", "\nfilms  "] {
            assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
        }
        assert_eq!(stack.gateway_command(&["health"]).await?.done()?, "ok\n");
        let hive = stack.cache_folder().with_file_name("worker-hive.toml");
        let (well, said) = run(Command::new(binary("worker-hive")?).args(["health", "--config"]).arg(&hive));
        assert!(well && said.starts_with("ok\n"), "{said}");

        let day = |printed: String| serde_json::from_str::<serde_json::Value>(&printed);
        let report = day(stack.gateway_command(&["report", "--json"]).await?.done()?)?;
        assert_eq!((&report["served"], &report["refused"], &report["viewers"]), (&1.into(), &1.into(), &1.into()));
        assert_eq!(report["dead_links"][0]["media"], missing.trim_start_matches("/stream/"));
        assert!(stack.gateway_command(&["report"]).await?.done()?.contains("1 viewer(s), 2 request(s), 1 refused"));
        assert!(stack.gateway_command(&["report", "1999-01-01"]).await?.done().is_err());
        // A restart costs nothing of it.
        let gateway = stack.gateway.take().ok_or("no gateway")?;
        assert!(gateway.signal("TERM").await);
        stack.start_gateway().await?;
        let again = day(stack.gateway_command(&["report", "--json"]).await?.done()?)?;
        assert_eq!((&again["served"], &again["dead_links"]), (&report["served"], &report["dead_links"]));
        Ok(())
    }

    /// A server of nginx's, and links of all kinds, before and after the move.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn links_that_nginx_took_open_after_the_import() -> Result<(), Failure> {
        const SERVER: &str = "server {\nlisten unix:FOLDER/films.sock;\nserver_name films.test;\n\
            set $word \"it's a { secret } word\";\nlocation /stream/ {\nsecure_link $arg_st,$arg_e;\n\
            secure_link_md5 \"${word}|$secure_link_expires$uri\";\nif ($secure_link = \"\") { return 403; }\n\
            if ($secure_link = \"0\") { return 410; }\nslice 1m;\nreturn 200 ok;\n}\n}\n";
        let stack = Stack::start(Settings::default().film("a.mkv", 1000)).await?;
        let folder = tempfile::tempdir()?;
        let mut server = Nginx::start(&[], |at| SERVER.replace("FOLDER", &at.display().to_string()));
        let mut nginx = server.connect("films.sock");

        let conf = folder.path().join("films.conf");
        let socket = format!("unix:{}/films.sock", folder.path().display());
        put(&conf, &SERVER.replace("unix:FOLDER/films.sock", &socket));
        let place = folder.path().join("gateway.toml");
        let program = binary("gateway")?;
        let mut import = Command::new(&program);
        import.arg("import-nginx").arg(&conf).arg("--output").arg(&place).arg("--secrets").arg(folder.path());
        let (good, said) = run(&mut import);
        assert!(good && !said.contains("word"), "{said}");
        let (good, said) = run(&mut import);
        assert!(!good && said.contains("delete it to have it written"), "a second time: {said}");
        put(&folder.path().join("hive.token"), "harness-token");
        let (good, said) = run(Command::new(&program).args(["check", "--config"]).arg(&place));
        assert!(good, "{said}");
        // The same settings, but for where things are on this machine.
        let sockets = stack.cache_folder().with_file_name("hive.sock");
        let text = fs::read_to_string(&place)?.replace(&socket, "127.0.0.1:0");
        let text = text.replace("unix:/run/streamvault/hive.sock", &format!("unix:{}", sockets.display()));
        let cache = format!("[cache]\nfolder = \"{}/cache\"\nmin_free = \"64MiB\"\n", folder.path().display());
        put(&place, &format!("admin.address = \"127.0.0.1:0\"\n{}", text.replace("[cache]\n", &cache)));
        let log = folder.path().join("log");
        let mut gateway = Process::start(&program, &["run", "--config", &place.to_string_lossy()], &log)?;
        let address: SocketAddr = gateway.wait_for("LISTEN").await?.parse()?;
        gateway.wait_for("ADMIN").await?;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(gateway.id().is_some(), "{}", fs::read_to_string(&log)?);
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }

        let film = stack.path(stack.film("a.mkv")?);
        let signed = |path: &str, expires: i64, secret: &str| {
            let text = format!("{secret}|{expires}{path}");
            format!("{path}?st={}&e={expires}", URL_SAFE_NO_PAD.encode(Md5::digest(text)))
        };
        let (good, late, word) = (4_000_000_000, 1_000_000_000, "it's a { secret } word");
        let mut gateway_client = Client::new(move || std::net::TcpStream::connect(address));
        for (link, status) in [
            (signed(&film, good, word), 200),
            (signed(&film, late, word), 410),
            (signed(&film, good, "another word"), 403),
            (signed(&film, good, word).replace("a.mkv", "b.mkv"), 403),
            (signed(&film, good, word).replace("e=4", "e=5"), 403),
            (film.clone(), 403),
        ] {
            let request = format!("GET {link} HTTP/1.1\r\nHost: films.test\r\n\r\n");
            let before = nginx.exchange(request.as_bytes(), false).status;
            let after = gateway_client.exchange(request.as_bytes(), false).status;
            assert_eq!((before, after), (status, status), "{link}");
        }
        Ok(())
    }
}
