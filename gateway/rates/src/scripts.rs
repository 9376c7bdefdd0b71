//! What Redis runs for us. All keys of one call have one hash tag, so that a Cluster takes them. Numbers stay below 2^53: Lua has only
//! doubles.
//!
//! The time is Redis' own. It is one clock for all gateways, however theirs differ; and since levels are kept rather than times of
//! arrival, a master that takes over with another clock shifts nothing but the drain of the time in between (see `meter`).

use redis::Script;

pub(crate) struct Scripts {
    pub(crate) decide: Script,
    pub(crate) beat: Script,
    pub(crate) sent: Script,
    pub(crate) open: Script,
    pub(crate) hold: Script,
}

/// KEYS: buckets. ARGV, for each: tokens, window in microseconds, units of this request, units that a gateway let through while Redis was
/// gone. Takes from all or from none. Gives the number of the first bucket that refused (0: none), and each level before the taking.
///
/// A bucket is `level time window`; one of another window has its tokens counted over. It expires when it is empty.
const DECIDE: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local refused, reply, told = 0, {0}, false
for i, key in ipairs(KEYS) do
  local tokens, window, cost, owed = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local capacity, level = tokens * window, 0
  local text = redis.call('GET', key)
  local was, at, by = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  if was then
    level = tonumber(was)
    if tonumber(by) ~= window then level = math.floor(level / by * window) end
    level = math.max(0, level - math.max(0, now - at) * tokens)
  end
  level = math.min(capacity, level + owed)
  if refused == 0 and level + cost > capacity then refused = i end
  if owed > 0 then told = true end
  reply[i + 1] = level
end
reply[1] = refused
if refused == 0 or told then
  for i, key in ipairs(KEYS) do
    local tokens, window, cost = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
    local level = reply[i + 1]
    if refused == 0 then level = level + cost end
    if level > 0 then
      redis.call('SET', key, string.format('%.0f %.0f %.0f', level, now, window), 'PX', math.floor(level / tokens / 1000) + 1)
    end
  end
end
return reply
";

/// KEYS: the roll. ARGV: this gateway, milliseconds after which a silent one is not there. Gives how many are there.
const BEAT: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
";

/// KEYS: a tenant's month. ARGV: this gateway, what it has sent in that month, milliseconds to keep it. Gives what all have sent.
///
/// Each gateway writes its own sum, so a call that is done twice counts once, and a Redis that lost its memory is told again.
const SENT: &str = r"
local mine = tonumber(ARGV[2])
if mine > 0 and mine > tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', mine))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
local sum = 0
for _, sent in ipairs(redis.call('HVALS', KEYS[1])) do sum = sum + sent end
return sum
";

/// What is said of one gateway in a hash: `expiry rest`. What has expired is as good as gone.
const HOLDERS: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mine, lease = ARGV[1], tonumber(ARGV[2])
local function others(key)
  local all, there = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do
    local expiry, rest = string.match(all[i + 1], '^(%d+) (.*)$')
    if not expiry or tonumber(expiry) < now then redis.call('HDEL', key, all[i])
    elseif all[i] ~= mine then there[#there + 1] = rest end
  end
  return there
end
local function write(key, rest)
  redis.call('HSET', key, mine, string.format('%.0f %s', now + lease, rest))
  redis.call('PEXPIRE', key, lease)
end
";

/// KEYS: a viewer, its tenant. ARGV: this gateway, milliseconds of a lease, most streams of the viewer, most of the tenant (-1: no bound),
/// this gateway's streams of the tenant, the new stream, the streams that the viewer has here already. Gives 0 if it may be opened, 1 if the
/// viewer has too many, 2 if the tenant has; and the tenant's streams at other gateways.
const OPEN: &str = r"
local viewer, tenant, stream = KEYS[1], KEYS[2], ARGV[6]
local seen, count, list, joins = {}, 0, {}, false
local function see(name)
  if not seen[name] then seen[name] = true count = count + 1 end
end
for _, rest in ipairs(others(viewer)) do
  for name in string.gmatch(rest, '%S+') do see(name) end
end
for i = 7, #ARGV do see(ARGV[i]) list[#list + 1] = ARGV[i] end
joins = seen[stream]
local elsewhere = 0
for _, rest in ipairs(others(tenant)) do elsewhere = elsewhere + tonumber(rest) end
local verdict = 0
if not joins and tonumber(ARGV[3]) >= 0 and count >= tonumber(ARGV[3]) then verdict = 1
elseif tonumber(ARGV[4]) >= 0 and elsewhere + tonumber(ARGV[5]) >= tonumber(ARGV[4]) then verdict = 2 end
local own = tonumber(ARGV[5])
if verdict == 0 then list[#list + 1] = stream own = own + 1 end
if #list > 0 then write(viewer, table.concat(list, ' ')) else redis.call('HDEL', viewer, mine) end
if own > 0 then write(tenant, tostring(own)) else redis.call('HDEL', tenant, mine) end
return {verdict, elsewhere}
";

/// KEYS: a tenant, viewers. ARGV: this gateway, milliseconds of a lease, its streams of the tenant, and for each viewer its streams, with
/// spaces between. Gives the tenant's streams at other gateways.
const HOLD: &str = r"
local elsewhere = 0
for _, rest in ipairs(others(KEYS[1])) do elsewhere = elsewhere + tonumber(rest) end
if tonumber(ARGV[3]) > 0 then write(KEYS[1], ARGV[3]) else redis.call('HDEL', KEYS[1], mine) end
for i = 2, #KEYS do
  if ARGV[i + 2] ~= '' then write(KEYS[i], ARGV[i + 2]) else redis.call('HDEL', KEYS[i], mine) end
end
return elsewhere
";

impl Scripts {
    pub(crate) fn new() -> Self {
        let with_holders = |script: &str| Script::new(&format!("{HOLDERS}{script}"));
        Self {
            decide: Script::new(DECIDE),
            beat: Script::new(BEAT),
            sent: Script::new(SENT),
            open: with_holders(OPEN),
            hold: with_holders(HOLD),
        }
    }
}
