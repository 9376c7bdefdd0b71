//! Runs a case's steps against a stack.

use super::parse::{Case, Line};
use crate::films::size;
use crate::sign::{SECRET, path_escape, token};
use crate::stack::{Settings, Stack, unix_now};
use crate::{Answer, Failure};
use http::Method;
use telegram_sim::{Rule, Shape};

/// A case that is under way: settings are collected until `start`.
struct Running {
    settings: Option<Settings>,
    stack: Option<Stack>,
    /// Of the last answer that had one, with its quotes; `{etag}` in an option of a request.
    etag: String,
}

/// Runs a case to its end.
///
/// # Errors
/// The first step or expectation that fails, with its line.
pub async fn run(case: &Case) -> Result<(), Failure> {
    let mut running = Running { settings: Some(Settings::default()), stack: None, etag: String::new() };
    for step in &case.steps {
        running.step(step).await.map_err(|e| format!("line {}: {}: {e}", step.number, step.text))?;
    }
    Ok(())
}

impl Running {
    async fn step(&mut self, step: &Line) -> Result<(), Failure> {
        let words: Vec<String> = step.words.iter().map(|word| word.replace("{etag}", &self.etag)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(settings) = self.settings.take() {
            if words == ["start"] {
                self.stack = Some(Stack::start(settings).await?);
            } else {
                self.settings = Some(prepare(settings, &words)?);
            }
            return Ok(());
        }
        let stack = self.stack.as_mut().ok_or("nothing is started")?;
        match words.as_slice() {
            ["get" | "head", name, options @ ..] => {
                let method = if words.first() == Some(&"head") { Method::HEAD } else { Method::GET };
                let answer = ask(stack, method, name, options).await?;
                if let Some(etag) = answer.header("etag") {
                    etag.clone_into(&mut self.etag);
                }
                expect_all(stack, &answer, step)
            }
            ["method", method, name, options @ ..] => {
                let answer = ask(stack, Method::from_bytes(method.as_bytes())?, name, options).await?;
                expect_all(stack, &answer, step)
            }
            ["raw", bytes] => expect_raw(&stack.client.raw(&latin1(bytes)).await?, step),
            ["crowd", count, name, options @ ..] => crowd(stack, count.parse()?, name, options, step).await,
            ["fault", rule] => {
                stack.sim.faults().add(serde_json::from_str::<Rule>(rule)?);
                Ok(())
            }
            ["no-faults"] => {
                stack.sim.faults().clear();
                Ok(())
            }
            ["replace", name, bytes, version] => stack.replace(name, size(bytes)?, version.parse()?),
            ["delete", name] => {
                let (chat, message) = (stack.chat_id(), stack.film(name)?.message_id);
                Ok(stack.sim.world().delete_message(chat, message)?)
            }
            ["kill", "gateway"] => kill(stack.gateway.take()).await,
            ["kill", "hive"] => kill(stack.hive.take()).await,
            ["stop", "gateway"] => stop(stack.gateway.take()).await,
            ["stop", "hive"] => stop(stack.hive.take()).await,
            ["start", "gateway"] => stack.start_gateway().await,
            ["start", "hive"] => stack.start_hive().await,
            ["asked-once", name] => asked_once(stack, name),
            ["asked", name, operator, bytes] => {
                let asked: u64 = chunks(stack, name)?.iter().map(|chunk| chunk.limit * chunk.asked).sum();
                compare(asked as f64, operator, size(bytes)? as f64)
            }
            ["calls", method, account, operator, count] => {
                let counts = stack.sim.counters().snapshot();
                let mine = counts.calls.iter().filter(|call| call.method == *method && call.account == *account);
                compare(mine.map(|call| call.calls).sum::<u64>() as f64, operator, count.parse()?)
            }
            ["metric", name, operator, value] => compare(stack.metric(name).await?, operator, value.parse()?),
            ["logged", pairs @ ..] => logged(stack, pairs).await,
            _ => Err("no such step".into()),
        }
    }
}

fn prepare(settings: Settings, words: &[&str]) -> Result<Settings, Failure> {
    Ok(match words {
        ["film", name, bytes] => settings.film(name, size(bytes)?),
        ["film", name, bytes, dc] => {
            let dc = dc.strip_prefix("dc=").ok_or("expected dc=N")?;
            settings.film_on(name, size(bytes)?, dc.parse()?)
        }
        ["accounts", count] => Settings { accounts: count.parse()?, ..settings },
        ["shape", shape] => Settings { shape: serde_json::from_str::<Shape>(shape)?, ..settings },
        ["gateway", key, value] => settings.gateway(key, value),
        ["hive", key, value] => settings.hive(key, value),
        _ => return Err("no such step before start".into()),
    })
}

/// `bytes=…` is the range; `header "Name: value"` adds one; `link=…` bends the link; `path=…` asks for another path, signed.
async fn ask(stack: &Stack, method: Method, name: &str, options: &[&str]) -> Result<Answer, Failure> {
    let (target, headers) = request(stack, name, options)?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    stack.client.ask(method, &target, &headers).await
}

type Headers = Vec<(String, String)>;

fn request(stack: &Stack, name: &str, options: &[&str]) -> Result<(String, Headers), Failure> {
    let mut path = match name {
        "-" => String::new(),
        name => stack.path(stack.film(name)?),
    };
    let mut headers = Headers::new();
    let (mut expires, mut secret, mut bend) = (unix_now() + 3600, SECRET, "");
    for option in options {
        match option.split_once('=') {
            Some(("bytes", _)) => headers.push(("range".into(), (*option).to_owned())),
            Some(("path", other)) => path = other.to_owned(),
            Some(("expires-in", seconds)) => expires = unix_now() + seconds.parse::<i64>()?,
            Some(("secret", other)) => secret = other,
            Some(("link", how)) => bend = how,
            _ => {
                let (name, value) = option.split_once(": ").ok_or_else(|| format!("no such option: {option}"))?;
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    let token = token(&path, expires, secret);
    let escaped = path_escape(&path);
    let target = match bend {
        "" => format!("{escaped}?md5={token}&expires={expires}"),
        "none" => escaped,
        "padded" => format!("{escaped}?md5={token}==&expires={expires}"),
        "later" => format!("{escaped}?md5={token}&expires={}", expires + 1),
        "other-spelling" => {
            format!("{}?md5={token}&expires={expires}", escaped.replacen("/stream/", "//x/../%73tream/", 1))
        }
        _ => return Err(format!("no such link: {bend}").into()),
    };
    Ok((target, headers))
}

async fn crowd(stack: &Stack, count: usize, name: &str, options: &[&str], step: &Line) -> Result<(), Failure> {
    let (target, headers) = request(stack, name, options)?;
    let mut viewers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (client, target, headers) = (stack.client, target.clone(), headers.clone());
        viewers.spawn(async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            client.ask(Method::GET, &target, &headers).await
        });
    }
    while let Some(answer) = viewers.join_next().await {
        expect_all(stack, &answer??, step)?;
    }
    Ok(())
}

fn expect_all(stack: &Stack, answer: &Answer, step: &Line) -> Result<(), Failure> {
    for line in &step.below {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        expect(stack, answer, &words).map_err(|e| format!("line {}: {}: {e}", line.number, line.text))?;
    }
    match &answer.broken {
        Some(reason) if !step.below.iter().any(|line| line.words == ["broken"]) => {
            Err(format!("the body broke after {} bytes: {reason}", answer.body.len()).into())
        }
        _ => Ok(()),
    }
}

fn expect(stack: &Stack, answer: &Answer, words: &[&str]) -> Result<(), Failure> {
    let wrong = |got: String| -> Result<(), Failure> { Err(format!("got {got}").into()) };
    match words {
        ["status", status] if answer.status.as_str() == *status => Ok(()),
        ["status", _] => wrong(format!("{} {:?}", answer.status, String::from_utf8_lossy(&answer.body))),
        ["cache", status] if answer.header("x-cache-status") == Some(status) => Ok(()),
        ["cache", _] => wrong(format!("{:?}", answer.header("x-cache-status"))),
        ["header", name, value] if answer.header(name) == Some(value) => Ok(()),
        ["header", name, "~", part] if answer.header(name).is_some_and(|value| value.contains(part)) => Ok(()),
        ["header", name, operator @ (">=" | "<="), value] => {
            let number = answer.header(name).and_then(|value| value.parse().ok()).ok_or("no number in that header")?;
            compare(number, operator, value.parse()?)
        }
        ["header", name, ..] => wrong(format!("{:?}", answer.header(name))),
        ["no-header", name] if answer.header(name).is_none() => Ok(()),
        ["no-header", name] => wrong(format!("{:?}", answer.header(name))),
        ["length", bytes] if answer.body.len() as u64 == size(bytes)? => Ok(()),
        ["length", _] => wrong(answer.body.len().to_string()),
        ["text", text] if answer.body == text.as_bytes() => Ok(()),
        ["text", _] => wrong(format!("{:?}", String::from_utf8_lossy(&answer.body))),
        ["body", name] => {
            let film = stack.film(name)?;
            if answer.body.len() as u64 != film.size {
                return wrong(format!("{} bytes", answer.body.len()));
            }
            film.compare(0, &answer.body)
        }
        ["body", name, first, last] => {
            let (first, last) = (size(first)?, size(last)?);
            if answer.body.len() as u64 != last - first + 1 {
                return wrong(format!("{} bytes", answer.body.len()));
            }
            stack.film(name)?.compare(first, &answer.body)
        }
        ["prefix-of", name, first] => stack.film(name)?.compare(size(first)?, &answer.body),
        ["parts", name] => expect_parts(stack, answer, name),
        ["broken"] if answer.broken.is_some() => Ok(()),
        ["broken"] => wrong("a whole body".into()),
        _ => Err("no such expectation".into()),
    }
}

/// Takes a `multipart/byteranges` body apart and compares each part with the film.
fn expect_parts(stack: &Stack, answer: &Answer, name: &str) -> Result<(), Failure> {
    let film = stack.film(name)?;
    let kind = answer.header("content-type").unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").ok_or_else(|| format!("type is {kind}"))?;
    let mut rest = answer.body.as_slice();
    let mut parts = 0;
    loop {
        let head_end = find(rest, b"\r\n\r\n");
        let head = String::from_utf8_lossy(rest.get(..head_end.unwrap_or(rest.len())).unwrap_or_default()).into_owned();
        if head.trim_start().starts_with(&format!("--{boundary}--")) {
            return if parts > 1 { Ok(()) } else { Err("fewer than two parts".into()) };
        }
        if !head.trim_start().starts_with(&format!("--{boundary}")) {
            return Err(format!("no boundary where one should be: {head:?}").into());
        }
        let range = head.lines().find_map(|l| l.strip_prefix("Content-Range: bytes ")).ok_or("a part without range")?;
        let (range, whole) = range.split_once('/').ok_or("a part without size")?;
        let (first, last) = range.split_once('-').ok_or("a part without end")?;
        let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
        if whole.parse::<u64>()? != film.size {
            return Err(format!("a part says the size is {whole}").into());
        }
        let begin = head_end.ok_or("a part without body")? + 4;
        let end = begin + usize::try_from(last - first + 1)?;
        film.compare(first, rest.get(begin..end).ok_or("a part is cut short")?)?;
        rest = rest.get(end..).unwrap_or_default();
        parts += 1;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn expect_raw(answer: &[u8], step: &Line) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(answer);
    for line in &step.below {
        let held = match line.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["status", status] => text.split(' ').nth(1) == Some(status),
            ["closed"] => true,
            ["contains", part] => text.contains(part),
            ["lacks", part] => !text.contains(part),
            _ => return Err(format!("line {}: no such expectation of a raw answer", line.number).into()),
        };
        if !held {
            return Err(format!("line {}: {}: got {text:?}", line.number, line.text).into());
        }
    }
    Ok(())
}

async fn logged(stack: &mut Stack, pairs: &[&str]) -> Result<(), Failure> {
    // Lines of earlier requests are passed over: the log is in order of endings, not of steps.
    let wait = async {
        loop {
            let line = stack.log_line().await?;
            let holds = |pair: &&str| {
                let Some((key, value)) = pair.split_once('=') else { return false };
                match line.get(key) {
                    Some(serde_json::Value::String(text)) => text == value,
                    Some(other) => other == &serde_json::from_str::<serde_json::Value>(value).unwrap_or_default(),
                    None => value == "absent",
                }
            };
            if pairs.iter().all(holds) {
                return Ok::<(), Failure>(());
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait)
        .await
        .map_err(|_| "no such line in the access log")?
}

fn chunks(stack: &Stack, name: &str) -> Result<Vec<telegram_sim::ChunkCount>, Failure> {
    Ok(stack.sim.counters().snapshot().chunks_of(stack.film(name)?.document))
}

fn asked_once(stack: &Stack, name: &str) -> Result<(), Failure> {
    let chunks = chunks(stack, name)?;
    if chunks.is_empty() {
        return Err("no chunk was asked for".into());
    }
    match chunks.iter().find(|chunk| chunk.asked != 1) {
        Some(chunk) => Err(format!("{chunk:?}").into()),
        None => Ok(()),
    }
}

fn compare(left: f64, operator: &str, right: f64) -> Result<(), Failure> {
    let holds = match operator {
        "==" => left == right,
        ">=" => left >= right,
        "<=" => left <= right,
        _ => return Err("expected ==, >= or <=".into()),
    };
    if holds { Ok(()) } else { Err(format!("got {left}").into()) }
}

async fn kill(process: Option<crate::Process>) -> Result<(), Failure> {
    process.ok_or("it does not run")?.kill().await;
    Ok(())
}

async fn stop(process: Option<crate::Process>) -> Result<(), Failure> {
    if process.ok_or("it does not run")?.signal("TERM").await { Ok(()) } else { Err("it did not stop cleanly".into()) }
}

/// Raw requests may hold any byte: `\xff` in a case is that byte, not its UTF-8 form.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .flat_map(|c| u8::try_from(u32::from(c)).map_or_else(|_| c.to_string().into_bytes(), |b| vec![b]))
        .collect()
}
