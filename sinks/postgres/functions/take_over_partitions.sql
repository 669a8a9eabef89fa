-- Makes the caller the owner of these partitions, each named once: whoever reserves under an older epoch is refused from
-- now on. Waits for batches that are being reserved under one, so that what they reserve is seen by the next batch.
create or replace function take_over_partitions(
  p_topics text[], p_partitions integer[]
) returns table (place integer, epoch bigint) language plpgsql
-- As in reserve().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
  return query
  with taken as (
    insert into partition_owners as o (topic, partition, epoch)
    select topic, partition, 1
    from unnest(p_topics, p_partitions) as named (topic, partition)
    -- In one order, so that two that take over never wait for each other.
    order by topic, partition
    on conflict (topic, partition) do update set epoch = o.epoch + 1, taken_at = now()
    returning topic, partition, epoch
  )
  select named.place::integer, taken.epoch
  from unnest(p_topics, p_partitions) with ordinality as named (topic, partition, place)
  join taken using (topic, partition);
end $$;
