-- wrk script: GETs a path, or POSTs objects with names of their own. Arguments after '--': token, [resource, prefix]
local counter, thread_number = 0, 0
function setup(thread) thread:set("id", thread_number); thread_number = thread_number + 1 end
function init(args)
  headers = {["Authorization"] = "Bearer " .. args[1], ["Content-Type"] = "application/json", ["Accept"] = "application/json"}
  resource, prefix = args[2], args[3]
end
local pod_spec = '"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"busybox:1","command":["sleep","1000"],"env":[{"name":"A","value":"1"}],"ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"cpu":"200m","memory":"128Mi"}}}]}'
function request()
  if not resource then return wrk.format("GET", nil, headers) end
  counter = counter + 1
  local meta = string.format('"metadata":{"name":"%s-%d-%d","labels":{"app":"bench"}}', prefix, id, counter)
  local body
  if resource == "pods" then body = '{"apiVersion":"v1","kind":"Pod",' .. meta .. ',' .. pod_spec .. '}'
  else body = '{"apiVersion":"v1","kind":"ConfigMap",' .. meta .. ',"data":{"k":"' .. string.rep("v", 200) .. '"}}' end
  return wrk.format("POST", "/api/v1/namespaces/default/" .. resource, headers, body)
end
function done(summary, latency)
  io.write(string.format("RESULT %d %.3f %d %d %d\n", summary.requests, summary.duration / 1e6, latency:percentile(50), summary.errors.status, summary.bytes))
end
