-- Reserves a batch: inserts what is new and affordable, debits each account once, and answers what differs from
-- "reserved as asked". The batch names no message twice (the caller sees to it). Accounts and sources are named once
-- each and referred to by their place, from 1. Where a source is not the caller's any more (its epoch is not the one
-- that is stored) nothing is done, and the only row is 'not_the_owner'.
-- An offer is a set of channels, each with the most that the message costs there; it is named by its number (0: none), once
-- for all messages that it is made to. Where an account or tenant has quotas, what is held of them and the channels that
-- are left are decided by hold_quotas(), with the budgets; where it has none, one look at `quotas` is all that it costs.
-- Nearly all batches are new messages of accounts that can pay for them all. Those are inserted first, and their accounts are
-- locked only to be debited: many batches of one hot account work at the same time and queue for the debit alone. A batch that
-- turns out to be anything else is undone and decided message by message, its accounts locked throughout.
-- Too little, while leases of the account are open: 'recalling'. Their owners are told to return what they hold, and the
-- message is asked about again. Unspent includes what settle() has not booked yet. After a minute it is refused all the same.
-- Locks: partitions; messages by id, accounts by id; or accounts by id, counters of quotas by quota and period.
create or replace function reserve(
  p_tenants text[], p_lines text[], p_currencies text[],
  p_topics text[], p_partitions integer[], p_epochs bigint[],
  p_accounts integer[], p_sources integer[], p_offsets bigint[],
  p_messages uuid[], p_generations integer[], p_days date[],
  -- Milliseconds since the epoch: when the message may be sent no more.
  p_expires float8[],
  p_cash bigint[], p_units integer[], p_cash_caps bigint[], p_units_caps integer[],
  p_offers integer[], p_offer_numbers integer[], p_offer_channels text[], p_offer_cash bigint[]
) returns table (
  place integer, outcome text, stored_cash bigint, stored_units integer,
  first_topic text, first_partition integer, first_offset bigint,
  -- Of 'reserved': where it may be sent; null: on all that were offered.
  stored_channels text[]
) language plpgsql
-- A young table looks small: planned by its statistics, each batch would scan it whole until the next analyze.
-- Rows are always few and looked up by key.
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_ids integer[];
  v_refusals text[];
  v_cash bigint[];
  v_pv bigint[];
  v_payable boolean[];
  -- By account: what leases have not spent.
  v_leased_cash bigint[];
  v_leased_pv bigint[];
  -- It has recalled them for a minute, and some have not come: whoever holds them is not there, and nobody waits for it.
  v_in_vain boolean[];
  -- By message; null: no quota is asked, and the budgets alone decide.
  v_holds quota_hold[];
  v_quotas boolean;
  v_count bigint;
begin
  if not owns(p_topics, p_partitions, p_epochs) then
    return query select 0, 'not_the_owner', null::bigint, null::integer, null::text, null::integer, null::bigint, null::text[];
    return;
  end if;
  v_quotas := exists (
    select from quotas where tenant_id = any (p_tenants) and (cash_limit is not null or units_limit is not null)
  );
  if not v_quotas then
    -- As it is now, without a lock: only whether it is worth trying.
    select array_agg(a.account_id order by named.place), array_agg(
      a.open and a.currency = named.currency and b.cash_available >= s.cash and b.pv_available >= s.units
      order by named.place
    ) as payable
    into v_ids, v_payable
    from unnest(p_tenants, p_lines, p_currencies) with ordinality
      as named (tenant_id, business_line, currency, place)
    left join accounts a using (tenant_id, business_line)
    left join budgets b using (account_id)
    left join (
      select account, sum(cash)::bigint as cash, sum(units) as units
      from unnest(p_accounts, p_cash, p_units) as q (account, cash, units)
      group by account
    ) s on s.account = named.place;
    if true = all (v_payable) then
      begin
        insert into reservations (
          day, tenant_id, message_id, generation, account_id, cash, units, cash_cap, units_cap, topic, partition,
          record_offset, expires_at
        )
        select
          day, p_tenants[account], message_id, generation, v_ids[account], cash, units, cash_cap, units_cap,
          p_topics[source], p_partitions[source], at_offset, to_timestamp(expires / 1000)
        from unnest(
          p_accounts, p_sources, p_offsets, p_messages, p_generations, p_days, p_expires, p_cash, p_units, p_cash_caps,
          p_units_caps
        ) as q (
          account, source, at_offset, message_id, generation, day, expires, cash, units, cash_cap, units_cap
        )
        -- In one order, so that two batches that hold the same messages never wait for each other.
        order by message_id, generation, account
        on conflict do nothing;
        get diagnostics v_count = row_count;
        if v_count < cardinality(p_messages) then
          raise sqlstate 'MR001';
        end if;
        perform 1 from budgets where account_id = any (v_ids) order by account_id for update;
        update budgets b
        set cash_available = cash_available - s.cash, cash_pending = cash_pending + s.cash,
          pv_available = pv_available - s.units, pv_pending = pv_pending + s.units
        from (
          select v_ids[account] as account_id, sum(cash)::bigint as cash, sum(units) as units
          from unnest(p_accounts, p_cash, p_units) as q (account, cash, units)
          group by 1
        ) s
        join accounts a using (account_id)
        -- As it is under the lock.
        where b.account_id = s.account_id and a.open and b.cash_available >= s.cash and b.pv_available >= s.units;
        get diagnostics v_count = row_count;
        if v_count < (select count(distinct id) from unnest(v_ids) as id) then
          raise sqlstate 'MR001';
        end if;
        return;
      exception when sqlstate 'MR001' then
        null;
      end;
    end if;
  end if;

  -- In id order, so that two batches never wait for each other. The next statement's snapshot is taken under the
  -- locks: it sees all that other batches reserved on these accounts.
  perform 1
  from unnest(p_tenants, p_lines) as named (tenant_id, business_line)
  join accounts using (tenant_id, business_line)
  join budgets using (account_id)
  order by account_id
  for update of budgets;

  select
    array_agg(a.account_id order by named.place),
    array_agg(case
      when a.account_id is null then 'unknown_account'
      when not a.open then 'account_closed'
      when a.currency <> named.currency then 'currency'
    end order by named.place),
    array_agg(b.cash_available order by named.place),
    array_agg(b.pv_available order by named.place),
    array_agg(l.cash order by named.place),
    array_agg(l.units order by named.place),
    array_agg(coalesce(
      a.recalling_at > now() - interval '60 seconds' and a.recalling_since < now() - interval '60 seconds', false
    ) order by named.place)
  into v_ids, v_refusals, v_cash, v_pv, v_leased_cash, v_leased_pv, v_in_vain
  from unnest(p_tenants, p_lines, p_currencies) with ordinality
    as named (tenant_id, business_line, currency, place)
  left join accounts a using (tenant_id, business_line)
  left join budgets b using (account_id)
  left join lateral (
    select coalesce(sum(cash_granted - cash_spent - cash_returned), 0)::bigint as cash,
      coalesce(sum(units_granted - units_spent - units_returned), 0)::bigint as units
    -- What a lost state left behind does not come back by itself.
    from leases where leases.account_id = a.account_id and set_aside_at is null
  ) l on true;

  -- What may be reserved anew may be booked as the spend of a lease meanwhile, and is then no more to be had.
  perform 1
  from unnest(p_accounts, p_days, p_messages, p_generations) as q (account, day, message_id, generation)
  join reservations r
    on r.day = q.day and r.tenant_id = p_tenants[q.account] and r.message_id = q.message_id
    and r.generation = q.generation
  where r.state = 'voided' and r.renewable
  order by r.message_id, r.generation
  for update of r;

  if v_quotas then
    v_holds := hold_quotas(
      p_tenants, p_lines, v_refusals, v_cash, v_pv, p_offer_numbers, p_offer_channels, p_offer_cash,
      p_accounts, p_offers, p_messages, p_generations, p_days, p_cash, p_units
    );
  end if;

  return query
  with asked as materialized (
    select
      q.account, q.source, q.at_offset, q.message_id, q.generation, q.day, q.expires,
      coalesce((v_holds[q.place]).cash, q.cash) as cash, q.units, q.cash_cap, q.units_cap, q.place,
      r.day as stored_day, r.account_id as stored_account, r.state, r.renewable,
      r.cash as stored_cash, r.units as stored_units, r.cash_cap as stored_cash_cap,
      r.units_cap as stored_units_cap, r.topic, r.partition, r.record_offset,
      r.channels as stored_channels,
      v_ids[q.account] as account_id,
      -- Where quotas are asked: also when they were.
      (r.day is null or (r.state = 'voided' and r.renewable))
        and (
          v_holds is null or (v_holds[q.place]).cash is not null or (v_holds[q.place]).refusal is not null
          or v_refusals[q.account] is not null
        ) as fresh
    from unnest(
      p_accounts, p_sources, p_offsets, p_messages, p_generations, p_days, p_expires, p_cash, p_units, p_cash_caps,
      p_units_caps
    ) with ordinality as q (
      account, source, at_offset, message_id, generation, day, expires, cash, units, cash_cap, units_cap, place
    )
    left join reservations r
      on r.day = q.day and r.tenant_id = p_tenants[q.account] and r.message_id = q.message_id
      and r.generation = q.generation
  ),
  wanted as materialized (
    select *,
      v_holds is not null
        or (sum(cash) over account_all <= v_cash[account] and sum(units) over account_all <= v_pv[account]) as all_fit
    from asked
    where fresh and v_refusals[account] is null and (v_holds[place]).refusal is null
    window account_all as (partition by account)
  ),
  greedy as materialized (
    select *, take(cash, units, v_cash[account], v_pv[account]) over (partition by account order by place) as spent
    from wanted where not all_fit
  ),
  taken as materialized (
    select account, source, at_offset, message_id, generation, day, expires, cash, units, cash_cap, units_cap,
      account_id, stored_day, place
    from wanted where all_fit
    union all
    select account, source, at_offset, message_id, generation, day, expires, cash, units, cash_cap, units_cap,
      account_id, stored_day, place
    from greedy where (spent).taken
  ),
  inserted as (
    insert into reservations (
      day, tenant_id, message_id, generation, account_id, cash, units, cash_cap, units_cap, topic, partition,
      record_offset, channels, quotas, quota_cash, expires_at
    )
    select
      day, p_tenants[account], message_id, generation, account_id, cash, units, cash_cap, units_cap,
      p_topics[source], p_partitions[source], at_offset,
      (v_holds[place]).channels, (v_holds[place]).quotas, (v_holds[place]).quota_cash, to_timestamp(expires / 1000)
    from taken where stored_day is null
  ),
  renewed as (
    update reservations r
    set account_id = t.account_id, state = 'pending', renewable = false, cash = t.cash, units = t.units,
      posted_cash = 0, posted_units = 0, reversed_cash = 0, reversed_units = 0, cash_cap = t.cash_cap, units_cap = t.units_cap,
      topic = p_topics[t.source], partition = p_partitions[t.source], record_offset = t.at_offset,
      reserved_at = now(), resolved_at = null, expires_at = to_timestamp(t.expires / 1000), expired = false,
      channels = (v_holds[t.place]).channels, quotas = (v_holds[t.place]).quotas,
      quota_cash = (v_holds[t.place]).quota_cash, channel = null, lease_id = null, spend_no = null
    from taken t
    where t.stored_day is not null and r.day = t.stored_day and r.tenant_id = p_tenants[t.account]
      and r.message_id = t.message_id and r.generation = t.generation
  ),
  debited as (
    update budgets b
    set cash_available = cash_available - s.cash, cash_pending = cash_pending + s.cash,
      pv_available = pv_available - s.units, pv_pending = pv_pending + s.units
    from (
      select account_id, sum(cash)::bigint as cash, sum(units) as units from taken group by account_id
    ) s
    where b.account_id = s.account_id
  ),
  held as (
    update quota_counters c
    set cash_held = c.cash_held + s.cash, units_held = c.units_held + s.units,
      passed_at = coalesce(
        c.passed_at,
        case
          when c.cash_held + c.cash_used + s.cash > s.cash_limit or c.units_held + c.units_used + s.units > s.units_limit
          then now()
        end
      )
    from (
      select q.quota_id, quota_starts(q.period, t.day) as starts, q.cash_limit, q.units_limit,
        sum(t.messages * h.cash)::bigint as cash, sum(t.units)::bigint as units
      from (
        select day, (v_holds[place]).quotas as quotas, (v_holds[place]).quota_cash as quota_cash, count(*) as messages,
          sum(units) as units
        from taken
        where v_holds is not null and (v_holds[place]).quotas is not null
        group by 1, 2, 3
      ) t
      cross join unnest(t.quotas, t.quota_cash) as h (quota_id, cash)
      join quotas q using (quota_id)
      group by q.quota_id, 2
    ) s
    where c.quota_id = s.quota_id and c.starts = s.starts
  ),
  answers as (
    -- A record that is read again finds its own decision; another one is told who was first.
    select
      a.place::integer as place, a.account,
      case
        when a.record_offset = a.at_offset and a.partition = p_partitions[a.source]
          and a.topic = p_topics[a.source] then 'reserved'
        when a.stored_account = a.account_id and a.stored_cash_cap is not distinct from a.cash_cap
          and a.stored_units_cap is not distinct from a.units_cap then 'duplicate'
        else 'idempotency_conflict'
      end as outcome,
      a.stored_cash, a.stored_units, a.topic, a.partition, a.record_offset, a.stored_channels
    from asked a where not a.fresh
    union all
    select a.place::integer, a.account, coalesce(v_refusals[a.account], (v_holds[a.place]).refusal), null, null, null, null, null, null
    from asked a where a.fresh and (v_refusals[a.account] is not null or (v_holds[a.place]).refusal is not null)
    union all
    select t.place::integer, t.account, 'reserved', t.cash, t.units, null, null, null, (v_holds[t.place]).channels
    from taken t where v_holds is not null and (v_holds[t.place]).narrowed
    union all
    select
      g.place::integer, g.account,
      case when (g.spent).cash + g.cash > v_cash[g.account] then 'budget_cash' else 'budget_pv' end,
      null, null, null, null, null, null
    from greedy g where not (g.spent).taken
  ),
  recalled as (
    update accounts a
    set recalling_at = now(),
      recalling_since = case when a.recalling_at > now() - interval '60 seconds' then a.recalling_since else now() end
    from (
      select distinct v_ids[account] as account_id from answers
      where (outcome = 'budget_cash' and v_leased_cash[account] > 0) or (outcome = 'budget_pv' and v_leased_pv[account] > 0)
    ) short
    where a.account_id = short.account_id and (a.recalling_at is null or a.recalling_at < now() - interval '2 seconds')
  )
  select
    place,
    case
      when not v_in_vain[account] and (
        (outcome = 'budget_cash' and v_leased_cash[account] > 0) or (outcome = 'budget_pv' and v_leased_pv[account] > 0)
      ) then 'recalling'
      else outcome
    end,
    stored_cash, stored_units, topic, partition, record_offset, stored_channels
  from answers;
end $$;
