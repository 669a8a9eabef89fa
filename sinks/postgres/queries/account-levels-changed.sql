-- Accounts whose state is another than the topic `accounts` was told last, or that were not told for $1 seconds; at most
-- $2.
select s.*, s.recharged_at::text as recharged_text, now() as at, coalesce(p.version, 0)::bigint as version
from (
  select a.account_id, a.tenant_id, a.business_line, a.currency, a.open,
    b.cash_granted, b.cash_available, b.cash_pending, b.cash_posted,
    b.pv_granted, b.pv_available, b.pv_pending, b.pv_posted,
    l.cash_to as cash_recharged_to, l.units_to as pv_recharged_to,
    greatest(l.cash_at, l.units_at) as recharged_at,
    case
      when l.cash_to is null and l.units_to is null then 0::smallint
      else least(budget_level(b.cash_available, l.cash_to), budget_level(b.pv_available, l.units_to))
    end as level
  from accounts a
  join budgets b using (account_id)
  left join last_recharges l using (account_id)
) s
left join account_levels p using (account_id)
where p.account_id is null
  or (p.level, p.open) <> (s.level, s.open)
  or p.recharged_at is distinct from s.recharged_at
  or p.published_at < now() - make_interval(secs => $1)
order by account_id
limit $2
