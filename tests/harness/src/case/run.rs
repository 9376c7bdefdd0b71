//! Runs a case's steps against a stack.

use super::expect::{compare, expect_all, expect_command, expect_printed, expect_raw};
use super::parse::{Case, Line};
use super::prepare::{plugin, prepare};
use super::request::{self, Asked};
use super::saved::Saved;
use crate::films::size;
use crate::settings::ADMIN_TOKEN;
use crate::stack::{Stack, unix_now};
use crate::{Answer, Failure, Fixed, PluginSettings, Settings};
use http::Method;
use std::collections::BTreeMap;
use std::time::Duration;
use telegram_sim::Rule;

/// How long `eventually` and `logged` wait.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often `eventually` looks.
const LOOK: Duration = Duration::from_millis(20);

/// A case that is under way: settings are collected until `start`.
struct Running {
    settings: Option<Settings>,
    stack: Option<Stack>,
    saved: Saved,
    /// Answers whose bodies were left where they are.
    held: BTreeMap<String, (Answer, hyper::body::Incoming)>,
}

/// Runs a case to its end.
///
/// # Errors
/// The first step or expectation that fails, with its line.
pub async fn run(case: &Case) -> Result<(), Failure> {
    let (saved, held) = (Saved::default(), BTreeMap::new());
    let mut running = Running { settings: Some(Settings::default()), stack: None, saved, held };
    for step in &case.steps {
        if let Err(error) = running.step(step).await {
            return Err(format!("line {}: {}: {error}{}", step.number, step.text, running.last_words()).into());
        }
    }
    Ok(())
}

impl Running {
    async fn step(&mut self, step: &Line) -> Result<(), Failure> {
        if step.words.first().is_some_and(|word| word == "eventually") {
            let mut wanted = step.clone();
            wanted.words.remove(0);
            return self.eventually(&wanted).await;
        }
        let step = &self.filled(step);
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        if let Some(settings) = self.settings.take() {
            if words == ["start"] {
                self.stack = Some(Stack::start(settings).await?);
            } else {
                self.settings = Some(prepare(settings, &words)?);
            }
            return Ok(());
        }
        match words.as_slice() {
            [
                "get" | "head" | "method" | "url" | "crowd" | "hold" | "finish" | "release" | "raw" | "admin"
                | "reload",
                ..,
            ] => self.ask(&words, step).await,
            ["redis-cli", command @ ..] => {
                let redis = self.stack()?.redis.as_ref().ok_or("no Redis runs")?;
                expect_printed(&redis.ask(command).await?, step)
            }
            ["command", words @ ..] => expect_command(&self.stack()?.gateway_command(words).await?, step),
            ["metric", name, operator, value] => compare(self.stack()?.metric(name).await?, operator, value.parse()?),
            ["logged", pairs @ ..] => logged(self.stack()?, pairs).await,
            ["said", program, text] => {
                let log = self.stack()?.error_log(program);
                if log.contains(text) { Ok(()) } else { Err(format!("it said {log}").into()) }
            }
            ["asked-once" | "asked" | "calls", ..] => counted(self.stack()?, &words),
            words => act(self.stack()?, words).await,
        }
    }

    /// Repeats a step until it holds.
    async fn eventually(&mut self, step: &Line) -> Result<(), Failure> {
        let mut last = None;
        let wait = async {
            while let Err(error) = Box::pin(self.step(step)).await {
                last = Some(error);
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(()) => Ok(()),
            Err(_) => Err(last.unwrap_or_else(|| "it took too long".into())),
        }
    }

    async fn ask(&mut self, words: &[&str], step: &Line) -> Result<(), Failure> {
        let stack = self.stack.as_mut().ok_or("nothing is started")?;
        let saved = &mut self.saved;
        let asked = match words {
            ["get", name, options @ ..] => request::film(stack, saved, Method::GET, name, options)?,
            ["head", name, options @ ..] => request::film(stack, saved, Method::HEAD, name, options)?,
            ["method", method, name, options @ ..] => {
                request::film(stack, saved, Method::from_bytes(method.as_bytes())?, name, options)?
            }
            ["url", url, options @ ..] => request::url(stack, saved, url, options)?,
            ["crowd", count, name, options @ ..] => {
                let asked = request::film(stack, saved, Method::GET, name, options)?;
                return crowd(stack, saved, count.parse()?, &asked, step).await;
            }
            ["hold", label, name, options @ ..] => {
                let asked = request::film(stack, saved, Method::GET, name, options)?;
                let (answer, body) = asked.open(stack.client).await?;
                expect_all(stack, saved, &answer, step)?;
                self.held.insert((*label).to_owned(), (answer, body));
                return Ok(());
            }
            ["finish", label] => {
                let (answer, body) = self.held.remove(*label).ok_or("nothing of that name is held")?;
                return expect_all(stack, saved, &answer.finish(body).await?, step);
            }
            ["release", label] => {
                return self.held.remove(*label).map(drop).ok_or("nothing of that name is held".into());
            }
            ["raw", bytes] => return expect_raw(&stack.client.raw(&latin1(bytes)).await?, step),
            ["reload"] => {
                let answer = stack.change(Method::POST, "/v1/plugins/reload").await?;
                if !step.below.iter().any(|line| line.words.first().is_some_and(|word| word == "status"))
                    && !answer.status.is_success()
                {
                    return Err(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
                }
                return expect_all(stack, saved, &answer, step);
            }
            ["admin", method, path, options @ ..] => {
                let answer = admin(stack, method, path, options).await?;
                return expect_all(stack, saved, &answer, step);
            }
            _ => return Err("no such step".into()),
        };
        let answer = asked.send(stack.client).await?;
        if let Some(etag) = answer.header("etag") {
            saved.keep("etag", etag.to_owned());
        }
        if let Some(jar) = &asked.jar {
            saved.receive(jar, &answer);
        }
        expect_all(stack, saved, &answer, step)
    }

    fn filled(&self, step: &Line) -> Line {
        let now = unix_now();
        let words = step.words.iter().map(|word| self.saved.fill(word, now)).collect();
        Line { words, below: step.below.iter().map(|line| self.filled(line)).collect(), ..step.clone() }
    }

    /// What the gateway said last: mostly, why.
    fn last_words(&self) -> String {
        let log = self.stack.as_ref().map(|stack| stack.error_log("gateway")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().fold(String::new(), |words, line| words + "\n    " + line)
    }

    fn stack(&mut self) -> Result<&mut Stack, Failure> {
        self.stack.as_mut().ok_or_else(|| "nothing is started".into())
    }
}

/// What is done to the stack, or to its settings.
async fn act(stack: &mut Stack, words: &[&str]) -> Result<(), Failure> {
    match words {
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
            let (chat, message) = (stack.film(name)?.chat_id, stack.film(name)?.message_id);
            Ok(stack.sim.world().delete_message(chat, message)?)
        }
        ["join", slug, name, parts @ ..] => stack.join(slug, name, parts).await,
        ["unjoin", slug] => stack.hive_command(&["virtual", "remove"], &[slug]).await,
        ["kill", "gateway"] => kill(stack.gateway.take()).await,
        ["kill", "hive"] => kill(stack.hive.take()).await,
        ["kill", "redis"] => {
            stack.redis.take().ok_or("it does not run")?.kill().await;
            Ok(())
        }
        ["stop", "gateway"] => stop(stack.gateway.take()).await,
        ["stop", "hive"] => stop(stack.hive.take()).await,
        ["start", "gateway"] => stack.start_gateway().await,
        ["start", "hive"] => stack.start_hive().await,
        ["start", "redis"] => stack.start_redis().await,
        ["hangup"] => Ok(stack.gateway.as_ref().ok_or("it does not run")?.notify("HUP").await?),
        ["gateway", key, value] => stack.set_gateway(key, value),
        ["tenant", id, key, value] => stack.set_tenant(id, key, value),
        ["secret", tenant, name, text] => stack.put_secret(tenant, name, text),
        ["plugin", name, options @ ..] => stack.set_plugin(plugin(name, options)?),
        ["policy", name, verdict @ ..] => stack.set_plugin(PluginSettings::fixed(name, Fixed::read(verdict)?)),
        ["no-plugin", name] => stack.drop_plugin(name),
        ["break-plugin", name, how] => stack.break_plugin(name, how),
        ["restore-plugin", name] => stack.restore_plugin(name),
        _ => Err("no such step".into()),
    }
}

/// What was asked of Telegram.
fn counted(stack: &Stack, words: &[&str]) -> Result<(), Failure> {
    match words {
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
        _ => Err("no such step".into()),
    }
}

async fn admin(stack: &Stack, method: &str, path: &str, options: &[&str]) -> Result<Answer, Failure> {
    let token = match options {
        [] => Some(ADMIN_TOKEN),
        ["token=none"] => None,
        [option] => Some(option.strip_prefix("token=").ok_or("expected token=TOKEN")?),
        _ => return Err("expected token=TOKEN".into()),
    };
    let header = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = header.iter().map(|header| ("authorization", header.as_str())).collect();
    stack.admin.ask(Method::from_bytes(method.as_bytes())?, path, &headers).await
}

async fn crowd(stack: &Stack, saved: &mut Saved, count: usize, asked: &Asked, step: &Line) -> Result<(), Failure> {
    let mut viewers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (client, asked) = (stack.client, asked.clone());
        viewers.spawn(async move { asked.send(client).await });
    }
    while let Some(answer) = viewers.join_next().await {
        expect_all(stack, saved, &answer??, step)?;
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
    tokio::time::timeout(PATIENCE, wait).await.map_err(|_| "no such line in the access log")?
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
