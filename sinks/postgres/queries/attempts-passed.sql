-- The slowest partition's time; null where one has none yet.
select (extract(epoch from min(passed)) * 1000)::float8 as passed
from offsets
where consumer = $1
having count(*) = count(passed)
