-- One batch of set-if-absent that answers who was first.
-- KEYS: none. ARGV: key prefix; span in ms; number of topics; the topics; the records, packed:
--   16 bytes key, 36 bytes value (8 content, 16 message id, 4 partition, 8 offset), 1 byte place of its topic, from 1.
-- Kept under a key: those 36 bytes and the topic's name. Answers place (from 1) and kept value of each record that was
-- not first; nothing for those that were.
local prefix, span, topics = ARGV[1], ARGV[2], tonumber(ARGV[3])
local records = ARGV[4 + topics]
local found, n = {}, 0
for place = 1, #records / 53 do
  local from = (place - 1) * 53
  local value = string.sub(records, from + 17, from + 52) .. ARGV[3 + string.byte(records, from + 53)]
  local kept = redis.call('SET', prefix .. string.sub(records, from + 1, from + 16), value, 'NX', 'GET', 'PX', span)
  if kept then
    found[n + 1] = place
    found[n + 2] = kept
    n = n + 2
  end
end
return found
