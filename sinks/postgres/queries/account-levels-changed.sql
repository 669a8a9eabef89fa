-- Accounts whose state is another than the topic `accounts` was told last, or that were not told for $1 seconds; at most
-- $2.
select s.*, s.recharged_at::text as recharged_text, now() as at, coalesce(p.version, 0)::bigint as version
from (
  select a.account_id, a.tenant_id, a.business_line, a.currency, a.open,
    b.cash_granted, b.cash_available, b.cash_pending, b.cash_posted,
    b.pv_granted, b.pv_available, b.pv_pending, b.pv_posted,
    l.cash_to as cash_recharged_to, l.units_to as pv_recharged_to,
    greatest(l.cash_at, l.units_at) as recharged_at,
    b.cash_available + u.cash as cash_left, b.pv_available + u.units as pv_left,
    coalesce(a.recalling_at > now() - interval '10 seconds', false) as recalling,
    case
      when l.cash_to is null and l.units_to is null then 0::smallint
      else least(budget_level(b.cash_available + u.cash, l.cash_to), budget_level(b.pv_available + u.units, l.units_to))
    end as level
  from accounts a
  join budgets b using (account_id)
  left join last_recharges l using (account_id)
  -- What leases have not spent is left, too.
  cross join lateral (
    select coalesce(sum(cash_granted - cash_spent - cash_returned), 0)::bigint as cash,
      coalesce(sum(units_granted - units_spent - units_returned), 0)::bigint as units
    from leases where leases.account_id = a.account_id
  ) u
) s
left join account_levels p using (account_id)
where p.account_id is null
  or (p.level, p.open, p.recalling) <> (s.level, s.open, s.recalling)
  or p.recharged_at is distinct from s.recharged_at
  or p.published_at < now() - make_interval(secs => $1)
order by account_id
limit $2
