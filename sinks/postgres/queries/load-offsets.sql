-- Made where absent, then read: whoever comes second finds the first one's row.
with asked as materialized (
  select * from unnest($2::text[], $3::integer[], $4::bigint[]) with ordinality
    as partitions (topic, partition, beginning, place)
),
made as (
  insert into offsets (consumer, topic, partition, next_offset)
  select $1::text, topic, partition, beginning from asked
  on conflict (consumer, topic, partition) do nothing
)
select coalesce(o.next_offset, asked.beginning) as next_offset
from asked
left join offsets o on o.consumer = $1 and o.topic = asked.topic and o.partition = asked.partition
order by asked.place
