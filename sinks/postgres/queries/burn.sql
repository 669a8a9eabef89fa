-- What messages reserved since $1 took out of each account's available: what they cost, or, while pending, may cost.
-- An account that is younger than $1 counts since it was opened.
select a.tenant_id, a.business_line, a.currency, b.cash_available, b.pv_available,
  greatest(a.created_at, $1::timestamptz) as since, now() as until,
  coalesce(r.cash, 0)::bigint as cash_spent, coalesce(r.units, 0)::bigint as units_spent
from accounts a
join budgets b using (account_id)
left join (
  select account_id,
    sum(case state when 'pending' then cash when 'voided' then 0 else posted_cash - reversed_cash end) as cash,
    sum(case state when 'pending' then units when 'voided' then 0 else posted_units - reversed_units end) as units
  from reservations
  where reserved_at >= $1::timestamptz
  group by account_id
) r using (account_id)
order by a.tenant_id, a.business_line
