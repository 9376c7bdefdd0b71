//! The commands for operators, against a listener that answers as a gateway's does.

use crate::support::{Done, plugin, settings, write};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

const LIST: &str = r#"[{"name":"tiers","hook":"policy","order":100,"tenants":null,"fail":"closed","enabled":true,
 "current":{"number":2,"version":"1.0.0","sha256":"001122334455667788","signed_by":null,"isolation":"warm","share":1.0},
 "canary":null,"previous":null,"problem":PROBLEM}]"#;

#[derive(Default)]
struct Gateway {
    /// What was asked for, in order.
    asked: Mutex<Vec<String>>,
    problem: Mutex<Option<&'static str>>,
}

/// The listener lives as long as the runtime.
fn start(gateway: &Arc<Gateway>) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let list = |State(gateway): State<Arc<Gateway>>| async move {
        let problem = gateway.problem.lock().unwrap().map_or("null".to_owned(), |problem| format!("{problem:?}"));
        LIST.replace("PROBLEM", &problem)
    };
    let change = |State(gateway): State<Arc<Gateway>>, Path(what): Path<String>, headers: HeaderMap| async move {
        if headers.get("authorization").is_none_or(|value| value != "Bearer admin-token") {
            return (StatusCode::UNAUTHORIZED, "Authorization: Bearer with admin.token is wanted\n".to_owned());
        }
        if what.starts_with("nobody/") {
            return (StatusCode::CONFLICT, "there is no plugin \"nobody\"\n".to_owned());
        }
        gateway.asked.lock().unwrap().push(what.clone());
        (StatusCode::OK, format!("{{\"changes\":[\"tiers: {what}\"]}}"))
    };
    let routes = Router::new().route("/v1/plugins", get(list)).route("/v1/plugins/{*what}", post(change));
    let routes = routes.with_state(gateway.clone());
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, routes).await });
    (runtime, address)
}

fn config(home: &std::path::Path, address: SocketAddr, token: &str) -> String {
    let file = home.join("gateway.toml");
    write(&file, settings(&format!("[admin]\naddress = \"{address}\"\n{token}")));
    file.to_str().unwrap().to_owned()
}

pub(crate) fn lists_and_changes() {
    let gateway = Arc::new(Gateway::default());
    let (_runtime, address) = start(&gateway);
    let home = tempfile::tempdir().unwrap();
    let config = config(home.path(), address, "token = \"admin-token\"");
    let run = |arguments: &[&str]| -> Done { plugin(&[arguments, &["--config", &config]].concat()) };

    let table = run(&["list"]).exits(0).out;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..3], ["NAME", "HOOK", "ORDER"]);
    assert_eq!(rows[1][..7], ["tiers", "policy", "100", "all", "closed", "ok", "2"]);
    assert_eq!(run(&["list", "--json"]).exits(0).out, LIST.replace("PROBLEM", "null"));

    for what in ["enable", "disable", "rollback", "promote"] {
        assert_eq!(run(&[what, "tiers"]).exits(0).out, format!("tiers: tiers/{what}\n"));
    }
    assert_eq!(run(&["reload"]).exits(0).out, "tiers: reload\n");
    let asked = gateway.asked.lock().unwrap().clone();
    assert_eq!(asked, ["tiers/enable", "tiers/disable", "tiers/rollback", "tiers/promote", "reload"]);

    // What a reload left out of service is a failure, though the gateway did what it was told.
    *gateway.problem.lock().unwrap() = Some("/p/plugin.toml: is not there");
    let done = run(&["reload"]).exits(1);
    assert!(done.err.contains("tiers: /p/plugin.toml: is not there"), "{}", done.err);
    assert!(run(&["list"]).exits(0).out.ends_with("tiers: /p/plugin.toml: is not there\n"));
}

pub(crate) fn refusals() {
    let gateway = Arc::new(Gateway::default());
    let (runtime, address) = start(&gateway);
    let home = tempfile::tempdir().unwrap();
    let without = config(home.path(), address, "");
    let done = plugin(&["reload", "--config", &without]).exits(1);
    assert!(done.err.contains("401") && done.err.contains("admin.token is wanted"), "{}", done.err);

    let with = config(home.path(), address, "token = \"admin-token\"");
    let done = plugin(&["rollback", "nobody", "--config", &with]).exits(1);
    assert!(done.err.contains("409") && done.err.contains("there is no plugin"), "{}", done.err);
    let done = plugin(&["disable", "a/../reload", "--config", &with]).exits(1);
    assert!(done.err.contains("is no name"), "{}", done.err);
    assert!(gateway.asked.lock().unwrap().is_empty());

    drop(runtime);
    let done = plugin(&["list", "--config", &with]).exits(1);
    assert!(done.err.contains("is it running?"), "{}", done.err);
    let done = plugin(&["list", "--config", "/nowhere/gateway.toml"]).exits(1);
    assert!(done.err.contains("/nowhere/gateway.toml"), "{}", done.err);
}
