-- SPDX-License-Identifier: Apache-2.0
-- Owns what wrk sends and says for bench/compare: the requests of the file that BENCH_REQUESTS
-- names, in turn and as they stand, and at the end a line of JSON.

-- For each request a line with its length in bytes, then its bytes.
local function read_requests(path)
   local file = assert(io.open(path, "rb"))
   local requests = {}
   for length in file:lines() do
      requests[#requests + 1] = file:read(tonumber(length))
   end
   file:close()
   return requests
end

function init()
   local requests = read_requests(os.getenv("BENCH_REQUESTS"))
   if #requests == 1 then
      -- wrk asks once, and sends the same bytes ever after without a call into Lua.
      wrk.format = function() return requests[1] end
      return
   end
   local next_one = 0
   request = function()
      next_one = next_one % #requests + 1
      return requests[next_one]
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"bytes":%d,"p50_us":%d,"p99_us":%d,"errors":'
         .. '{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
