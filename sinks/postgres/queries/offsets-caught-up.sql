update offsets o
set passed = greatest(o.passed, $4::timestamptz)
from unnest($2::text[], $3::integer[]) as caught (topic, partition)
where o.consumer = $1 and o.topic = caught.topic and o.partition = caught.partition
