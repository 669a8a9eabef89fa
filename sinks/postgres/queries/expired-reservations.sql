-- Pending reservations of messages that could be sent no more at $1 and that nobody is known to have tried to send; $2 at
-- most. Reads every attached day once.
select r.day::text as day, r.tenant_id, r.message_id, r.generation
from reservations r
where r.state = 'pending' and r.expires_at < $1::timestamptz
  and not exists (
    select from attempts a
    where a.tenant_id = r.tenant_id and a.message_id = r.message_id and a.generation = r.generation
  )
order by r.day, r.expires_at
limit $2
