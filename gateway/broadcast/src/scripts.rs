//! What Redis runs for us. Numbers stay below 2^53: Lua has only doubles.
//!
//! KEYS of all: state (hash: number and tag of the last message), log (stream), alive (sorted set: gateway by the millisecond at which it
//! was last heard of), seen (hash: gateway to the number of the last message that it took), board (hash).

use redis::Script;

/// Messages that the log keeps.
pub(crate) const MOST: usize = 1000;

pub(crate) struct Scripts {
    pub(crate) join: Script,
    pub(crate) publish: Script,
    pub(crate) tell: Script,
    pub(crate) count: Script,
    pub(crate) post: Script,
}

/// ARGV: number and tag of the caller's place, a fresh tag, MOST. Gives number and tag of the log's head.
///
/// A log without a memory gets the caller's place. One that is behind the caller, or at the same number by another message, has lost
/// what the caller heard, and so have its followers: a message that follows no other tells them.
const JOIN: &str = r"
local state, log = KEYS[1], KEYS[2]
local mine, tag = tonumber(ARGV[1]), ARGV[2]
local number = tonumber(redis.call('HGET', state, 'number') or '0')
local head = redis.call('HGET', state, 'tag') or ''
if number == 0 and redis.call('EXISTS', log) == 0 then
  if mine > 0 then redis.call('HSET', state, 'number', mine, 'tag', tag) end
elseif mine > number or (mine == number and tag ~= head) then
  number = mine + 1
  redis.call('HSET', state, 'number', number, 'tag', ARGV[3])
  redis.call('XADD', log, 'MAXLEN', ARGV[4], '*', 'number', number, 'tag', ARGV[3], 'before', '?', 'from', '', 'body', '')
end
return {redis.call('HGET', state, 'number') or '0', redis.call('HGET', state, 'tag') or ''}
";

/// ARGV: number and tag of the publisher's place, a fresh tag, MOST, publisher, body. Gives the message's number.
const PUBLISH: &str = r"
local state, log = KEYS[1], KEYS[2]
if redis.call('EXISTS', state) == 0 and tonumber(ARGV[1]) > 0 then
  redis.call('HSET', state, 'number', ARGV[1], 'tag', ARGV[2])
end
local before = redis.call('HGET', state, 'tag') or ''
local number = redis.call('HINCRBY', state, 'number', 1)
redis.call('HSET', state, 'tag', ARGV[3])
redis.call('XADD', log, 'MAXLEN', ARGV[4], '*', 'number', number, 'tag', ARGV[3], 'before', before, 'from', ARGV[5], 'body', ARGV[6])
return number
";

/// ARGV: gateway, number of the last message that it took, milliseconds after which silent ones are forgotten. Gives the head.
const TELL: &str = r"
local state, alive, seen = KEYS[1], KEYS[3], KEYS[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', alive, now, ARGV[1])
redis.call('HSET', seen, ARGV[1], ARGV[2])
for _, gateway in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now - ARGV[3])) do
  redis.call('ZREM', alive, gateway)
  redis.call('HDEL', seen, gateway)
end
return {redis.call('HGET', state, 'number') or '0', redis.call('HGET', state, 'tag') or ''}
";

/// ARGV: number of a message, milliseconds within which a gateway must have been heard of. Gives how many took it, and how many there are.
const COUNT: &str = r"
local alive, seen = KEYS[3], KEYS[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local gateways = redis.call('ZRANGEBYSCORE', alive, now - ARGV[2], '+inf')
local took = 0
for _, gateway in ipairs(gateways) do
  if tonumber(redis.call('HGET', seen, gateway) or '0') >= tonumber(ARGV[1]) then took = took + 1 end
end
return {took, #gateways}
";

/// ARGV: key, rank, record, again and again. A record begins with its rank and a tab; the higher rank stands, and of two alike the greater
/// text. Ranks are numbers with a fraction at most.
const POST: &str = r"
local board = KEYS[5]
for i = 1, #ARGV, 3 do
  local rank, record = tonumber(ARGV[i + 1]), ARGV[i + 1] .. '\t' .. ARGV[i + 2]
  local there = redis.call('HGET', board, ARGV[i])
  local theirs = there and tonumber(string.match(there, '^([%d.]+)\t') or '')
  if not theirs or rank > theirs or (rank == theirs and record > there) then
    redis.call('HSET', board, ARGV[i], record)
  end
end
return 0
";

impl Scripts {
    pub(crate) fn new() -> Self {
        let [join, publish, tell, count, post] = [JOIN, PUBLISH, TELL, COUNT, POST].map(Script::new);
        Self { join, publish, tell, count, post }
    }
}
