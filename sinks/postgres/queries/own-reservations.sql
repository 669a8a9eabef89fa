-- Which of these records, by their places from 1, hold their message's reservation. By key, a row each: a batch's few
-- duplicates must not scan a day.
select asked.place::integer as place
from unnest($1::text[], $2::uuid[], $3::date[], $4::text[], $5::integer[], $6::bigint[], $7::integer[]) with ordinality
  as asked (tenant_id, message_id, day, topic, partition, record_offset, generation, place)
cross join lateral (
  select r.topic, r.partition, r.record_offset
  from reservations r
  where r.day = asked.day and r.tenant_id = asked.tenant_id and r.message_id = asked.message_id and r.generation = asked.generation
  limit 1
) as stored
where stored.topic = asked.topic and stored.partition = asked.partition and stored.record_offset = asked.record_offset
