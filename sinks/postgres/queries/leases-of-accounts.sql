-- Leases that hold something, and those that were set aside.
select l.lease_id, a.tenant_id, a.business_line, a.currency, l.topic, l.partition, l.set_aside_at, l.granted_at,
  l.cash_granted, l.cash_spent, l.cash_returned, l.units_granted, l.units_spent, l.units_returned
from leases l
join accounts a using (account_id)
where l.cash_granted > l.cash_spent + l.cash_returned or l.units_granted > l.units_spent + l.units_returned
order by a.tenant_id, a.business_line, l.topic, l.partition, l.lease_id
