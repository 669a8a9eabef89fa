-- Lets each message back in once per generation, stage and release, by the record that brings it first, and answers
-- each question in order. A replay or redrive (release 0) passes only where nothing says that the message is past this
-- stage in this generation: whatever the ledger has reserved is queued, under way, held or ended. A release was
-- parked: before budget the ledger itself tells it from a duplicate; after route it holds its money and is its next
-- attempt. Where a partition is not the caller's any more nothing is done, and the only row is 'not_the_owner'.
create or replace function admit_passes(
  p_owned_topics text[], p_owned_partitions integer[], p_epochs bigint[],
  p_tenants text[], p_messages uuid[], p_generations integer[], p_stages text[], p_releases integer[],
  p_attempts integer[], p_days date[], p_topics text[], p_partitions integer[], p_offsets bigint[],
  p_origin_topics text[], p_origin_partitions integer[], p_origin_offsets bigint[], p_runs text[]
) returns table (place integer, outcome text) language plpgsql
-- A young table looks small: planned by its statistics, each batch would scan it whole until the next analyze.
-- Rows are always few and looked up by key.
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_closed date;
  -- Why a question gets no row; null: it gets one, or has one.
  v_kinds text[];
begin
  if not owns(p_owned_topics, p_owned_partitions, p_epochs) then
    return query select 0, 'not_the_owner';
    return;
  end if;

  select max(day) into v_closed from reservation_days where not attached;

  select array_agg(
    case
      when p.tenant_id is not null then null
      when q.release_no = 0 and q.day <= v_closed then 'detached'
      when q.release_no = 0 and r.state is not null then 'reserved'
      when q.release_no = 0 and a.newest is not null then 'attempted'
      when q.stage = 'send' and a.newest >= q.attempt then 'attempted'
      when q.stage = 'send' and r.state is null then 'unpaid'
      when q.stage = 'send' and r.state <> 'pending' then 'reserved'
    end
    order by q.place
  )
  into v_kinds
  from unnest(p_tenants, p_messages, p_generations, p_stages, p_releases, p_attempts, p_days) with ordinality
    as q (tenant_id, message_id, generation, stage, release_no, attempt, day, place)
  left join passes p using (tenant_id, message_id, generation, stage, release_no)
  left join reservations r
    on r.day = q.day and r.tenant_id = q.tenant_id and r.message_id = q.message_id and r.generation = q.generation
  left join lateral (
    select max(a.attempt) as newest from attempts a
    where a.tenant_id = q.tenant_id and a.message_id = q.message_id and a.generation = q.generation
  ) a on true;

  insert into passes (
    tenant_id, message_id, generation, stage, release_no, topic, partition, record_offset, origin_topic,
    origin_partition, origin_offset, run_id
  )
  -- Within the batch, too, the first record passes. In key order, so that two batches never wait for each other.
  select distinct on (tenant_id, message_id, generation, stage, release_no)
    tenant_id, message_id, generation, stage, release_no, topic, partition, record_offset, origin_topic,
    origin_partition, origin_offset, run_id
  from unnest(
    p_tenants, p_messages, p_generations, p_stages, p_releases, p_topics, p_partitions, p_offsets, p_origin_topics,
    p_origin_partitions, p_origin_offsets, p_runs, v_kinds
  ) with ordinality as q (
    tenant_id, message_id, generation, stage, release_no, topic, partition, record_offset, origin_topic,
    origin_partition, origin_offset, run_id, kind, place
  )
  where kind is null
  order by tenant_id, message_id, generation, stage, release_no, place
  on conflict do nothing;

  return query
  select
    q.place::integer,
    case
      when q.kind is not null then q.kind
      when (p.topic, p.partition, p.record_offset) = (q.topic, q.partition, q.record_offset) then 'pass'
      when q.release_no > 0 and q.stage <> 'send'
        and (p.origin_topic, p.origin_partition, p.origin_offset)
          <> (q.origin_topic, q.origin_partition, q.origin_offset) then 'twin'
      else 'passed'
    end
  from unnest(
    p_tenants, p_messages, p_generations, p_stages, p_releases, p_topics, p_partitions, p_offsets, p_origin_topics,
    p_origin_partitions, p_origin_offsets, v_kinds
  ) with ordinality as q (
    tenant_id, message_id, generation, stage, release_no, topic, partition, record_offset, origin_topic,
    origin_partition, origin_offset, kind, place
  )
  left join passes p using (tenant_id, message_id, generation, stage, release_no)
  order by q.place;
end $$;
