//! The store in Redis: one connection for all, made when it is first used; one script for each operation that must be atomic.

use crate::session::{Rotation, Session, SessionRules, seconds};
use crate::store::Away;
use crate::subject::Subject;
use redis::{FromRedisValue, RedisResult, Script, ScriptInvocation};
use redis_link::{Connection, Server, Shared};
use std::fmt;
use std::time::Duration;

/// Guests of one tenant at once, some 100 MB. Anybody can be one: whoever comes then ends the one that would have ended first.
const MOST_GUESTS: usize = 200_000;
/// Of those that have ended or must go, as many as one call clears away.
const SWEEP: usize = 64;

/// KEYS: session, guests (sorted set: sid by its end), link or nothing. ARGV: what a session's key begins with, sid, 1 for a guest, current,
/// begun, until, subject, now, `MOST_GUESTS`, `SWEEP`, end of the link. Sessions of guests that must go are in the same slot as the other keys. No session lasts longer than 400 days.
const OPEN: &str = r"
if KEYS[3] and not redis.call('SET', KEYS[3], 1, 'NX', 'EXAT', ARGV[11]) then return 0 end
if ARGV[3] == '1' then
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[8], 'LIMIT', 0, ARGV[10])) do
    redis.call('ZREM', KEYS[2], sid)
  end
  local over = redis.call('ZCARD', KEYS[2]) + 1 - tonumber(ARGV[9])
  if over > 0 then
    local gone = redis.call('ZPOPMIN', KEYS[2], math.min(over, tonumber(ARGV[10])))
    for i = 1, #gone, 2 do redis.call('DEL', ARGV[1] .. gone[i]) end
  end
  redis.call('ZADD', KEYS[2], ARGV[6], ARGV[2])
  redis.call('EXPIREAT', KEYS[2], string.format('%.0f', tonumber(ARGV[5]) + 34560000))
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'current', ARGV[4], 'rotated', ARGV[5], 'begun', ARGV[5], 'until', ARGV[6], 'subject', ARGV[7])
redis.call('EXPIREAT', KEYS[1], ARGV[6])
return 1
";

/// KEYS: session, guests. ARGV: used, next, now, refresh_ttl, session_ttl, grace, sid. The same as `Session::rotate`, which a test holds it to.
const ROTATE: &str = r"
local kept = redis.call('HMGET', KEYS[1], 'current', 'previous', 'rotated', 'begun', 'until', 'subject')
if not kept[1] then return {0, ''} end
local now, grace = tonumber(ARGV[3]), tonumber(ARGV[6])
local over = function()
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[7])
end
if now >= tonumber(kept[5]) then
  over()
  return {0, ''}
end
if kept[1] == ARGV[1] then
  local till = string.format('%.0f', math.min(now + tonumber(ARGV[4]), tonumber(kept[4]) + tonumber(ARGV[5])))
  redis.call('HSET', KEYS[1], 'current', ARGV[2], 'previous', ARGV[1], 'rotated', ARGV[3], 'until', till)
  redis.call('EXPIREAT', KEYS[1], till)
  if redis.call('ZSCORE', KEYS[2], ARGV[7]) then redis.call('ZADD', KEYS[2], till, ARGV[7]) end
  return {1, kept[6]}
end
if kept[2] == ARGV[1] and grace > 0 and now - tonumber(kept[3]) <= grace then return {2, kept[6]} end
over()
return {3, kept[6]}
";

/// KEYS: session, guests. ARGV: a hash that must be one of the session's, or nothing; sid.
const END: &str = r"
if ARGV[1] ~= '' then
  local kept = redis.call('HMGET', KEYS[1], 'current', 'previous')
  if kept[1] ~= ARGV[1] and kept[2] ~= ARGV[1] then return 0 end
end
redis.call('ZREM', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])
";

pub(crate) struct RedisStore {
    shared: Shared,
    prefix: String,
    open: Script,
    rotate: Script,
    end: Script,
}

impl fmt::Debug for RedisStore {
    /// Not the server: its address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisStore {
    pub(crate) fn new(server: Server, prefix: &str, timeout: Duration) -> Self {
        let (open, rotate, end) = (Script::new(OPEN), Script::new(ROTATE), Script::new(END));
        let (shared, prefix) = (Shared::new(server, timeout), prefix.to_owned());
        Self { shared, prefix, open, rotate, end }
    }

    pub(crate) async fn open(&self, tenant: &str, sid: &str, session: &Session, now: i64) -> Result<(), Away> {
        let call = self.opening(tenant, sid, session, now, None);
        self.run(async |mut link| call.invoke_async::<i64>(&mut link).await).await.map(drop)
    }

    pub(crate) async fn enter(
        &self,
        tenant: &str,
        id: &str,
        until: i64,
        sid: &str,
        session: &Session,
        now: i64,
    ) -> Result<bool, Away> {
        let call = self.opening(tenant, sid, session, now, Some((id, until)));
        self.run(async |mut link| call.invoke_async::<i64>(&mut link).await).await.map(|done| done > 0)
    }

    fn opening(
        &self,
        tenant: &str,
        sid: &str,
        session: &Session,
        now: i64,
        link: Option<(&str, i64)>,
    ) -> ScriptInvocation<'_> {
        let mut call = self.open.key(self.key(tenant, 's', sid));
        call.key(self.guests(tenant));
        if let Some((id, _)) = link {
            call.key(self.key(tenant, 'm', id));
        }
        call.arg(self.key(tenant, 's', "")).arg(sid).arg(u8::from(session.subject.is_guest()));
        call.arg(hex(&session.current)).arg(session.begun).arg(session.until).arg(session.subject.to_text());
        call.arg(now).arg(MOST_GUESTS).arg(SWEEP).arg(link.map_or(0, |(_, until)| until));
        call
    }

    pub(crate) async fn rotate(
        &self,
        tenant: &str,
        sid: &str,
        used: &[u8; 32],
        next: &[u8; 32],
        now: i64,
        rules: &SessionRules,
    ) -> Result<Rotation, Away> {
        let mut call = self.rotate.key(self.key(tenant, 's', sid));
        call.key(self.guests(tenant)).arg(hex(used)).arg(hex(next)).arg(now);
        for span in [rules.refresh_ttl, rules.session_ttl, rules.grace] {
            call.arg(seconds(span));
        }
        call.arg(sid);
        let (code, text): (i64, String) = self.run(async |mut link| call.invoke_async(&mut link).await).await?;
        let subject = || Subject::from_text(&text).ok_or(Away);
        match code {
            0 => Ok(Rotation::Unknown),
            1 => subject().map(Rotation::Rotated),
            2 => subject().map(Rotation::Lately),
            3 => subject().map(Rotation::Reused),
            _ => Err(Away),
        }
    }

    pub(crate) async fn end(&self, tenant: &str, sid: &str, secret: Option<&[u8; 32]>) -> Result<bool, Away> {
        let mut call = self.end.key(self.key(tenant, 's', sid));
        call.key(self.guests(tenant)).arg(secret.map(hex).unwrap_or_default()).arg(sid);
        self.run(async |mut link| call.invoke_async::<i64>(&mut link).await).await.map(|ended| ended > 0)
    }

    /// The braces make a tenant's keys one hash slot.
    fn key(&self, tenant: &str, kind: char, id: &str) -> String {
        format!("{}:{{auth:{tenant}}}:{kind}:{id}", self.prefix)
    }

    fn guests(&self, tenant: &str) -> String {
        format!("{}:{{auth:{tenant}}}:guests", self.prefix)
    }

    /// One question, over the connection that is there or a new one.
    async fn run<T: FromRedisValue>(
        &self,
        question: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Result<T, Away> {
        self.shared.run_once(question).await.map_err(|_| Away)
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
