-- The load, for wrk: each thread sends the requests of its own file, one line each and each line once.
-- Arguments: the path of the files without their number, the target, the connection's Host, "close" or "keep-alive",
-- more header lines, each with its end, and the milliseconds that a connection waits before each request.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } bench_time;
  int clock_gettime(int clock, bench_time *time);
]]

local MONOTONIC = 1
local threads = {}

local function now()
  local time = ffi.new("bench_time")
  ffi.C.clock_gettime(MONOTONIC, time)
  return tonumber(time.seconds) * 1e6 + tonumber(time.nanoseconds) / 1e3
end

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  closes = args[4] == "close"
  lines = assert(io.open(args[1] .. number, "r"))
  head = "GET " .. args[2] .. " HTTP/1.1\r\nHost: " .. args[3] .. "\r\nConnection: " .. args[4] .. "\r\n"
  tail = args[5] .. "\r\n"
  pause = tonumber(args[6])
  -- With a delay of its own for each, wrk sends slower, so there is none where nobody waits.
  if pause > 0 then delay = function() return math.random(0, math.floor(2 * pause)) end end
  begun = now()
  ended = 0
end

function request()
  local line = lines:read("*l")
  if line == nil then
    -- Nothing is sent twice: the thread stops, and what it still wants to send is no token request.
    if ended == 0 then ended = now() end
    wrk.thread:stop()
    return "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
  end
  local space = line:find(" ", 1, true)
  if space == nil then return head .. "Authorization: Bearer " .. line .. "\r\n" .. tail end
  return head
    .. "Authorization: DPoP " .. line:sub(1, space - 1)
    .. "\r\nDPoP: " .. line:sub(space + 1) .. "\r\n"
    .. tail
end

function done(summary, latency, requests)
  local closes, exhausted, begun, ended = false, 0, math.huge, 0
  for _, thread in ipairs(threads) do
    closes = thread:get("closes")
    begun = math.min(begun, thread:get("begun"))
    if thread:get("ended") > 0 then
      exhausted = exhausted + 1
      ended = math.max(ended, thread:get("ended"))
    end
  end
  local microseconds = summary.duration
  if exhausted == #threads then microseconds = ended - begun end
  local errors = summary.errors
  -- Where each connection is to be closed, wrk sends on it again, for the answer does not repeat the "close", and reads
  -- its end: no answer is missing.
  local cut = 0
  if not closes then cut = errors.read end
  io.write(string.format(
    '\nBENCH {"requests":%d,"microseconds":%d,"exhausted":%s,"refused":%d,"failed":%d,"p50":%d,"p99":%d,"longest":%d,"bytes":%d}\n',
    summary.requests, microseconds, tostring(exhausted > 0), errors.status,
    errors.connect + cut + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max, summary.bytes
  ))
end
