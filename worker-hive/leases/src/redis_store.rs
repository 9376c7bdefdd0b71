//! The ledger in Redis: one script, one connection, made when it is first used and whenever it broke.

use crate::clock::{Millis, millis};
use crate::leases::LeaseError;
use crate::protocol::{Answer, Beat, Reply, Row, StoreFailure};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, RedisResult, Script, ScriptInvocation, Value};
use std::fmt;
use std::time::Duration;

/// What Redis says when nobody may write, not only this hive: as good as no Redis at all.
const AWAY: [&str; 8] = ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "OOM", "NOREPLICAS"];

pub(crate) struct RedisStore {
    client: Client,
    keys: [String; 3],
    script: Script,
    connection: Option<MultiplexedConnection>,
    /// Time and run id that the script is to believe in. None outside tests.
    pretended: Option<(Millis, String)>,
}

impl fmt::Debug for RedisStore {
    /// Not the client: its address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl RedisStore {
    pub(crate) fn new(url: &str, prefix: &str) -> Result<Self, LeaseError> {
        // The error quotes parts of the address.
        let client = Client::open(url).map_err(|_| LeaseError::Url)?;
        // The braces make the keys one hash slot.
        let keys = ["meta", "hives", "accounts"].map(|key| format!("{prefix}:{{leases}}:{key}"));
        let script = Script::new(include_str!("script.lua"));
        Ok(Self { client, keys, script, connection: None, pretended: None })
    }

    #[cfg(test)]
    pub(crate) fn pretend(&mut self, now: Millis, server: &str) {
        self.pretended = Some((now, server.to_owned()));
    }

    /// Takes a beat, within `patience`. After a failure it is not known whether the beat was heard.
    pub(crate) async fn beat(&mut self, beat: &Beat, patience: Duration) -> Result<Reply, StoreFailure> {
        let answer = match tokio::time::timeout(patience, self.ask(beat, patience)).await {
            Ok(Ok(value)) => read(value, beat),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(StoreFailure::Away("no answer in time".to_owned())),
        };
        if answer.is_err() {
            // An answer that is late must not be taken for that of the next question.
            self.connection = None;
        }
        answer
    }

    async fn ask(&mut self, beat: &Beat, patience: Duration) -> RedisResult<Value> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(patience))
                    .set_response_timeout(Some(patience));
                self.client.get_multiplexed_async_connection_with_config(&config).await?
            }
        };
        let value = self.invocation(beat).invoke_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(value)
    }

    fn invocation(&self, beat: &Beat) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        match &self.pretended {
            Some((now, server)) => call.arg(now).arg(server),
            None => call.arg("").arg(""),
        };
        call.arg(&beat.run).arg(beat.ttl).arg(u8::from(beat.leave)).arg(u8::from(beat.sure));
        call.arg(beat.held.len());
        for (account, fence) in &beat.held {
            call.arg(account).arg(fence);
        }
        call.arg(beat.told.len());
        for (account, load) in &beat.told {
            call.arg(account).arg(load.streams).arg(load.bytes_per_second).arg(millis(load.rests_for));
        }
        call.arg(beat.gone.len());
        for (account, fence) in &beat.gone {
            call.arg(account).arg(fence);
        }
        call.arg(beat.wanted.len());
        for account in &beat.wanted {
            call.arg(account);
        }
        call
    }
}

fn judge(error: &RedisError) -> StoreFailure {
    // Not the error's own text: it may quote the address.
    let text = error.code().map_or_else(|| error.category().to_owned(), str::to_owned);
    let away = error.is_io_error() || error.code().is_some_and(|code| AWAY.contains(&code));
    if away { StoreFailure::Away(text) } else { StoreFailure::Refused(text) }
}

fn read(value: Value, beat: &Beat) -> Result<Reply, StoreFailure> {
    let strange = |_| StoreFailure::Refused("an answer of another form".to_owned());
    let parts: Vec<Value> = FromRedisValue::from_redis_value(value).map_err(strange)?;
    let nonsense = || StoreFailure::Refused("an answer of another form".to_owned());
    let [status, rest @ ..] = parts.as_slice() else { return Err(nonsense()) };
    let status: String = FromRedisValue::from_redis_value(status.clone()).map_err(strange)?;
    if status == "ttl" {
        let theirs: u64 = rest.first().and_then(from).ok_or_else(nonsense)?;
        return Err(StoreFailure::Refused(format!("other hives have a lease time of {theirs} ms")));
    }
    let [kept, answers, hives, table] = rest else { return Err(nonsense()) };
    let kept: Vec<u8> = from(kept).ok_or_else(nonsense)?;
    let answers: Vec<Vec<String>> = from(answers).ok_or_else(nonsense)?;
    let mut hives: Vec<String> = from(hives).ok_or_else(nonsense)?;
    let rows: Vec<Vec<String>> = from(table).ok_or_else(nonsense)?;
    let answers: Option<Vec<Answer>> = answers.iter().map(|words| answer(words)).collect();
    let table: Option<Vec<Row>> = rows.iter().map(|words| row(words)).collect();
    let (Some(answers), Some(mut table)) = (answers, table) else { return Err(nonsense()) };
    if kept.len() != beat.held.len() || answers.len() != beat.wanted.len() {
        return Err(nonsense());
    }
    hives.sort();
    table.sort_by_key(|row| row.account);
    Ok(Reply { kept: kept.into_iter().map(|kept| kept == 1).collect(), answers, hives, table })
}

fn from<T: FromRedisValue>(value: &Value) -> Option<T> {
    T::from_redis_value(value.clone()).ok()
}

fn answer(words: &[String]) -> Option<Answer> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        ["granted", fence, rest] => Answer::Granted { fence: fence.parse().ok()?, rests_for: rest.parse().ok()? },
        ["busy", holder, left] => Answer::Busy { holder: (*holder).to_owned(), left: left.parse().ok()? },
        ["not-yet", left] => Answer::NotYet { left: left.parse().ok()? },
        _ => return None,
    })
}

fn row(words: &[String]) -> Option<Row> {
    let [account, fence, holder, streams, speed, rest, asker] = words else { return None };
    Some(Row {
        account: account.parse().ok()?,
        fence: fence.parse().ok()?,
        holder: holder.clone(),
        streams: streams.parse().ok()?,
        speed: speed.parse().ok()?,
        rests_for: rest.parse().ok()?,
        asker: asker.clone(),
    })
}
