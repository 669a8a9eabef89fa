-- The time of the slowest partition of the slowest of these consumers; null where one has none yet.
select (extract(epoch from min(passed)) * 1000)::float8 as passed
from offsets
where consumer = any ($1::text[])
having count(*) = count(passed)
