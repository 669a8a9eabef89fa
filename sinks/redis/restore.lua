-- Puts entries of first-seen.lua back, never over one that is there.
-- ARGV: key prefix; 1 to write, 0 to compare only; number of topics; the topics; the records as in first-seen.lua;
--   for each record the time at which it expires, ms since the epoch, comma-separated.
-- Answers how many were absent (and, with 1, are written now), are there already with the same coordinates, and are held
-- by another record.
local prefix, write, topics = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local records, place = ARGV[4 + topics], 0
local absent, same, others = 0, 0, 0
for expiry in string.gmatch(ARGV[5 + topics], '%d+') do
  local from = place * 53
  place = place + 1
  local key = prefix .. string.sub(records, from + 1, from + 16)
  local value = string.sub(records, from + 17, from + 52) .. ARGV[3 + string.byte(records, from + 53)]
  local kept
  if write then
    kept = redis.call('SET', key, value, 'NX', 'GET', 'PXAT', expiry)
  else
    kept = redis.call('GET', key)
  end
  if not kept then
    absent = absent + 1
  elseif string.sub(kept, 25) == string.sub(value, 25) then
    same = same + 1
  else
    others = others + 1
  end
end
return { absent, same, others }
