-- One beat of a hive: what `ledger.rs` does, field for field. Its tests hold the two to the same answers.
-- KEYS: meta (hash), hives (sorted set: run by its last beat), accounts (hash: account to record).
-- ARGV: now ('' for the server's clock), server ('' for the server's own run id), run, ttl, leave, sure,
--   then four lists, each after its length: held (account, fence), told (account, streams, speed, rest), gone (account, fence),
--   wanted (account).
-- A record is fence|expires|rest_until|streams|speed|touched|asked|holder|asker. Account ids stay text: Lua has only doubles.
local meta_key, hives_key, accounts_key = KEYS[1], KEYS[2], KEYS[3]
local KEPT, SWEEP_EVERY = 86400000, 3600000

local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
local server = ARGV[2]
if server == '' then server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '?' end
local run, ttl, leave, sure = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1', ARGV[6] == '1'

local at = 6
local function list(width)
  at = at + 1
  local items = {}
  for i = 1, tonumber(ARGV[at]) do
    local item = {}
    for j = 1, width do
      at = at + 1
      item[j] = ARGV[at]
    end
    items[i] = item
  end
  return items
end
local held, told, gone, wanted = list(2), list(4), list(2), list(1)

local function int(number) return string.format('%.0f', number) end
local function past(number) return math.max(now - number, 0) end

local records = {}
local function record(account)
  local known = records[account]
  if known then return known end
  local text = redis.call('HGET', accounts_key, account)
  local r = { fence = 0, expires = 0, rest = 0, streams = 0, speed = 0, touched = 0, asked = 0, holder = '', asker = '' }
  if text then
    local f, e, u, s, v, t, a, h, k = string.match(text, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|([^|]*)|([^|]*)$')
    if f then
      r = { fence = tonumber(f), expires = tonumber(e), rest = tonumber(u), streams = tonumber(s), speed = tonumber(v),
        touched = tonumber(t), asked = tonumber(a), holder = h, asker = k }
    end
  end
  records[account] = r
  return r
end
local function save(account, r)
  redis.call('HSET', accounts_key, account, table.concat({ int(r.fence), int(r.expires), int(r.rest), int(r.streams),
    int(r.speed), int(r.touched), int(r.asked), r.holder, r.asker }, '|'))
end

-- Has the store been away, forgotten something, or had its clock set? Then those who held accounts come first.
local m = redis.call('HMGET', meta_key, 'server', 'ttl', 'last', 'quiet', 'fence', 'swept')
local others, living = false, false
for _, other in ipairs(redis.call('ZRANGE', hives_key, 0, -1)) do
  if other ~= run then
    others = true
    -- Those that died are forgotten by beats, and here there may have been none since.
    if m[1] then
      local heard = tonumber(redis.call('ZSCORE', hives_key, other))
      living = living or past(math.max(heard, tonumber(m[4]))) <= 2 * tonumber(m[2])
    end
  end
end
local quiet, fence, swept = now + ttl, 0, now
if m[1] then
  if living and tonumber(m[2]) ~= ttl then return { 'ttl', tonumber(m[2]) } end
  local last = tonumber(m[3])
  quiet, fence, swept = tonumber(m[4]), tonumber(m[5]), tonumber(m[6])
  -- While it is quiet, those who hold something may not have been heard yet.
  local gap = past(last) > math.floor(ttl * 5 / 12) and (others or last < quiet)
  if m[1] ~= server or now < last or gap then quiet = now + ttl end
end
for _, other in ipairs(redis.call('ZRANGE', hives_key, 0, -1)) do
  local heard = tonumber(redis.call('ZSCORE', hives_key, other))
  if past(math.max(heard, quiet)) > 2 * ttl then redis.call('ZREM', hives_key, other) end
end

local kept = {}
for i, item in ipairs(held) do
  local r, f = record(item[1]), tonumber(item[2])
  kept[i] = 0
  local known = r.fence == f and r.holder == run
  if (sure and (known or r.fence < f)) or (known and now >= quiet) then
    r.holder, r.fence, r.expires, r.touched = run, f, now + ttl, now
    fence = math.max(fence, f)
    save(item[1], r)
    kept[i] = 1
  end
end

for _, item in ipairs(told) do
  local r = record(item[1])
  if r.holder == run then
    r.streams, r.speed = tonumber(item[2]), tonumber(item[3])
    r.rest = math.max(r.rest, now + tonumber(item[4]))
    save(item[1], r)
  end
end

local function release(account, f)
  local r = record(account)
  if r.holder == run and (not f or r.fence == f) then
    r.holder, r.expires, r.streams, r.speed, r.touched = '', 0, 0, 0, now
    save(account, r)
  end
end
for _, item in ipairs(gone) do release(item[1], tonumber(item[2])) end
if leave then
  for _, account in ipairs(redis.call('HKEYS', accounts_key)) do release(account) end
  redis.call('ZREM', hives_key, run)
else
  redis.call('ZADD', hives_key, int(now), run)
end

local answers = {}
for i, item in ipairs(wanted) do
  local r = record(item[1])
  if r.holder ~= '' and r.expires > now and r.holder ~= run then
    r.asker, r.asked = run, now
    answers[i] = { 'busy', r.holder, int(r.expires - now) }
  elseif now < quiet then
    r.touched = now
    answers[i] = { 'not-yet', int(quiet - now) }
  else
    fence = math.max(fence, r.fence, now) + 1
    r.fence, r.expires, r.touched, r.holder = fence, now + ttl, now, run
    r.streams, r.speed, r.asked, r.asker = 0, 0, 0, ''
    answers[i] = { 'granted', int(fence), int(math.max(r.rest - now, 0)) }
  end
  save(item[1], r)
end

local sweep = past(swept) > SWEEP_EVERY
if sweep then swept = now end
redis.call('HSET', meta_key, 'server', server, 'ttl', int(ttl), 'last', int(now), 'quiet', int(quiet), 'fence', int(fence),
  'swept', int(swept))

local rows = {}
for _, account in ipairs(redis.call('HKEYS', accounts_key)) do
  local r = record(account)
  if sweep and r.touched + KEPT <= now and r.rest <= now and r.expires <= now then
    redis.call('HDEL', accounts_key, account)
  else
    local is_held = r.holder ~= '' and r.expires > now
    local asked = r.asker ~= '' and past(r.asked) <= ttl
    rows[#rows + 1] = { account, int(r.fence), is_held and r.holder or '', int(is_held and r.streams or 0),
      int(is_held and r.speed or 0), int(math.max(r.rest - now, 0)), asked and r.asker or '' }
  end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 30 * KEPT) end
return { 'ok', kept, answers, redis.call('ZRANGEBYSCORE', hives_key, int(now - ttl), '+inf'), rows }
