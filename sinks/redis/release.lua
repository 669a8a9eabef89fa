-- Deletes keys that are held by these very coordinates. ARGV as in first-seen.lua: key prefix; number of topics; topics; records.
local prefix, topics = ARGV[1], tonumber(ARGV[2])
local records = ARGV[3 + topics]
local released = 0
for place = 1, #records / 53 do
  local from = (place - 1) * 53
  local key = prefix .. string.sub(records, from + 1, from + 16)
  local at = string.sub(records, from + 41, from + 52) .. ARGV[2 + string.byte(records, from + 53)]
  local kept = redis.call('GET', key)
  -- Content and message id (24 bytes) may be whatever they are: the coordinates say whose it is.
  if kept and string.sub(kept, 25) == at then
    released = released + redis.call('DEL', key)
  end
end
return released
