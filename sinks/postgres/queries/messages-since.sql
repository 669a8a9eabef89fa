-- What is known of messages since a delivery of theirs (generation) ended without one. delivered: that generation or a
-- later one holds money, or was paid for. uncertain: of an attempt nobody knows whether it arrived.
select q.place::integer as place,
  exists (
    select from reservations r
    where r.day = q.day and r.tenant_id = q.tenant_id and r.message_id = q.message_id
      and r.generation >= q.generation and r.state <> 'voided'
  ) as delivered,
  exists (
    select from attempts a
    where a.tenant_id = q.tenant_id and a.message_id = q.message_id and a.state in ('held', 'unknown')
  ) as uncertain
from unnest($1::text[], $2::uuid[], $3::integer[], $4::date[]) with ordinality
  as q (tenant_id, message_id, generation, day, place)
order by q.place
