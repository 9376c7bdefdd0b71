//! The store as an operator keeps it: encrypted, shown, and tidied up.

use crate::imports::{Bench, failed, hive, hive_with, ok};
use crate::rig::{KIB, Rig, film};
use mtproto::{SessionFolder, Setting, StoreKey};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use telegram_sim::Account;

#[test]
fn a_store_is_encrypted_by_its_next_run_and_opens_with_its_key_alone() {
    let bench = Bench::new();
    let seeds = bench.write("seeds.json", &serde_json::to_string(&bench.sim.seeds()).unwrap());
    let plain = bench.settings("store", "");
    ok(&hive(&["import", "--config", plain.to_str().unwrap(), seeds.to_str().unwrap()], None));
    let (key, other) = (bench.path("store.key"), bench.path("other.key"));
    for file in [&key, &other] {
        ok(&hive(&["keygen", file.to_str().unwrap()], None));
    }
    let sealed = bench.settings("store", &format!("key_file = \"{}\"", key.display()));
    let sealed = sealed.to_str().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
    let mut run = run.args(["run", "--config", sealed]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.starts_with("LISTEN "), "{line}");
    assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
    lines.read_to_string(&mut line).unwrap();
    assert!(run.wait().unwrap().success());
    for seed in bench.sim.seeds() {
        let auth_key = seed.auth_key(2).unwrap();
        for entry in std::fs::read_dir(bench.path("store")).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_str().unwrap().contains(".session") {
                continue;
            }
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            assert!(!path.to_str().unwrap().ends_with("-wal"), "journals are folded in");
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(16).any(|window| window == &auth_key[..16]), "{}", path.display());
        }
    }
    let sessions =
        |environment: &[(&str, &str)], config: &str| hive_with(&["sessions", "--config", config], None, environment);
    assert!(ok(&sessions(&[], sealed)).contains("bot"));
    let text = std::fs::read_to_string(&key).unwrap();
    let bare = bench.settings("store", "");
    let bare = bare.to_str().unwrap();
    assert!(failed(&sessions(&[], bare)).contains("no key is configured"));
    assert!(ok(&sessions(&[("STREAMVAULT_STORE_KEY", text.trim())], bare)).contains("bot"));
    let wrong = std::fs::read_to_string(&other).unwrap();
    let error = failed(&sessions(&[("STREAMVAULT_STORE_KEY", wrong.trim())], bare));
    assert!(error.contains("with another key") && !error.contains(wrong.trim()), "{error}");
    let sealed = bench.settings("store", &format!("key_file = \"{}\"", key.display()));
    let sealed = sealed.to_str().unwrap();
    assert!(failed(&sessions(&[("STREAMVAULT_STORE_KEY", text.trim())], sealed)).contains("leave one of them out"));
    let change = ["rekey", "--config", sealed, "--to", other.to_str().unwrap()];
    assert_eq!(ok(&hive(&change, None)).lines().count(), 3);
    assert!(failed(&sessions(&[], sealed)).contains("with another key"));
    assert!(ok(&sessions(&[("STREAMVAULT_STORE_KEY", wrong.trim())], bare_again(&bench).as_str())).contains("user"));
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o640)).unwrap();
    let sealed = bench.settings("store", &format!("key_file = \"{}\"", other.display()));
    assert!(failed(&sessions(&[], sealed.to_str().unwrap())).contains("chmod 600"));
}

#[test]
fn nothing_comes_into_an_encrypted_store_in_plain_or_under_another_key() {
    let bench = Bench::new();
    let (key, other) = (bench.path("store.key"), bench.path("other.key"));
    for file in [&key, &other] {
        ok(&hive(&["keygen", file.to_str().unwrap()], None));
    }
    let seeds = bench.sim.seeds();
    let files: Vec<_> =
        seeds.iter().map(|seed| bench.write(&seed.account, &serde_json::to_string(seed).unwrap())).collect();
    let settings = |file: &std::path::Path| {
        let config = bench.settings("store", &format!("key_file = \"{}\"", file.display()));
        config.to_str().unwrap().to_owned()
    };
    let import =
        |config: &str, file: &std::path::Path| hive(&["import", "--config", config, file.to_str().unwrap()], None);
    ok(&import(&settings(&key), &files[0]));
    let named = format!("session `{}`", seeds[0].account);
    for (wrong, expected) in [(None, "no key is configured"), (Some(&other), "with another key")] {
        let config = wrong.map_or_else(|| bare_again(&bench), |file| settings(file));
        let login = hive(&["login", "--config", &config, "--bot"], Some("7009:token\n"));
        for refused in [import(&config, &files[1]), login] {
            let error = failed(&refused);
            assert!(error.contains(expected) && error.contains(&named), "{error}");
        }
    }
    assert_eq!(SessionFolder::open(&bench.path("store")).unwrap().accounts().unwrap(), [seeds[0].account.clone()]);
    ok(&import(&settings(&key), &files[1]));
}

fn bare_again(bench: &Bench) -> String {
    bench.settings("store", "").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_are_shown_as_they_run_and_taken_out_of_service() {
    let key = StoreKey::parse(&"7".repeat(64)).unwrap();
    let accounts = vec![Account::bot("ann", 7001), Account::bot("ben", 7003)];
    let rig = Rig::start_with(accounts, vec![film(2, 64 * KIB)], |options| options.store_key = Some(key.clone())).await;
    let admin = rig.hive().admin().unwrap();
    let text = format!(
        "token = \"t\"\n[admin]\naddress = \"{admin}\"\n[store]\nfolder = \"{}\"\n",
        rig.path_in_folder("store").display()
    );
    let config = rig.path_in_folder("hive.toml");
    std::fs::File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let command = move |more: &[&str]| {
        let arguments: Vec<String> = more.iter().map(|text| (*text).to_owned()).collect();
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            let (action, rest) = arguments.split_at(arguments.len().min(1));
            let action = action.iter().map(String::as_str);
            let all: Vec<&str> = ["sessions"].into_iter().chain(action).chain(["--config", &config]).collect();
            let all: Vec<&str> = all.into_iter().chain(rest.iter().map(String::as_str)).collect();
            hive_with(&all, None, &[("STREAMVAULT_STORE_KEY", &"7".repeat(64))])
        })
    };
    rig.until_metric("hive_session_up{session=\"ann\"} 1").await;
    let table = ok(&command(&[]).await.unwrap());
    let head = table.lines().next().unwrap();
    let ann = table.lines().find(|line| line.starts_with("ann")).unwrap();
    assert!(head.contains("STATE") && head.contains("FLOOD UNTIL") && head.contains("LAST ERROR"), "{table}");
    assert!(ann.contains("0/15") && ann.contains("MB/s") && ann.contains("7001"), "{table}");
    assert!(failed(&command(&["disable", "carl"]).await.unwrap()).contains("no session named `carl`"));
    assert_eq!(ok(&command(&["disable", "ann"]).await.unwrap()), "disabled ann\n");
    let sessions = SessionFolder::open(&rig.path_in_folder("store")).unwrap().with_key(Some(key));
    assert!(sessions.setting("ann", Setting::Disabled).unwrap().is_some());
    let shown = async {
        while !ok(&command(&[]).await.unwrap()).lines().any(|line| line.starts_with("ann") && line.contains("disabled"))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shown).await.expect("the hive sees that ann is disabled");
    assert_eq!(ok(&command(&["enable", "ann"]).await.unwrap()), "enabled ann\n");
    assert_eq!(ok(&command(&["remove", "ann"]).await.unwrap()), "removed ann\n");
    assert_eq!(sessions.accounts().unwrap(), ["ben"]);
    rig.get(1, None).await.whole();
}
