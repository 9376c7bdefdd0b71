//! What the running hive says about its sessions, asked over its admin listener.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, UNIX_EPOCH};

/// A hive that is alive answers in much less; a table must not hang for one that isn't.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer in bytes.
const LONGEST: u64 = 16 << 20;
const HEALTH: &[u8] = b"GET /healthz HTTP/1.0\r\nHost: hive\r\nConnection: close\r\n\r\n";
const SESSIONS: &[u8] = b"GET /v1/sessions HTTP/1.0\r\nHost: hive\r\nConnection: close\r\n\r\n";

/// The live columns of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) state: String,
    pub(crate) load: String,
    pub(crate) speed: String,
    pub(crate) flood_until: String,
    pub(crate) last_error: String,
}

/// One session of the answer. What a later release leaves out is shown as a dash.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    state: String,
    streams: Option<u64>,
    cap: Option<u64>,
    bytes_per_second: Option<f64>,
    flood_until: Value,
    last_error: Value,
}

impl Live {
    /// A session that no hive runs, as far as anybody knows.
    pub(crate) fn stored(disabled: bool) -> Self {
        let dash = || "-".to_owned();
        let state = if disabled { "disabled".to_owned() } else { dash() };
        Self { state, load: dash(), speed: dash(), flood_until: dash(), last_error: dash() }
    }
}

/// The sessions of the hive at that address by name; nothing when none answers.
pub(crate) fn ask(admin: SocketAddr) -> Option<BTreeMap<String, Live>> {
    if admin.port() == 0 {
        return None;
    }
    read(&exchange(admin, SESSIONS).ok()?)
}

/// Asks the hive for a sign of life, and prints it.
///
/// # Errors
/// None can be had, or it says that it is not well.
pub(crate) fn health(mut admin: SocketAddr) -> io::Result<()> {
    if admin.ip().is_unspecified() {
        admin.set_ip(if admin.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let answer = exchange(admin, HEALTH)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(body.trim_end().to_owned()));
    }
    writeln!(io::stdout(), "{}", body.trim_end())
}

fn exchange(admin: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read(answer: &[u8]) -> Option<BTreeMap<String, Live>> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(..head)?).ok()?.split(' ').nth(1)?;
    if status != "200" {
        return None;
    }
    let mut body: Value = serde_json::from_slice(answer.get(head + 4..)?).ok()?;
    let list = if body.is_array() { body } else { body.get_mut("sessions")?.take() };
    let rows: Vec<Row> = serde_json::from_value(list).ok()?;
    Some(rows.into_iter().map(|row| (row.name.clone(), live(&row))).collect())
}

fn live(row: &Row) -> Live {
    let dash = || "-".to_owned();
    Live {
        state: if row.state.is_empty() { dash() } else { row.state.clone() },
        load: match (row.streams, row.cap) {
            (Some(streams), Some(cap)) => format!("{streams}/{cap}"),
            (Some(streams), None) => streams.to_string(),
            (None, _) => dash(),
        },
        speed: row.bytes_per_second.map_or_else(dash, |speed| format!("{:.1} MB/s", speed / 1e6)),
        flood_until: moment(&row.flood_until),
        last_error: row.last_error.as_str().map_or_else(dash, str::to_owned),
    }
}

/// A moment as text, or as seconds since 1970.
fn moment(value: &Value) -> String {
    let seconds = value.as_u64().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    match (value.as_str(), seconds) {
        (Some(text), _) => text.to_owned(),
        (None, Some(at)) => humantime::format_rfc3339_seconds(at).to_string(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Live, SESSIONS, ask, read};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_read_and_anything_else_is_none() {
        let body = r#"{"sessions":[{"name":"a","kind":"bot","premium":false,"home_dc":2,"state":"flood","streams":2,"cap":15,
            "bytes_per_second":5200000.0,"flood_until":1700000000,"last_error":"FLOOD_WAIT"},
            {"name":"b","state":"up","flood_until":null,"last_error":null}]}"#;
        let live = read(format!("HTTP/1.1 200 OK\r\na: b\r\n\r\n{body}").as_bytes()).unwrap();
        let expected = Live {
            state: "flood".into(),
            load: "2/15".into(),
            speed: "5.2 MB/s".into(),
            flood_until: "2023-11-14T22:13:20Z".into(),
            last_error: "FLOOD_WAIT".into(),
        };
        assert_eq!(live["a"], expected);
        assert_eq!(live["b"], Live { state: "up".into(), ..Live::stored(false) });
        for answer in ["", "HTTP/1.0 404 Not Found\r\n\r\n[]", "HTTP/1.0 200 OK\r\n\r\n{}", "HTTP/1.0 200 OK\r\n\r\n[1"]
        {
            assert_eq!(read(answer.as_bytes()), None, "{answer}");
        }
    }

    #[test]
    fn a_listener_is_asked_and_nobody_is_waited_for_in_vain() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; SESSIONS.len()];
            stream.read_exact(&mut head).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n[{\"name\":\"a\"}]").unwrap();
            head
        });
        assert_eq!(ask(address).unwrap()["a"], Live::stored(false));
        assert_eq!(server.join().unwrap(), SESSIONS);
        assert_eq!(ask(address), None, "nobody listens any more");
    }
}
