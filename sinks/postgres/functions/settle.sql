-- Books spends of leases, resolves reservations and moves the consumer's offsets, together or not at all. Where a slice
-- does not begin at its stored offset nothing is done and kind is 'lost', amount the slice's place (from 1). Else kind is
-- an outcome of book_spends() or resolve_reservations() and amount how many came to it.
-- Spends come from `reserved`, postings from `feedback` and `refused`: each may be read first, and whichever comes second
-- applies both. p_passed: what is stored with a slice, as store_attempts() has it.
-- Locks: offsets; leases by id, but only where spends or postings of unbooked spends are among the batch, or spends wait; then
-- rows and accounts, step by step: what meets another's order waits a second, is ended by Postgres, and is asked again.
create or replace function settle(
  p_consumer text, p_topics text[], p_partitions integer[], p_starts bigint[], p_nexts bigint[], p_passed timestamptz[],
  p_kinds text[], p_days date[], p_tenants text[], p_messages uuid[], p_generations integer[],
  p_cash bigint[], p_units integer[], p_renewable boolean[], p_rounds integer[],
  p_channels text[], p_leases integer[], p_spends bigint[],
  p_spent_leases integer[], p_spent_numbers bigint[], p_spent_days date[], p_spent_tenants text[],
  p_spent_messages uuid[], p_spent_generations integer[], p_spent_cash bigint[], p_spent_units integer[],
  p_spent_cash_caps bigint[], p_spent_units_caps integer[],
  p_spent_topics text[], p_spent_partitions integer[], p_spent_offsets bigint[],
  -- Milliseconds since the epoch: when the message may be sent no more.
  p_spent_expires float8[]
) returns table (kind text, amount bigint) language plpgsql
-- As in resolve_reservations().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_leases integer[];
  v_unknown integer;
  v_released waiting_spends[];
begin
  return query
  select 'lost', place::bigint
  from move_offsets(p_consumer, p_topics, p_partitions, p_starts, p_nexts, p_passed) as place;
  if found then
    return;
  end if;

  if cardinality(p_spent_leases) > 0 or exists (select from unnest(p_leases) as l (lease_id) where lease_id is not null)
    or exists (select from waiting_spends)
  then
    -- Whoever books a spend and whoever finds it unbooked take turns: else both might miss the other's row.
    select array_agg(distinct lease_id) into v_leases
    from (
      select lease_id from unnest(p_spent_leases) as s (lease_id)
      union all
      -- They may be booked below.
      select lease_id from waiting_spends
      union all
      select q.lease_id
      from unnest(p_leases, p_spends, p_days, p_tenants, p_messages, p_generations)
        as q (lease_id, spend_no, day, tenant_id, message_id, generation)
      where q.lease_id is not null and not exists (
        select from reservations r
        where r.day = q.day and r.tenant_id = q.tenant_id and r.message_id = q.message_id
          and r.generation = q.generation and r.lease_id = q.lease_id and r.spend_no = q.spend_no
      )
    ) named;
    perform 1 from leases where lease_id = any (v_leases) order by lease_id for update;
    select u.lease_id into v_unknown
    from unnest(v_leases) as u (lease_id) left join leases l using (lease_id)
    where l.lease_id is null limit 1;
    if found then
      raise exception 'lease % is not in this ledger: the ledger is older than `internal.spends`', v_unknown
        using errcode = 'integrity_constraint_violation';
    end if;

    if cardinality(p_spent_leases) > 0 then
      update leases l
      set cash_spent = l.cash_spent + s.cash, units_spent = l.units_spent + s.units, spends = greatest(l.spends, s.number)
      from (
        select lease_id, sum(cash)::bigint as cash, sum(units)::bigint as units, max(number) as number
        from unnest(p_spent_leases, p_spent_cash, p_spent_units, p_spent_numbers) as spent (lease_id, cash, units, number)
        group by lease_id
      ) s
      where l.lease_id = s.lease_id;
      return query
      select b.kind, b.amount
      from book_spends(
        p_spent_leases, p_spent_numbers, p_spent_days, p_spent_tenants, p_spent_messages, p_spent_generations,
        p_spent_cash, p_spent_units, p_spent_cash_caps, p_spent_units_caps, p_spent_topics, p_spent_partitions,
        p_spent_offsets, array(select to_timestamp(ms / 1000) from unnest(p_spent_expires) with ordinality as e (ms, place) order by place)
      ) as b;
      return query select * from resolve_waiting(p_spent_leases, p_spent_numbers);
    end if;
  end if;

  if cardinality(p_kinds) > 0 then
    return query
    select * from resolve_reservations(
      p_kinds, p_days, p_tenants, p_messages, p_generations, p_cash, p_units, p_renewable, p_rounds, p_channels,
      p_leases, p_spends
    );
  end if;

  -- Spends whose message is free now, each with its own early postings: another may wait behind it.
  while exists (select from waiting_spends) loop
    with released as (
      delete from waiting_spends w
      using reservations r
      where r.day = w.day and r.tenant_id = w.tenant_id and r.message_id = w.message_id and r.generation = w.generation
        and r.state <> 'pending'
      returning w.*
    )
    select array_agg(released::waiting_spends) into v_released from released;
    exit when v_released is null;
    return query
    select b.kind, b.amount
    from (
      select array_agg(lease_id order by lease_id, spend_no) as lease_id, array_agg(spend_no order by lease_id, spend_no) as spend_no,
        array_agg(day order by lease_id, spend_no) as day, array_agg(tenant_id order by lease_id, spend_no) as tenant_id,
        array_agg(message_id order by lease_id, spend_no) as message_id,
        array_agg(generation order by lease_id, spend_no) as generation,
        array_agg(cash order by lease_id, spend_no) as cash, array_agg(units order by lease_id, spend_no) as units,
        array_agg(cash_cap order by lease_id, spend_no) as cash_cap,
        array_agg(units_cap order by lease_id, spend_no) as units_cap,
        array_agg(topic order by lease_id, spend_no) as topic, array_agg(partition order by lease_id, spend_no) as partition,
        array_agg(record_offset order by lease_id, spend_no) as record_offset,
        array_agg(expires_at order by lease_id, spend_no) as expires_at
      from unnest(v_released)
    ) w
    cross join lateral book_spends(
      w.lease_id, w.spend_no, w.day, w.tenant_id, w.message_id, w.generation, w.cash, w.units, w.cash_cap, w.units_cap,
      w.topic, w.partition, w.record_offset, w.expires_at
    ) as b;
    return query
    select * from resolve_waiting(
      array(select lease_id from unnest(v_released)), array(select spend_no from unnest(v_released))
    );
  end loop;
end $$;
