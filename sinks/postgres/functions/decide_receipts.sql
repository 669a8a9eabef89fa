-- Decides each (attempt, transition) once, by the record that brings it first, and answers every question with the
-- attempt as it stood before its transition. An attempt has one transition under way at a time: where one was decided
-- that changes something and the attempts table does not have its feedback yet, others are 'earlier_pending'. Two that
-- both began from the same state would both settle its money. What an attempt was before an earlier transition it was
-- told to be: a report of that is 'already' known, whoever told it (send writes no decision), or its event would be
-- written twice. Where a partition is not the caller's any more nothing is done, and the only row is 'not_the_owner'.
create or replace function decide_receipts(
  p_owned_topics text[], p_owned_partitions integer[], p_epochs bigint[],
  p_topics text[], p_partitions integer[], p_offsets bigint[],
  p_tenants text[], p_messages uuid[], p_generations integer[], p_attempts integer[],
  p_providers text[], p_provider_ids text[], p_transitions text[]
) returns table (place integer, outcome text, attempt jsonb) language plpgsql
-- A young table looks small: planned by its statistics, each batch would scan it whole until the next analyze.
-- Rows are always few and looked up by key.
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  -- The attempts found, as their keys, by the question's place; nulls where there is none.
  v_tenants text[];
  v_messages uuid[];
  v_generations integer[];
  v_attempts integer[];
begin
  if not owns(p_owned_topics, p_owned_partitions, p_epochs) then
    return query select 0, 'not_the_owner', null::jsonb;
    return;
  end if;

  select array_agg(f.tenant_id order by q.place), array_agg(f.message_id order by q.place),
    array_agg(f.generation order by q.place), array_agg(f.attempt order by q.place)
  into v_tenants, v_messages, v_generations, v_attempts
  from unnest(p_tenants, p_messages, p_generations, p_attempts, p_providers, p_provider_ids) with ordinality
    as q (tenant_id, message_id, generation, attempt, provider, provider_id, place)
  left join lateral (
    select * from (
      select a.tenant_id, a.message_id, a.generation, a.attempt, a.created_at, a.lease_id from attempts a
      where a.tenant_id = q.tenant_id and a.message_id = q.message_id and a.generation = q.generation
        and a.attempt = q.attempt
      union all
      (select a.tenant_id, a.message_id, a.generation, a.attempt, a.created_at, a.lease_id from attempts a
      where q.message_id is null and a.provider = q.provider and a.provider_message_id = q.provider_id
      order by a.attempted_at desc limit 1)
    ) a
    -- What was paid of a lease is known once settle() has booked it: until then its attempt is not, either.
    where a.lease_id is null or exists (
      select from reservations r
      where r.day = (a.created_at at time zone 'UTC')::date and r.tenant_id = a.tenant_id
        and r.message_id = a.message_id and r.generation = a.generation
        and r.lease_id || '.' || r.spend_no = a.lease_id
    )
  ) f on true;

  -- One after the other, in the order of store_attempts(): what another call decides meanwhile is seen below.
  perform 1
  from unnest(v_tenants, v_messages, v_generations, v_attempts) as q (tenant_id, message_id, generation, attempt)
  join attempts a using (tenant_id, message_id, generation, attempt)
  order by a.tenant_id, a.message_id, a.generation, a.attempt
  for no key update of a;

  with named as materialized (
    -- Within the batch, too, the first record decides.
    select distinct on (q.tenant_id, q.message_id, q.generation, q.attempt, q.transition) q.*
    from unnest(v_tenants, v_messages, v_generations, v_attempts, p_transitions, p_topics, p_partitions, p_offsets)
      with ordinality
      as q (tenant_id, message_id, generation, attempt, transition, topic, partition, record_offset, place)
    where q.message_id is not null
    order by q.tenant_id, q.message_id, q.generation, q.attempt, q.transition, q.place
  ),
  fresh as (
    -- And the first transition of an attempt is the only one.
    select distinct on (n.tenant_id, n.message_id, n.generation, n.attempt) n.*
    from named n
    where not exists (
      select from receipt_decisions d
      where d.tenant_id = n.tenant_id and d.message_id = n.message_id and d.generation = n.generation
        and d.attempt = n.attempt and (d.transition = n.transition or was_told(d.prior_state, n.transition))
    )
    order by n.tenant_id, n.message_id, n.generation, n.attempt, n.place
  )
  insert into receipt_decisions (
    tenant_id, message_id, generation, attempt, transition, topic, partition, record_offset, prior_state, prior_class,
    prior_terminal, prior_sequence, prior_posted_cash, prior_posted_units, prior_occurred_at
  )
  select
    f.tenant_id, f.message_id, f.generation, f.attempt, f.transition, f.topic, f.partition, f.record_offset,
    a.state, a.class, a.terminal, a.sequence, a.posted_cash, a.posted_units, a.occurred_at
  from fresh f
  join attempts a using (tenant_id, message_id, generation, attempt)
  where not exists (
    select from receipt_decisions d
    where d.tenant_id = f.tenant_id and d.message_id = f.message_id and d.generation = f.generation
      and d.attempt = f.attempt and d.prior_sequence >= a.sequence and takes_effect(d.prior_state, d.transition)
  )
  on conflict do nothing;

  return query
  select
    q.place::integer,
    case
      when a.message_id is null then 'unknown_attempt'
      when d.transition is null and told.before then 'already'
      when d.transition is null then 'earlier_pending'
      when (d.topic, d.partition, d.record_offset) <> (q.topic, q.partition, q.record_offset) then 'already'
      when d.decided_at = now() then 'first'
      else 'again'
    end,
    case when d.transition is not null then to_jsonb(a) || jsonb_build_object(
      'state', d.prior_state, 'class', d.prior_class, 'terminal', d.prior_terminal, 'sequence', d.prior_sequence,
      'posted_cash', d.prior_posted_cash::text, 'posted_units', d.prior_posted_units,
      'created_at', extract(epoch from a.created_at) * 1000,
      'attempted_at', extract(epoch from a.attempted_at) * 1000,
      'occurred_at', extract(epoch from d.prior_occurred_at) * 1000,
      'reservation', case when r.state is not null then jsonb_build_object(
        'cash', r.cash::text, 'units', r.units, 'state', r.state, 'currency', c.currency) end
    ) end
  from unnest(v_tenants, v_messages, v_generations, v_attempts, p_transitions, p_topics, p_partitions, p_offsets)
    with ordinality
    as q (tenant_id, message_id, generation, attempt, transition, topic, partition, record_offset, place)
  left join attempts a using (tenant_id, message_id, generation, attempt)
  left join receipt_decisions d
    on d.tenant_id = a.tenant_id and d.message_id = a.message_id and d.generation = a.generation
    and d.attempt = a.attempt and d.transition = q.transition
  left join lateral (
    select true as before from receipt_decisions o
    where o.tenant_id = a.tenant_id and o.message_id = a.message_id and o.generation = a.generation
      and o.attempt = a.attempt and was_told(o.prior_state, q.transition)
    limit 1
  ) told on true
  left join reservations r
    on r.day = (a.created_at at time zone 'UTC')::date and r.tenant_id = a.tenant_id
    and r.message_id = a.message_id and r.generation = a.generation
  left join accounts c on c.account_id = r.account_id
  order by q.place;
end $$;
