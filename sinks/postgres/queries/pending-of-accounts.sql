-- What reservations, leases and waiting spends say is pending, beside the counters that must say the same, of every account; all in one snapshot.
-- Reads every attached day once.
select a.tenant_id, a.business_line, a.currency,
  b.cash_pending - coalesce(r.cash, 0)::bigint as cash_drift,
  b.pv_pending - coalesce(r.units, 0)::bigint as pv_drift,
  extract(epoch from now() - r.oldest)::float8 as oldest_seconds
from accounts a
join budgets b using (account_id)
left join (
  select account_id, sum(cash) as cash, sum(units) as units, min(oldest) as oldest
  from (
    select account_id, sum(cash) as cash, sum(units) as units, min(reserved_at) as oldest
    from reservations
    where state = 'pending'
    group by account_id
    union all
    select account_id, sum(cash), sum(units), min(waiting_since) from waiting_spends group by account_id
    union all
    -- Unspent: of no message, so of no age.
    select account_id, sum(cash_granted - cash_spent - cash_returned), sum(units_granted - units_spent - units_returned), null
    from leases
    group by account_id
  ) held
  group by account_id
) r using (account_id)
order by a.tenant_id, a.business_line
