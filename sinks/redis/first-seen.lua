-- One batch of set-if-absent that answers who was first.
-- KEYS: none. ARGV: key prefix; span in ms; marker; 1 where nothing was ever accepted yet, else 0; number of topics; the
--   topics; the records, packed:
--   16 bytes key, 36 bytes value (8 content, 16 message id, 4 partition, 8 offset), 1 byte place of its topic, from 1.
-- Kept under a key: those 36 bytes and the topic's name. Kept under the marker: since when every accepted key is here
-- (ms since the epoch; 0: all of them). It goes with the keys where Redis loses them, so its absence says that it did.
-- Answers the marker; then place (from 1) and kept value of each record that was not first; nothing for those that were.
local prefix, span, topics = ARGV[1], ARGV[2], tonumber(ARGV[5])
local records = ARGV[6 + topics]
local since = redis.call('GET', ARGV[3])
if not since then
  since = '0'
  if ARGV[4] == '0' then
    local now = redis.call('TIME')
    since = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
  end
  redis.call('SET', ARGV[3], since)
end
local found, n = { since }, 1
for place = 1, #records / 53 do
  local from = (place - 1) * 53
  local value = string.sub(records, from + 17, from + 52) .. ARGV[5 + string.byte(records, from + 53)]
  local kept = redis.call('SET', prefix .. string.sub(records, from + 1, from + 16), value, 'NX', 'GET', 'PX', span)
  if kept then
    found[n + 1] = place
    found[n + 2] = kept
    n = n + 2
  end
end
return found
