-- Accounts whose state is another than the topic `accounts` was told last, or that were not told for $1 seconds; at most
-- $2. Transfers booked before they had cash_left count with their own amount.
select s.*, now() as at, coalesce(p.version, 0)::bigint as version
from (
  select a.account_id, a.tenant_id, a.business_line, a.currency, a.open,
    b.cash_granted, b.cash_available, b.cash_pending, b.cash_posted,
    b.pv_granted, b.pv_available, b.pv_pending, b.pv_posted,
    cash.recharged_to as cash_recharged_to, pv.recharged_to as pv_recharged_to,
    greatest(cash.created_at, pv.created_at)::text as recharged_at,
    case
      when cash.created_at is null and pv.created_at is null then 0::smallint
      else least(
        budget_level(b.cash_available, cash.recharged_to), budget_level(b.pv_available, pv.recharged_to))
    end as level
  from accounts a
  join budgets b using (account_id)
  left join lateral (
    select coalesce(t.cash_left, t.cash) as recharged_to, t.created_at
    from transfers t
    where t.account_id = a.account_id and t.cash > 0
    order by t.created_at desc
    limit 1
  ) cash on true
  left join lateral (
    select coalesce(t.units_left, t.units) as recharged_to, t.created_at
    from transfers t
    where t.account_id = a.account_id and t.units > 0
    order by t.created_at desc
    limit 1
  ) pv on true
) s
left join account_levels p using (account_id)
where p.account_id is null
  or (p.level, p.open) <> (s.level, s.open)
  or p.recharged_at is distinct from s.recharged_at::timestamptz
  or p.published_at < now() - make_interval(secs => $1)
order by account_id
limit $2
