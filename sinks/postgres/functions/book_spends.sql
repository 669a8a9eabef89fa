-- Books spends of leases as their messages' reservations, and answers how many came to which outcome: 'spent'. Their
-- money is pending already, as part of their lease: no counter moves. Where the message has a reservation:
--   voided by a retryable refusal: reserved anew ('spent');
--   made by the very record, directly, before its transaction was aborted and it was decided again: that one stays, the
--     spend's money goes back ('given_back');
--   pending: the refusal that lets it come again is not settled yet; the spend waits for it ('waiting');
--   else: paid for already, or of a day that is closed; the spend's money goes back ('given_back').
-- The leases are locked by the caller.
create or replace function book_spends(
  p_leases integer[], p_spends bigint[], p_days date[], p_tenants text[], p_messages uuid[], p_generations integer[],
  p_cash bigint[], p_units integer[], p_cash_caps bigint[], p_units_caps integer[],
  p_topics text[], p_partitions integer[], p_offsets bigint[], p_expires timestamptz[]
) returns table (kind text, amount bigint) language plpgsql
-- As in resolve_reservations().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_booked bigint;
  v_closed date;
  v_spend record;
  v_waiting bigint := 0;
  v_back_accounts integer[] := '{}';
  v_back_cash bigint[] := '{}';
  v_back_units bigint[] := '{}';
begin
  select max(day) into v_closed from reservation_days where not attached;
  insert into reservations (
    day, tenant_id, message_id, generation, account_id, cash, units, cash_cap, units_cap, topic, partition,
    record_offset, expires_at, lease_id, spend_no
  )
  select s.day, s.tenant_id, s.message_id, s.generation, l.account_id, s.cash, s.units, s.cash_cap, s.units_cap,
    s.topic, s.partition, s.record_offset, s.expires, s.lease_id, s.spend_no
  from unnest(
    p_leases, p_spends, p_days, p_tenants, p_messages, p_generations, p_cash, p_units, p_cash_caps, p_units_caps,
    p_topics, p_partitions, p_offsets, p_expires
  ) as s (
    lease_id, spend_no, day, tenant_id, message_id, generation, cash, units, cash_cap, units_cap, topic, partition,
    record_offset, expires
  )
  join leases l using (lease_id)
  where v_closed is null or s.day > v_closed
  -- In one order, so that two batches that hold the same messages never wait for each other.
  order by s.message_id, s.generation, l.account_id
  on conflict do nothing;
  get diagnostics v_booked = row_count;
  if v_booked < cardinality(p_leases) then
    for v_spend in
      select s.*, l.account_id, r.state, r.renewable, r.lease_id as held_by,
        (r.topic, r.partition, r.record_offset) = (s.topic, s.partition, s.record_offset) as same_record
      from unnest(
        p_leases, p_spends, p_days, p_tenants, p_messages, p_generations, p_cash, p_units, p_cash_caps, p_units_caps,
        p_topics, p_partitions, p_offsets, p_expires
      ) with ordinality as s (
        lease_id, spend_no, day, tenant_id, message_id, generation, cash, units, cash_cap, units_cap, topic, partition,
        record_offset, expires, place
      )
      join leases l using (lease_id)
      left join reservations r
        on r.day = s.day and r.tenant_id = s.tenant_id and r.message_id = s.message_id and r.generation = s.generation
      where (r.lease_id, r.spend_no) is distinct from (s.lease_id, s.spend_no)
      order by s.place
    loop
      if v_spend.state = 'voided' and v_spend.renewable then
        update reservations r
        set account_id = v_spend.account_id, state = 'pending', renewable = false, cash = v_spend.cash,
          units = v_spend.units, posted_cash = 0, posted_units = 0, reversed_cash = 0, reversed_units = 0,
          cash_cap = v_spend.cash_cap, units_cap = v_spend.units_cap, topic = v_spend.topic,
          partition = v_spend.partition, record_offset = v_spend.record_offset, reserved_at = now(),
          resolved_at = null, expires_at = v_spend.expires, expired = false, channels = null, quotas = null,
          quota_cash = null, channel = null, lease_id = v_spend.lease_id, spend_no = v_spend.spend_no
        where r.day = v_spend.day and r.tenant_id = v_spend.tenant_id and r.message_id = v_spend.message_id
          and r.generation = v_spend.generation
          -- Not if an earlier spend of this batch has just renewed it.
          and r.state = 'voided' and r.renewable;
        if found then
          v_booked := v_booked + 1;
          continue;
        end if;
        v_spend.state := 'pending';
        v_spend.same_record := false;
      end if;
      if v_spend.same_record and v_spend.held_by is null then
        -- What the message's postings name.
        update reservations r
        set lease_id = v_spend.lease_id, spend_no = v_spend.spend_no
        where r.day = v_spend.day and r.tenant_id = v_spend.tenant_id and r.message_id = v_spend.message_id
          and r.generation = v_spend.generation;
      elsif v_spend.state = 'pending' then
        insert into waiting_spends (
          lease_id, spend_no, account_id, day, tenant_id, message_id, generation, cash, units, cash_cap, units_cap,
          topic, partition, record_offset, expires_at
        )
        values (
          v_spend.lease_id, v_spend.spend_no, v_spend.account_id, v_spend.day, v_spend.tenant_id, v_spend.message_id,
          v_spend.generation, v_spend.cash, v_spend.units, v_spend.cash_cap, v_spend.units_cap, v_spend.topic,
          v_spend.partition, v_spend.record_offset, v_spend.expires
        );
        v_waiting := v_waiting + 1;
        continue;
      end if;
      if not (v_spend.same_record and v_spend.held_by is null) then
        -- Of what is not booked nothing is resolved.
        delete from waiting_postings w where w.lease_id = v_spend.lease_id and w.spend_no = v_spend.spend_no;
      end if;
      v_back_accounts := v_back_accounts || v_spend.account_id;
      v_back_cash := v_back_cash || v_spend.cash;
      v_back_units := v_back_units || v_spend.units::bigint;
    end loop;
    perform 1 from budgets where account_id = any (v_back_accounts) order by account_id for update;
    update budgets b
    set cash_pending = b.cash_pending - s.cash, cash_available = b.cash_available + s.cash,
      pv_pending = b.pv_pending - s.units, pv_available = b.pv_available + s.units
    from (
      select account_id, sum(cash)::bigint as cash, sum(units)::bigint as units
      from unnest(v_back_accounts, v_back_cash, v_back_units) as back (account_id, cash, units)
      group by account_id
    ) s
    where b.account_id = s.account_id;
  end if;
  return query values ('spent', v_booked), ('waiting', v_waiting), ('given_back', cardinality(v_back_accounts)::bigint);
end $$;
