-- Open accounts of these tenants with the balances right after their last recharges, and the number of the newest
-- proposal: in one statement, so that whoever decides on this state knows how new it is.
select now() as now, a.account_id, a.tenant_id, a.business_line,
  b.cash_granted, b.cash_available, b.cash_pending, b.cash_posted,
  b.pv_granted, b.pv_available, b.pv_pending, b.pv_posted,
  l.cash_to as cash_recharged_to, l.units_to as pv_recharged_to,
  coalesce((select max(r.seq) from recharges r where r.account_id = a.account_id), 0) as seq
from accounts a
join budgets b using (account_id)
left join last_recharges l using (account_id)
where a.open and a.tenant_id = any ($1::text[])
order by a.account_id
