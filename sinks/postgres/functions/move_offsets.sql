-- Moves a consumer's offsets if every slice begins where the last one ended; else moves none and answers the places
-- (from 1) of the slices that do not: another owner was here.
create or replace function move_offsets(
  p_consumer text, p_topics text[], p_partitions integer[], p_starts bigint[], p_nexts bigint[], p_passed timestamptz[]
) returns setof integer language plpgsql
-- A young table looks small: planned by its statistics, each batch would scan it whole until the next analyze.
-- Rows are always few and looked up by key.
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
  perform 1
  from unnest(p_topics, p_partitions) as slice (topic, partition)
  join offsets o using (topic, partition)
  where o.consumer = p_consumer
  order by topic, partition
  for update of o;

  return query
  select slice.place::integer
  from unnest(p_topics, p_partitions, p_starts) with ordinality as slice (topic, partition, start, place)
  left join offsets o
    on o.consumer = p_consumer and o.topic = slice.topic and o.partition = slice.partition
  where o.next_offset is distinct from slice.start;
  if found then
    return;
  end if;

  update offsets o
  set next_offset = slice.next, passed = greatest(o.passed, slice.passed)
  from unnest(p_topics, p_partitions, p_nexts, p_passed) as slice (topic, partition, next, passed)
  where o.consumer = p_consumer and o.topic = slice.topic and o.partition = slice.partition;
end $$;
