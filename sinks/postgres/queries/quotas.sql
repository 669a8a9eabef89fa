-- Quotas that limit something, with what is held and used of them in the period of $1 (a day, UTC).
select q.tenant_id, nullif(q.business_line, '') as business_line, q.channel, q.period,
  quota_starts(q.period, $1::date)::text as starts, q.currency, q.elastic_factor::float8 as elastic_factor,
  q.cash_limit, q.cash_stop, q.units_limit, q.units_stop,
  coalesce(c.cash_held, 0)::bigint as cash_held, coalesce(c.cash_used, 0)::bigint as cash_used,
  coalesce(c.units_held, 0)::bigint as units_held, coalesce(c.units_used, 0)::bigint as units_used,
  c.passed_at
from quotas q
left join quota_counters c on c.quota_id = q.quota_id and c.starts = quota_starts(q.period, $1::date)
where q.cash_limit is not null or q.units_limit is not null
order by q.tenant_id, q.business_line, q.channel, q.period
