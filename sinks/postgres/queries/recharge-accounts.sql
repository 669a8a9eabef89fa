-- Open accounts of these tenants with the balances right after their last recharges, and the number of the newest
-- proposal: in one statement, so that whoever decides on this state knows how new it is.
select now() as now, a.account_id, a.tenant_id, a.business_line,
  b.cash_granted, b.cash_available, b.cash_pending, b.cash_posted,
  b.pv_granted, b.pv_available, b.pv_pending, b.pv_posted,
  (
    select coalesce(t.cash_left, t.cash) from transfers t
    where t.account_id = a.account_id and t.cash > 0
    order by t.created_at desc
    limit 1
  ) as cash_recharged_to,
  (
    select coalesce(t.units_left, t.units) from transfers t
    where t.account_id = a.account_id and t.units > 0
    order by t.created_at desc
    limit 1
  ) as pv_recharged_to,
  coalesce((select max(r.seq) from recharges r where r.account_id = a.account_id), 0) as seq
from accounts a
join budgets b using (account_id)
where a.open and a.tenant_id = any ($1::text[])
order by a.account_id
