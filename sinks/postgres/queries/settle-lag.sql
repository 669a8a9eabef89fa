-- From reserve to resolution, of what was reserved since $1 and is resolved: seconds, all accounts together.
select count(*) as resolved,
  (percentile_cont(0.5) within group (order by extract(epoch from resolved_at - reserved_at)))::float8 as median,
  (percentile_cont(0.99) within group (order by extract(epoch from resolved_at - reserved_at)))::float8 as p99
from reservations
where reserved_at >= $1::timestamptz and state <> 'pending'
