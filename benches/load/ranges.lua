-- Asks for the links and ranges of a file, one "TARGET RANGE" a line, over and over. Requests are made before the run, so
-- that the generator costs as little as it can. A second argument is the host they name. Prints one line for the benchmark: RESULT {json}.

local requests, at = {}, 0

function init(args)
    for line in io.lines(args[1]) do
        local target, range = line:match("^(%S+) (%S+)$")
        requests[#requests + 1] = wrk.format("GET", target, { Range = range, Host = args[2] })
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests":%d,"bytes":%d,"micros":%d,"errors":%d,"p99":%d}\n',
        summary.requests, summary.bytes, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(99)
    ))
end
