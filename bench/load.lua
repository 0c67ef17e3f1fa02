-- What wrk sends: BENCH_PATHS holds one path a connection, each thread has one.
-- With BENCH_KEY each request has a key of its own, which begins with that.
local threads = 0
function setup(thread)
  thread:set("place", threads)
  threads = threads + 1
end
function init(args)
  local paths = {}
  for path in string.gmatch(os.getenv("BENCH_PATHS"), "%S+") do
    paths[#paths + 1] = path
  end
  local body = os.getenv("BENCH_BODY")
  if body == "" then
    body = nil
  end
  local headers = {}
  if body then
    headers["Content-Type"] = "application/json"
  end
  local key, number = os.getenv("BENCH_KEY"), 0
  local function format()
    return wrk.format(
      body and "POST" or "GET", paths[place % #paths + 1], headers, body
    )
  end
  if key == "" then
    local message = format()
    request = function() return message end
  else
    request = function()
      number = number + 1
      headers["Idempotency-Key"] = key .. "-" .. place .. "-" .. number
      return format()
    end
  end
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f,'
      .. ' "max_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
