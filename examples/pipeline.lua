-- For wrk: each connection sends sixteen requests at once, and again when their answers have come.

local burst

function init()
  local one = wrk.format()
  burst = string.rep(one, 16)
end

function request()
  return burst
end
