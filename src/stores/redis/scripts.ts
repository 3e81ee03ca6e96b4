import { script } from './client.js'
import { fields, NO_REPLAYS_JSON, rotatedFields } from './rows.js'
import type { Field } from './rows.js'

const allFields = fields.map(field => `'${field}'`).join(', ')

/** Lua names of the values that HMGET returns for all fields. */
const row = Object.fromEntries(
  fields.map((field, i) => [field, `row[${i + 1}]`])
) as Record<Field, string>

// One JSON string, because the driver reads one value faster than fourteen.
const sessionAsJson = `'{' .. ${fields.map(toMember).join(' .. \',\' .. ')} .. '}'`
const rotatedPartAsJson = `'{' .. ${rotatedFields.map(toMember).join(' .. \',\' .. ')} .. '}'`

function toMember (field: Field): string {
  const value = row[field]

  switch (field) {
    case 'fixed':
      return `string.sub(${value}, 2, -2)`
    case 'replayRun':
      return `'"replayRun":' .. (${value} or '${NO_REPLAYS_JSON}')`
    case 'realm':
    case 'secretHash':
    case 'revokedFor':
      return `'"${field}":' .. (${value} and cjson.encode(${value}) or 'null')`
    default:
      return `'"${field}":' .. (${value} or 'null')`
  }
}

// Notifies readers. A failure, such as a missing right, must not undo or reject the revocation.
const publish = (channel: string): string => `redis.pcall('PUBLISH', ${channel}, '')`

/**
 * Scripts of `RedisStore`. All keys of a call are in one slot.
 *
 * Numbers are decimal strings. Lua numbers are exact up to 2 ** 53, but their string conversion is
 * not: scripts compare numbers and write back the strings that they got. The channel is a value,
 * because drivers with a key prefix add it to keys only.
 */
export const scripts = {
  // Any command on the key. ARGV: name and arguments after the key.
  command: script(`
    return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))`),

  // KEYS: session, ends. ARGV: time to live, mark of this call, ID, expiresAt, fields and values.
  // Returns 0 if the ID is taken. A driver that repeats the call finds its own mark.
  create: script(`
    local mark = redis.call('HGET', KEYS[1], 'mark')
    if mark then return mark == ARGV[2] and 1 or 0 end
    redis.call('HSET', KEYS[1], 'mark', ARGV[2], unpack(ARGV, 5))
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
    return 1`),

  // KEYS: session, ends. ARGV: mark of the call that created the session, ID.
  deleteCreated: script(`
    if redis.call('HGET', KEYS[1], 'mark') ~= ARGV[1] then return 0 end
    redis.call('ZREM', KEYS[2], ARGV[2])
    return redis.call('DEL', KEYS[1])`),

  // KEYS: session. Returns it as JSON.
  find: script(`
    local row = redis.call('HMGET', KEYS[1], ${allFields})
    return row[1] and ${sessionAsJson}`),

  // KEYS: session. ARGV: the attempt. Returns the outcome as JSON, and the previous values.
  rotate: script(`
    local row = redis.call('HMGET', KEYS[1], ${allFields})
    local realm, secretHash, from, to, heals, now, expiresAt, before, after, by = unpack(ARGV)
    if ${row.realm} ~= realm then return '{"swapped":false,"session":null}' end
    local graceFrom = tonumber(${row.graceFrom})
    local canRotate = ${row.secretHash} == secretHash
      and ${row.generation} == from and not ${row.revokedAt}
      and (heals == 'true' or tonumber(now) < tonumber(${row.expiresAt})
        and (from == '0' or graceFrom <= tonumber(before) or graceFrom > tonumber(after)))
    if not canRotate then return '{"swapped":false,"session":' .. ${sessionAsJson} .. '}' end
    local previous = ${rotatedPartAsJson}
    ${row.generation} = to
    if heals == 'true' then ${row.confirmedGeneration} = to end
    ${row.rotatedAt} = now
    ${row.rotatedBy} = by
    if tonumber(now) > graceFrom then ${row.graceFrom} = now end
    if tonumber(now) > tonumber(${row.lastUsedAt}) then ${row.lastUsedAt} = now end
    ${row.expiresAt} = tonumber(expiresAt) < tonumber(${row.endsAt}) and expiresAt or ${row.endsAt}
    redis.call('HSET', KEYS[1], ${
    rotatedFields.map(field => `'${field}', ${row[field]}`).join(', ')
  })
    return '{"swapped":true,"session":' .. ${sessionAsJson}
      .. ',"previous":' .. previous .. '}'`),

  // KEYS: session. ARGV: to, now and by of the rotation, previous fields and values.
  undoRotation: script(`
    local row = redis.call('HMGET', KEYS[1], 'generation', 'rotatedAt', 'rotatedBy')
    if row[1] ~= ARGV[1] or row[2] ~= ARGV[2] or row[3] ~= ARGV[3] then return 0 end
    redis.call('HSET', KEYS[1], unpack(ARGV, 4))
    return 1`),

  // KEYS: session, feed. ARGV: time, reason, entry, channel. Returns 1 if it revoked the session.
  revoke: script(`
    local row = redis.call('HMGET', KEYS[1], 'realm', 'revokedAt')
    if not row[1] or row[2] then return 0 end
    redis.call('HSET', KEYS[1], 'revokedAt', ARGV[1], 'revokedFor', ARGV[2])
    redis.call('XADD', KEYS[2], '*', 'e', ARGV[3])
    ${publish('ARGV[4]')}
    return 1`),

  // KEYS: session. ARGV: realm, user, not-before of the realm or '', and 4 values for each
  // not-before of the user: before, keep, at, reason. The first one that revokes the session marks
  // it. Returns what the session is, and when it was authenticated.
  mark: script(`
    local row = redis.call('HMGET', KEYS[1], 'fixed', 'realm', 'revokedAt')
    local fixed = row[1] and cjson.decode(row[1])
    if not fixed or row[2] ~= ARGV[1] or fixed.userId ~= ARGV[2] then return {'gone'} end
    local authenticatedAt = fixed.authenticatedAt
    local shown = string.format('%.0f', authenticatedAt)
    if row[3] then return {'revoked', shown} end
    if ARGV[3] ~= '' and authenticatedAt <= tonumber(ARGV[3]) then return {'unmarked'} end
    for i = 4, #ARGV, 4 do
      if authenticatedAt <= tonumber(ARGV[i]) and ARGV[i + 1] ~= fixed.id then
        redis.call('HSET', KEYS[1], 'revokedAt', ARGV[i + 2], 'revokedFor', ARGV[i + 3])
        return {'marked', shown}
      end
    end
    return {'unmarked'}`),

  // KEYS: session. ARGV: realm, generation, lastUsedAt, confirmedGeneration, graceFrom or '',
  // replayRun as JSON or ''.
  touch: script(`
    local row = redis.call('HMGET', KEYS[1], 'realm', 'generation', 'lastUsedAt',
      'confirmedGeneration', 'graceFrom', 'replayRun')
    local realm, generation, lastUsedAt, confirmed, graceFrom, run = unpack(ARGV)
    if row[1] ~= realm then return 0 end
    local changes = {}
    local function change (field, value)
      changes[#changes + 1] = field
      changes[#changes + 1] = value
    end
    if tonumber(lastUsedAt) > tonumber(row[3]) then change('lastUsedAt', lastUsedAt) end
    if tonumber(confirmed) > tonumber(row[2]) then confirmed = row[2] end
    if tonumber(confirmed) > tonumber(row[4]) then change('confirmedGeneration', confirmed) end
    if row[2] == generation then
      if graceFrom ~= '' and tonumber(graceFrom) > tonumber(row[5]) then
        change('graceFrom', graceFrom)
      end
      local last = row[6] and cjson.decode(row[6]).generation or 0
      if run ~= '' and cjson.decode(run).generation > last then change('replayRun', run) end
    end
    if #changes > 0 then redis.call('HSET', KEYS[1], unpack(changes)) end
    return 1`),

  // KEYS: user, not-befores of the user. ARGV: ID, score, time to live. The index outlives its
  // sessions. Returns the not-befores.
  addToUser: script(`
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
      redis.call('PEXPIRE', KEYS[1], ARGV[3])
    end
    return redis.call('HGETALL', KEYS[2])`),

  // KEYS: user. ARGV: for each session a score or '', and the ID. Without a score, removes it.
  moveInUser: script(`
    for i = 1, #ARGV, 2 do
      if ARGV[i] == '' then
        redis.call('ZREM', KEYS[1], ARGV[i + 1])
      else
        redis.call('ZADD', KEYS[1], 'XX', ARGV[i], ARGV[i + 1])
      end
    end
    return 1`),

  // KEYS: user, not-befores of the user. ARGV: offset, limit. Returns the IDs of unrevoked
  // sessions, the newest first, and the not-befores.
  readUser: script(`
    local ids = redis.call('ZRANGE', KEYS[1], '+inf', 0, 'BYSCORE', 'REV', 'LIMIT',
      ARGV[1], ARGV[2])
    return {ids, redis.call('HGETALL', KEYS[2])}`),

  // KEYS: user, not-befores of the user, old not-befores, feed. ARGV: at, keep, reason, name of the
  // user, entry up to the value of its last member, channel. Returns all not-befores of the user.
  revokeUser: script(`
    local at, keep, reason, name, entry, channel = unpack(ARGV)
    local newest = redis.call('ZRANGE', KEYS[1], '+inf', 0, 'BYSCORE', 'REV', 'LIMIT', 0, 1,
      'WITHSCORES')[2]
    local before = newest and tonumber(newest) > tonumber(at) and newest or at
    local field = before .. ' ' .. keep
    local there = redis.call('HGET', KEYS[2], field)
    if not there or tonumber(string.match(there, '^%S+')) > tonumber(at) then
      redis.call('HSET', KEYS[2], field, at .. ' ' .. reason)
    end
    redis.call('ZADD', KEYS[3], before, before .. ' ' .. name)
    redis.call('XADD', KEYS[4], '*', 'e', entry .. before .. '}')
    ${publish('channel')}
    return redis.call('HGETALL', KEYS[2])`),

  // KEYS: realms, feed. ARGV: realm, at, entry, channel. The entry is the value of the not-before.
  revokeRealm: script(`
    local there = redis.call('HGET', KEYS[1], ARGV[1])
    if there and cjson.decode(there).before >= tonumber(ARGV[2]) then return 0 end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    redis.call('XADD', KEYS[2], '*', 'e', ARGV[3])
    ${publish('ARGV[4]')}
    return 1`),

  // KEYS: feed, realms. ARGV: ID of the last entry that the reader has seen, digest of this entry,
  // window, limit. The ID is '' if there was none, and '*' for a new reader. Returns the time in
  // seconds and microseconds, the entry after which the page begins, IDs and entries. For a window
  // also the not-befores of realms.
  follow: script(`
    local seen, digest, within, limit = unpack(ARGV)
    local time = redis.call('TIME')
    local found, start, realms = {}, {}, {}
    local function isSeen (entry)
      return entry and entry[1] == seen
        and string.sub(redis.sha1hex(entry[2][2]), 1, #digest) == digest
    end
    local isNewReader = seen == '*'
    if seen == '' then
      found = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', limit)
    elseif not isNewReader then
      found = redis.call('XRANGE', KEYS[1], seen, '+', 'COUNT', limit + 1)
      start = table.remove(found, 1)
      isNewReader = not isSeen(start)
    end
    if isNewReader then
      local now = time[1] * 1000 + math.floor(time[2] / 1000)
      local from = string.format('%.0f-0', math.max(1, now - within))
      found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', limit)
      start = redis.call('XREVRANGE', KEYS[1], '(' .. from, '-', 'COUNT', 1)[1] or {}
      realms = redis.call('HVALS', KEYS[2])
    end
    local entries = {}
    for i, entry in ipairs(found) do
      entries[2 * i - 1], entries[2 * i] = entry[1], entry[2][2]
    end
    return {time[1], time[2], start[1] and {start[1], start[2][2]} or {}, entries, realms}`),

  // KEYS: ends, sessions. ARGV: endedBefore, IDs. Returns realm and fixed part of expired sessions.
  // Moves the others to their new ends.
  findExpired: script(`
    local expired = {}
    for i = 2, #KEYS do
      local row = redis.call('HMGET', KEYS[i], 'expiresAt', 'realm', 'fixed')
      if not row[1] then
        redis.call('ZREM', KEYS[1], ARGV[i])
      elseif tonumber(row[1]) >= tonumber(ARGV[1]) then
        redis.call('ZADD', KEYS[1], 'XX', row[1], ARGV[i])
      else
        expired[#expired + 1] = row[2]
        expired[#expired + 1] = row[3]
      end
    end
    return expired`),

  // KEYS: ends, sessions. ARGV: endedBefore, IDs. Deletes the sessions that are still expired.
  // Returns 1 for each that it deleted, 0 if it is gone, 2 if it is not expired any more.
  deleteExpired: script(`
    local results = {}
    for i = 2, #KEYS do
      local expiresAt = redis.call('HGET', KEYS[i], 'expiresAt')
      if expiresAt and tonumber(expiresAt) >= tonumber(ARGV[1]) then
        results[i - 1] = 2
      else
        redis.call('ZREM', KEYS[1], ARGV[i])
        results[i - 1] = redis.call('DEL', KEYS[i])
      end
    end
    return results`),

  // KEYS: user, not-befores of the user, old not-befores. ARGV: lowest and highest score of a
  // session from before, field, member, limit. Returns IDs of such sessions. If there are none,
  // deletes the not-before and returns 1 if it existed.
  sweepNotBefore: script(`
    local left = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[5])
    if #left > 0 then return left end
    redis.call('ZREM', KEYS[3], ARGV[4])
    return redis.call('HDEL', KEYS[2], ARGV[3])`),

  // KEYS: feed. ARGV: ID of the first entry that stays, limit. Returns the number of deleted
  // entries.
  sweepFeed: script(`
    local ids = {}
    for i, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[1],
      'COUNT', ARGV[2])) do
      ids[i] = entry[1]
    end
    if #ids > 0 then redis.call('XDEL', KEYS[1], unpack(ids)) end
    return #ids`)
} as const
