/**
 * What Redis runs in one atomic step. A marker lives beside the proofs and shows whether they are still all there: it
 * belongs to one run of Redis, and is written again every second as long as a process uses it. Times are in milliseconds
 * of Redis's own clock.
 *
 * `id`: changes when proofs may have been lost. `since`: proofs dated earlier are not vouched for. `latest`: the first
 * moment after the latest date of a proof that was recorded. `beat`: when a process last looked. `settled`: until then, other processes may still tell of
 * proofs that they recorded, dated ahead, before the loss. `confirmed`: replicas had the marker before `since`, so that a former master
 * can have had nothing acknowledged since.
 */

/**
 * Without a look for so long, the data may be those of a Redis that was restored, or paused and replaced, or Redis's clock
 * was set ahead: the marker's dates are wrong then.
 */
const LONGEST_SILENCE_MS = 5000;
/** Longer than every process takes to notice a new marker. */
const SETTLING_MS = 1500;
const MARKER_MS = 1_200_000;
/** A clock that is adjusted goes back by less. */
const ADJUSTMENT_MS = 1000;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end`;

/**
 * KEYS: marker. ARGV: the run of Redis; id and beat of the marker that the caller knows, or '' and 0; how many milliseconds ago it
 * looked at that over this very connection, by a clock that cannot be set, or -1; `renew` where entries may have been dropped since, `confirm` where replicas have that marker;
 * the same as `latest` for what it has recorded itself; an id for a new marker; 1 where markers are to be confirmed.
 * Returns id, since, beat, ms until settled, 1 where the marker is confirmed, the time.
 */
export const LOOK = `${NOW}
local marker = redis.call('HMGET', KEYS[1], 'id', 'run', 'since', 'latest', 'beat', 'settled', 'confirmed')
local id, run, confirmed = marker[1], marker[2], marker[7]
local since, latest = tonumber(marker[3] or 0), tonumber(marker[4] or 0)
local beat, settled = tonumber(marker[5] or 0), tonumber(marker[6] or 0)
local known, knownBeat, passed = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local order, mine = ARGV[5], tonumber(ARGV[6])
local isKnown = id == known
local isNew = not id or run ~= ARGV[1] or beat > now + ${ADJUSTMENT_MS}
  or isKnown and (knownBeat > beat or order ~= '')
  or now - beat > ${LONGEST_SILENCE_MS} and not (isKnown and now - beat <= passed + ${LONGEST_SILENCE_MS})
latest = math.max(latest, mine)
if isNew then
  if order ~= 'confirm' and (known ~= '' or id) then settled = now + ${SETTLING_MS} end
  confirmed = (order == 'confirm' or ARGV[8] ~= '1') and '1' or '0'
  id, since, beat = ARGV[7], math.max(now + 1, latest), now
elseif known ~= '' and not isKnown and mine > since then
  id, since = ARGV[7], mine
end
beat = math.max(beat, now)
local written = redis.pcall('HSET', KEYS[1], 'id', id, 'run', ARGV[1], 'since', text(since), 'latest', text(latest),
  'beat', text(beat), 'settled', text(settled), 'confirmed', confirmed)
if type(written) == 'table' and written.err then
  if id == ARGV[7] then return written end
else
  redis.call('PEXPIRE', KEYS[1], ${MARKER_MS})
end
return {id, text(since), text(beat), text(settled - now), confirmed, text(now)}`;

/**
 * KEYS: proof, marker. ARGV: the marker's id; when the entry may be forgotten; the first moment after the date of the proof; the caller's time, and by
 * how much that may differ. Returns `first`, `replayed`, or why nothing can be said: `moved` (another marker), `clock`,
 * `late`, `silent` (nobody has looked).
 */
export const INSERT = `${NOW}
local marker = redis.call('HMGET', KEYS[2], 'id', 'latest', 'beat')
if marker[1] ~= ARGV[1] then return 'moved' end
if math.abs(now - ARGV[4]) > tonumber(ARGV[5]) then return 'clock' end
local left = ARGV[2] - now
if left < 1 then return 'late' end
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', text(left)) then return 'replayed' end
if now - marker[3] > ${LONGEST_SILENCE_MS} then return 'silent' end
if tonumber(ARGV[3]) > tonumber(marker[2]) then redis.call('HSET', KEYS[2], 'latest', ARGV[3]) end
return 'first'`;
