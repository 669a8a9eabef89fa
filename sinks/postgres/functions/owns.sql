-- Whether the caller owns these partitions, each named once: their epochs are still the ones that it took them over
-- under. Where it does they are shared until its transaction ends, so that who takes over waits for it, and then sees
-- what it wrote. To be asked first, before anything else is locked: so nobody waits in a circle.
create or replace function owns(
  p_topics text[], p_partitions integer[], p_epochs bigint[]
) returns boolean language plpgsql
-- As in reserve().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_owned integer;
begin
  perform 1
  from unnest(p_topics, p_partitions, p_epochs) as named (topic, partition, epoch)
  join partition_owners o using (topic, partition)
  where o.epoch = named.epoch
  order by topic, partition
  for share of o;
  get diagnostics v_owned = row_count;
  return v_owned = cardinality(p_topics);
end $$;
