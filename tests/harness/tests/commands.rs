//! What operators see when something is wrong at start.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

use harness::{Failure, Settings, Stack, binary};
use std::process::Command;

fn gateway(arguments: &[&str]) -> Result<(i32, String), Failure> {
    let output = Command::new(binary("gateway")?).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().unwrap_or(-1), text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_start_says_what_is_wrong() -> Result<(), Failure> {
    let stack = Stack::start(Settings::default().film("a.mkv", 1000)).await?;
    let folder = stack.cache_folder();
    let folder = folder.parent().ok_or("no folder")?;
    let minimal = |listen: &str, cache: &str| {
        format!(
            "listen = [{{ address = \"{listen}\" }}]\nadmin.address = \"127.0.0.1:0\"\n\
             hive = {{ address = \"unix:/nowhere.sock\", token = \"t\" }}\ncache.folder = \"{}/{cache}\"\n\
             [[tenant]]\nid = \"a\"\ndomains = [\"*\"]\nlink.secrets = [{{ id = \"1\", secret = \"tell nobody\" }}]\n",
            folder.display()
        )
    };
    let taken = stack.client.address.to_string();
    let junk = folder.join("junk.pem");
    std::fs::write(&junk, "no certificate")?;
    let tls = format!("127.0.0.1:0\", tls = {{ certificate = \"{0}\", key = \"{0}\" }}, h2c = false", junk.display());
    let junk_tls = minimal(&tls, "x").replace("h2c = false\" }", "h2c = false }");
    let cases = [
        ("run", minimal(&taken, "other"), 1, taken.as_str()),
        ("run", minimal("127.0.0.1:0", "cache"), 1, "in use by another process"),
        ("check", minimal("127.0.0.1:0", "x").replace("domains", "domain"), 1, "did you mean `tenant[0].domains`"),
        ("check", minimal("127.0.0.1:0", "x").replace("\"tell nobody\"", "{ env = \"NOT_SET\" }"), 1, "NOT_SET"),
        ("check", minimal("127.0.0.1:0", "x"), 0, "ok, 1 tenant"),
        ("check", junk_tls.clone(), 1, "there is no private key in it"),
        ("run", junk_tls, 1, "there is no private key in it"),
    ];
    for (command, text, status, says) in cases {
        let file = folder.join("wrong.toml");
        std::fs::write(&file, text)?;
        let (code, said) = gateway(&[command, "--config", &file.to_string_lossy()])?;
        assert_eq!(code, status, "{said}");
        assert!(said.contains(says), "{said:?} lacks {says:?}");
        assert!(!said.contains("tell nobody"), "{said}");
    }
    let health = stack.admin.ask(http::Method::GET, "/healthz", &[]).await?;
    assert_eq!((health.status.as_u16(), health.body.as_slice()), (200, &b"ok\n"[..]));
    assert_eq!(gateway(&["run"])?.0, 2, "usage errors exit with 2");
    assert_eq!(gateway(&["dance"])?.0, 2);
    let (code, said) = gateway(&["check", "--config", "/nowhere.toml"])?;
    assert!(code == 1 && said.contains("/nowhere.toml"), "{said}");
    Ok(())
}
