//! `worker-hive virtual`: manifests, asked of the running hive. It alone has sessions to look parts up with.

use crate::cli::{MessageName, Virtual, VirtualAdd, VirtualNamed};
use crate::commands::{CommandError, load};
use crate::login_prompt::printable;
use config::{HiveSettings, ListenAddress};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A hive that looks up a thousand parts over a slow network takes its time; one that says nothing at all is gone.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest answer in bytes.
const LONGEST: u64 = 16 << 20;

/// Why the hive did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VirtualError {
    #[error("the hive at {address} can't be asked, see that it runs: {source}")]
    Unreachable { address: ListenAddress, source: io::Error },
    #[error("listen names no port that the hive could be asked at")]
    NoPort,
    #[error("the hive's answer makes no sense")]
    Nonsense,
    #[error("{0}")]
    Refused(String),
}

/// A virtual file, as far as it is shown. Fields that other releases add are passed over.
#[derive(Debug, Deserialize)]
struct Shown {
    slug: String,
    name: String,
    content_type: String,
    size: u64,
    etag: String,
    #[serde(default)]
    parts: Value,
}

#[derive(Debug, Deserialize)]
struct ShownPart {
    chat_id: i64,
    message_id: i32,
    size: u64,
    etag: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    files: Vec<Shown>,
    #[serde(default)]
    next: Option<String>,
}

pub(crate) fn run(action: &Virtual) -> Result<(), CommandError> {
    match action {
        Virtual::Add(add) => make(add),
        Virtual::Show(named) => show(named),
        Virtual::List(config) => {
            let hive = load(config)?;
            let (mut rows, mut after) = (vec![HEAD.map(str::to_owned)], String::new());
            loop {
                let page: Page = parsed(&ask(&hive, "GET", &format!("/v1/virtual?limit=1000{after}"), "", None)?)?;
                rows.extend(page.files.iter().map(row));
                match page.next {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            Ok(io::stdout().write_all(table(&rows).as_bytes())?)
        }
        Virtual::Remove(named) => {
            ask(&load(&named.config)?, "DELETE", &path(&named.slug), "", None)?;
            Ok(writeln!(io::stdout(), "removed {}", named.slug)?)
        }
    }
}

fn make(add: &VirtualAdd) -> Result<(), CommandError> {
    let hive = load(&add.config)?;
    let body = manifest(add).to_string();
    let answer = match &add.slug {
        // Whoever chose a slug that is taken would rather know than replace another film.
        Some(slug) => {
            let only = if add.replace { "" } else { "If-None-Match: *\r\n" };
            ask(&hive, "PUT", &path(slug), only, Some(&body))?
        }
        None => ask(&hive, "POST", "/v1/virtual", "", Some(&body))?,
    };
    let file: Shown = parsed(&answer)?;
    let parts = file.parts.as_array().map_or(0, Vec::len);
    let name = printable(&file.name);
    Ok(writeln!(
        io::stdout(),
        "added {} {name} ({} bytes in {parts} parts): /v/{}/{name}",
        file.slug,
        file.size,
        file.slug
    )?)
}

fn manifest(add: &VirtualAdd) -> Value {
    let part = |m: &MessageName| json!({ "chat_id": m.chat_id, "message_id": m.message_id });
    let mut manifest = json!({ "parts": add.messages.iter().map(part).collect::<Vec<_>>() });
    let mut set = |key: &str, value: Option<&str>| {
        if let (Some(value), Some(object)) = (value, manifest.as_object_mut()) {
            object.insert(key.to_owned(), Value::from(value));
        }
    };
    set("name", add.name.as_deref());
    set("content_type", add.content_type.as_deref());
    set("order", add.by_names.then_some("names"));
    manifest
}

fn show(named: &VirtualNamed) -> Result<(), CommandError> {
    let file: Shown = parsed(&ask(&load(&named.config)?, "GET", &path(&named.slug), "", None)?)?;
    let parts: Vec<ShownPart> = serde_json::from_value(file.parts).map_err(|_| VirtualError::Nonsense)?;
    let mut text = format!(
        "slug  {}\nname  {}\ntype  {}\nsize  {}\netag  {}\n",
        file.slug,
        printable(&file.name),
        printable(&file.content_type),
        file.size,
        printable(&file.etag)
    );
    for (number, part) in (1..).zip(&parts) {
        let ShownPart { chat_id, message_id, size, etag } = part;
        let _ = writeln!(text, "part  {number}  {chat_id}/{message_id}  {size}  {}", printable(etag));
    }
    Ok(io::stdout().write_all(text.as_bytes())?)
}

const HEAD: [&str; 5] = ["SLUG", "SIZE", "PARTS", "TYPE", "NAME"];

fn row(file: &Shown) -> [String; 5] {
    let parts = file.parts.as_u64().unwrap_or(0).to_string();
    [file.slug.clone(), file.size.to_string(), parts, printable(&file.content_type), printable(&file.name)]
}

pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Slugs were checked with the command line, so they stand in a path as they are.
fn path(slug: &str) -> String {
    format!("/v1/virtual/{slug}")
}

pub(super) fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, VirtualError> {
    serde_json::from_slice(body).map_err(|_| VirtualError::Nonsense)
}

/// One request to the hive that these settings are of. `headers` are whole lines.
pub(super) fn ask(
    hive: &HiveSettings,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&str>,
) -> Result<Vec<u8>, VirtualError> {
    let body = body.unwrap_or_default();
    // HTTP/1.0: the answer ends with the connection.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: hive\r\nAuthorization: Bearer {}\r\n{headers}Content-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        hive.token.expose(),
        body.len()
    );
    let unreachable = |source| VirtualError::Unreachable { address: hive.listen.clone(), source };
    let answer = match &hive.listen {
        ListenAddress::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &request)
        }),
        ListenAddress::Tcp(address) if address.port() == 0 => return Err(VirtualError::NoPort),
        ListenAddress::Tcp(address) => TcpStream::connect(address).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &request)
        }),
    };
    read(&answer.map_err(unreachable)?)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The body of a success, or what the hive says is wrong.
fn read(answer: &[u8]) -> Result<Vec<u8>, VirtualError> {
    let nonsense = || VirtualError::Nonsense;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(nonsense)?;
    let (head, body) = answer.split_at(end);
    let head = str::from_utf8(head).map_err(|_| VirtualError::Nonsense)?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(nonsense)?;
    let body = body.get(4..).unwrap_or_default();
    if (200..300).contains(&status) {
        return Ok(body.to_vec());
    }
    let problem: Value = serde_json::from_slice(body).map_err(|_| VirtualError::Nonsense)?;
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let mut message = match (status, text("message"), text("fault")) {
        (412, ..) => "the slug is taken: --replace puts this file in the place of the one that is there".to_owned(),
        (401, ..) => "the hive takes another token than these settings have".to_owned(),
        (_, Some(message), _) => printable(message),
        (_, None, Some(fault)) => printable(fault),
        (_, None, None) => return Err(VirtualError::Nonsense),
    };
    if let (Some(part), Some(chat), Some(id)) = (problem.get("part"), problem.get("chat_id"), problem.get("message_id"))
    {
        message = format!("part {part} ({chat}/{id}): {message}");
    }
    if let Some(seconds) = problem.get("retry_after") {
        let _ = write!(message, "; try again in {seconds} s");
    }
    Err(VirtualError::Refused(message))
}

#[cfg(test)]
mod tests {
    use super::{HEAD, manifest, read, row, table};
    use crate::cli::{Cli, Command, Virtual, VirtualAdd};
    use clap::Parser;

    fn add(words: &[&str]) -> Result<VirtualAdd, String> {
        let words = ["worker-hive", "virtual", "add", "--config", "f"].iter().chain(words);
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Virtual(Virtual::Add(add)) => Ok(add),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_read_as_links_write_them() {
        let made = add(&["--name", "a b.mkv", "-1001/7", "-1002/8", "5/9"]).unwrap();
        let expected = r#"{"name":"a b.mkv","parts":[{"chat_id":-1001,"message_id":7},{"chat_id":-1002,"message_id":8},{"chat_id":5,"message_id":9}]}"#;
        assert_eq!(manifest(&made), serde_json::from_str::<serde_json::Value>(expected).unwrap());
        let by_names = add(&["--slug", "abc", "--by-names", "--content-type", "a/b", "-1001/7"]).unwrap();
        assert_eq!(manifest(&by_names)["order"], "names");
        for wrong in
            [&["-1001"][..], &["-1001/0"], &["0/1"], &["-1001/x"], &["-1001/7/8"], &["--slug", "a/b", "1/2"], &[]]
        {
            assert!(add(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn refusals_are_words_for_people() {
        let said = |answer: &str| read(answer.as_bytes()).unwrap_err().to_string();
        let bad = r#"HTTP/1.0 422 U

{"error":"bad-part","message":"gone \u001b[2J","part":2,"chat_id":-5,"message_id":7,"retry_after":3}"#;
        let text = said(&bad.replace('\n', "\r\n"));
        assert!(text.starts_with("part 2 (-5/7): gone") && text.ends_with("; try again in 3 s"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(said("HTTP/1.0 412 P\r\n\r\n{\"error\":\"unexpected\"}").contains("--replace"));
        assert!(said("HTTP/1.0 401 U\r\n\r\n{\"fault\":\"unauthorized\"}").contains("token"));
        for nonsense in ["", "HTTP/1.0 500 X\r\n\r\n<html>", "x\r\n\r\n", "HTTP/1.0 500 X\r\n\r\n{}"] {
            assert_eq!(said(nonsense), "the hive's answer makes no sense", "{nonsense}");
        }
        assert_eq!(read(b"HTTP/1.0 204 N\r\n\r\n").unwrap(), b"");
    }

    #[test]
    fn the_list_lines_up() {
        let file =
            r#"{"slug":"k3x9abc","name":"Ö\n.mkv","content_type":"video/mp4","size":123456,"etag":"v","parts":3}"#;
        let text = table(&[HEAD.map(str::to_owned), row(&serde_json::from_str(file).unwrap())]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0].find("SIZE")), (2, lines[1].find("123456")));
    }
}
