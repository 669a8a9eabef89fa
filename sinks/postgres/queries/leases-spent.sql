-- What every lease has spent as booked, and how far the consumer that books it has come; all in one snapshot.
select l.lease_id, a.tenant_id, a.business_line, a.currency, l.cash_spent, l.units_spent, l.opened_at,
  (select coalesce(jsonb_object_agg(o.topic || '/' || o.partition, o.next_offset), '{}')
   from offsets o where o.consumer = $1) as offsets
from leases l
join accounts a using (account_id)
order by a.tenant_id, a.business_line, l.lease_id
