//! What Redis runs for us: one script for each operation that must be atomic.
//!
//! KEYS are `…:k:<key>`, `…:c:<key>` and `…:i`, all with one hash tag. Numbers that may exceed 2^53 stay text: Lua has only
//! doubles. Replies are `{code}` or `{code, text}`.

use redis::Script;

/// Reply codes.
pub(crate) const DONE: i64 = 0;
pub(crate) const FULL: i64 = 1;
pub(crate) const NOT_A_NUMBER: i64 = 2;
pub(crate) const TOO_LONG: i64 = 3;
pub(crate) const ABSENT: i64 = 4;

/// Clock, and the index of the namespace: a sorted set of its keys by the millisecond at which they expire. Entries leave it
/// when their keys have expired; the index itself expires with its last entry.
///
/// `room` only looks: Redis refuses a script for want of memory at its first write and never later, so that the first
/// write must be the one that takes the memory.
const INDEX: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local value, set, index = KEYS[1], KEYS[2], KEYS[3]
local function ms(number) return string.format('%.0f', number) end
local function room(member, bound)
  local expiry = redis.call('ZSCORE', index, member)
  if expiry and tonumber(expiry) >= now then return true end
  return redis.call('ZCOUNT', index, ms(now), '+inf') < tonumber(bound)
end
local function settle()
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', index, ms(last[2] + 1000)) end
end
local function note(member, expiry)
  redis.call('ZADD', index, ms(expiry), member)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. ms(now))
  settle()
end
local function forget(...)
  if redis.call('ZREM', index, ...) > 0 then settle() end
end
";

/// ARGV: key, ttl in ms, bound, value, `1` to leave alone what is there.
const SET: &str = r"
local member, expiry = 'k' .. ARGV[1], now + ARGV[2]
if ARGV[5] == '1' and redis.call('EXISTS', value) == 1 then return {4} end
if not room(member, ARGV[3]) then return {1} end
redis.call('SET', value, ARGV[4], 'PXAT', ms(expiry))
note(member, expiry)
return {0}
";

/// ARGV: key, longest value.
const TAKE: &str = r"
if redis.call('STRLEN', value) > tonumber(ARGV[2]) then return {3} end
local taken = redis.call('GETDEL', value)
if not taken then return {4} end
forget('k' .. ARGV[1])
return {0, taken}
";

/// ARGV: key.
const DELETE: &str = r"
redis.call('DEL', value, set)
forget('k' .. ARGV[1], 'c' .. ARGV[1])
return {0}
";

/// ARGV: key, ttl in ms, bound, what to add.
const INCREMENT: &str = r"
local member, expiry = 'k' .. ARGV[1], now + ARGV[2]
local absent = redis.call('EXISTS', value) == 0
if absent and not room(member, ARGV[3]) then return {1} end
local sum = redis.pcall('INCRBY', value, ARGV[4])
if type(sum) == 'table' then
  if string.find(sum.err, '^OOM') then return sum end
  return {2}
end
if absent then
  redis.call('PEXPIREAT', value, ms(expiry))
  note(member, expiry)
end
return {0, redis.call('GET', value)}
";

/// ARGV: key, ttl in ms, bound, member.
const COUNT_DISTINCT: &str = r"
local member, expiry = 'c' .. ARGV[1], now + ARGV[2]
local absent = redis.call('EXISTS', set) == 0
if absent and not room(member, ARGV[3]) then return {1} end
redis.call('PFADD', set, ARGV[4])
if absent then
  redis.call('PEXPIREAT', set, ms(expiry))
  note(member, expiry)
end
return {0, tostring(redis.call('PFCOUNT', set))}
";

/// The scripts, hashed once. Redis is told the hash, and the text only if it doesn't know it.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) set: Script,
    pub(crate) take: Script,
    pub(crate) delete: Script,
    pub(crate) increment: Script,
    pub(crate) count_distinct: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |body: &str| Script::new(&format!("{INDEX}{body}"));
        Self {
            set: script(SET),
            take: script(TAKE),
            delete: script(DELETE),
            increment: script(INCREMENT),
            count_distinct: script(COUNT_DISTINCT),
        }
    }
}
