-- What reserve() is to do with a message where quotas are asked. refusal null: it is affordable, costs at most `cash`,
-- may go on `channels` (null: no quota was asked) and holds quota_cash of each of `quotas`. Of a message that is not fresh
-- (reserved before) it says nothing, or what nobody needs.
do $$
begin
  create type quota_hold as (
    refusal text, cash bigint, channels text[], quotas integer[], quota_cash bigint[], narrowed boolean
  );
exception when duplicate_object then null;
end $$;

-- Decides a batch of messages on quotas and budgets together: in order, each on the channels that still have room for it,
-- and only if one has and the account can pay. Holds nothing yet, but locks the counters it looked at: after the accounts,
-- in the order of quota and period. Answers null where no quota concerns these accounts and channels.
-- p_refusals, p_cash_available and p_pv_available are by account; an offer is a set of channels with the most that each
-- costs, referred to by its number (0: none, and no quota is asked).
create or replace function hold_quotas(
  p_tenants text[], p_lines text[], p_refusals text[], p_cash_available bigint[], p_pv_available bigint[],
  p_offer_numbers integer[], p_offer_channels text[], p_offer_cash bigint[],
  p_accounts integer[], p_offers integer[], p_messages uuid[], p_generations integer[], p_days date[],
  p_cash bigint[], p_units integer[]
) returns quota_hold[] language plpgsql as $$
#variable_conflict use_column
declare
  c_most constant bigint := 9223372036854775807;
  -- Messages, in order: place in the batch, and kind. Those of one kind want the same of the same counters.
  v_places bigint[];
  v_kinds integer[];
  -- By kind. Its legs (one a channel, in order of preference) are from v_leg_from[kind] to before v_leg_from[kind + 1].
  v_accounts integer[];
  v_offers integer[];
  v_days date[];
  v_cash bigint[];
  v_units integer[];
  v_counts bigint[];
  v_leg_from integer[];
  v_asks boolean[];
  v_narrowed boolean[];
  v_holds quota_hold[];
  v_stale boolean[];
  -- By leg. Its counters are from v_look_from[leg] to before v_look_from[leg + 1] in v_looks.
  v_leg_kinds bigint[];
  v_leg_asks boolean[];
  v_channels text[];
  v_leg_cash bigint[];
  v_look_from integer[];
  v_full boolean[];
  v_looks integer[];
  -- By counter.
  v_quotas integer[];
  v_starts date[];
  v_first_cash bigint[];
  v_first_units bigint[];
  v_room_cash bigint[];
  v_room_units bigint[];
  v_left_cash bigint[];
  v_left_units bigint[];
  v_by_kind boolean;
  v_even boolean;
  v_items integer[];
  v_answers quota_hold[];
  v_result quota_hold[];
  v_hold quota_hold;
  v_refusal text;
  v_next integer;
  k integer;
  n bigint;
  a integer;
  c integer;
begin
  with asked as materialized (
    select q.place, account, offer, q.day, q.cash, q.units,
      dense_rank() over (order by account, offer, q.day, q.cash, q.units)::integer as kind
    from unnest(p_accounts, p_offers, p_days, p_cash, p_units) with ordinality
      as q (account, offer, day, cash, units, place)
    where p_refusals[q.account] is null
  )
  select v.*, g.*
  into v_places, v_kinds, v_accounts, v_offers, v_days, v_cash, v_units, v_counts
  from (select array_agg(place order by place), array_agg(kind order by place) from asked) v
  cross join (
    select array_agg(account order by kind), array_agg(offer order by kind), array_agg(day order by kind),
      array_agg(cash order by kind), array_agg(units order by kind), array_agg(messages order by kind)
    from (
      select kind, account, offer, day, cash, units, count(*) as messages
      from asked group by kind, account, offer, day, cash, units
    ) kinds
  ) g;
  if v_places is null then
    return null;
  end if;

  -- Every leg with each quota it meets, as one list; then the counters of these quotas.
  with looks as materialized (
    select kind, leg, o.channel, o.cash, q.quota_id, quota_starts(q.period, v_days[kind]) as starts
    from unnest(v_accounts, v_offers) with ordinality as m (account, offer, kind)
    join unnest(p_offer_numbers, p_offer_channels, p_offer_cash) with ordinality as o (number, channel, cash, leg)
      on o.number = m.offer
    left join quotas q
      on q.tenant_id = p_tenants[m.account] and q.business_line in ('', p_lines[m.account]) and q.channel = o.channel
      and (q.cash_limit is not null or q.units_limit is not null)
  ),
  numbered as materialized (
    select kind, channel, cash, quota_id, starts,
      -- Those without a quota come last.
      case when quota_id is not null then dense_rank() over (order by quota_id, starts) end::integer as counter,
      dense_rank() over (order by kind, leg)::integer as leg,
      row_number() over (order by kind, leg, quota_id)::integer as look
    from looks
  ),
  counters as (
    select distinct counter, quota_id, starts from numbered where counter is not null
  ),
  legs as (
    select leg, kind, channel, cash, min(look) as first, bool_or(counter is not null) as asks
    from numbered group by leg, kind, channel, cash
  )
  select c.*, l.*, (select array_agg(counter order by look) from numbered)
  into v_quotas, v_starts, v_leg_kinds, v_channels, v_leg_cash, v_leg_asks, v_look_from, v_looks
  from (select array_agg(quota_id order by counter), array_agg(starts order by counter) from counters) c
  cross join (
    select array_agg(kind order by leg), array_agg(channel order by leg), array_agg(cash order by leg),
      array_agg(asks order by leg), array_agg(first order by leg)
    from legs
  ) l;
  if v_quotas is null then
    return null;
  end if;
  v_look_from := v_look_from || (cardinality(v_looks) + 1);
  v_next := 1;
  for kind in 1 .. cardinality(v_counts) loop
    v_leg_from[kind] := v_next;
    v_asks[kind] := false;
    while v_leg_kinds[v_next] = kind loop
      v_asks[kind] := v_asks[kind] or v_leg_asks[v_next];
      v_next := v_next + 1;
    end loop;
  end loop;
  v_leg_from := v_leg_from || v_next;

  -- Missing ones are made before any is locked, both in one order: so nobody waits in a circle.
  insert into quota_counters (quota_id, starts)
  select quota_id, starts
  from unnest(v_quotas, v_starts) as n (quota_id, starts)
  where not exists (select from quota_counters c where c.quota_id = n.quota_id and c.starts = n.starts)
  order by quota_id, starts
  on conflict (quota_id, starts) do nothing;
  perform 1
  from unnest(v_quotas, v_starts) as n (quota_id, starts)
  join quota_counters c using (quota_id, starts)
  order by quota_id, starts
  for update of c;
  select
    array_agg(coalesce(cash_stop - cash_held - cash_used, c_most) order by counter),
    array_agg(coalesce(units_stop - units_held - units_used, c_most) order by counter)
  into v_first_cash, v_first_units
  from unnest(v_quotas, v_starts) with ordinality as n (quota_id, starts, counter)
  join quota_counters c using (quota_id, starts)
  join quotas q using (quota_id);

  -- First all messages of a kind at once, also those that are no longer fresh: where there is room for all, there is for
  -- those that are. Where they do not come out even (there is room for some of a kind only), again one by one, in order, only
  -- those that are fresh. A leg without room for one message stays full: room never grows here.
  for v_attempt in 1 .. 2 loop
    v_even := true;
    v_by_kind := v_attempt = 1;
    if not v_by_kind then
      select coalesce(array_agg(place order by place), '{}'), coalesce(array_agg(kind order by place), '{}')
      into v_places, v_kinds
      from unnest(v_places, v_kinds) as m (place, kind)
      left join reservations r
        on r.day = p_days[m.place] and r.tenant_id = p_tenants[p_accounts[m.place]] and r.message_id = p_messages[m.place]
        and r.generation = p_generations[m.place]
      where r.day is null or (r.state = 'voided' and r.renewable);
    end if;
    v_items := case when v_by_kind then array(select generate_series(1, cardinality(v_counts))) else v_kinds end;
    v_room_cash := v_first_cash;
    v_room_units := v_first_units;
    v_left_cash := p_cash_available;
    v_left_units := p_pv_available;
    v_full := array_fill(false, array[cardinality(v_channels)]);
    v_stale := array_fill(true, array[cardinality(v_counts)]);
    v_holds := array_fill(null::quota_hold, array[cardinality(v_counts)]);
    v_answers := array_fill(null::quota_hold, array[cardinality(v_items)]);
    <<items>>
    for i in 1 .. cardinality(v_items) loop
      k := v_items[i];
      a := v_accounts[k];
      n := case when v_by_kind then v_counts[k] else 1 end;

      for l in v_leg_from[k] .. v_leg_from[k + 1] - 1 loop
        continue when v_full[l];
        for x in v_look_from[l] .. v_look_from[l + 1] - 1 loop
          c := v_looks[x];
          continue when c is null;
          if (case when v_by_kind then v_first_cash[c] else v_room_cash[c] end) < v_leg_cash[l]
            or (case when v_by_kind then v_first_units[c] else v_room_units[c] end) < v_units[k] then
            v_full[l] := true;
            v_stale[k] := true;
            exit;
          end if;
          v_even := v_even and v_room_cash[c] >= n * v_leg_cash[l] and v_room_units[c] >= n * v_units[k];
        end loop;
      end loop;

      if v_stale[k] then
        v_hold := row(null, 0, '{}', '{}', '{}', false);
        for l in v_leg_from[k] .. v_leg_from[k + 1] - 1 loop
          if v_full[l] then
            v_hold.narrowed := true;
            continue;
          end if;
          v_hold.cash := greatest(v_hold.cash, v_leg_cash[l]);
          v_hold.channels := v_hold.channels || v_channels[l];
          for x in v_look_from[l] .. v_look_from[l + 1] - 1 loop
            c := v_looks[x];
            continue when c is null;
            v_hold.quotas := v_hold.quotas || v_quotas[c];
            v_hold.quota_cash := v_hold.quota_cash || v_leg_cash[l];
          end loop;
        end loop;
        if not v_hold.narrowed then
          v_hold.cash := v_cash[k];
        elsif cardinality(v_hold.channels) = 0 then
          v_hold.refusal := 'quota';
        end if;
        if not v_asks[k] then
          v_hold := row(null, v_cash[k], null, null, null, false);
        end if;
        v_holds[k] := v_hold;
        v_stale[k] := false;
      else
        v_hold := v_holds[k];
      end if;

      if v_hold.refusal is null then
        v_refusal := case
          when (case when v_by_kind then p_cash_available[a] else v_left_cash[a] end) < v_hold.cash then 'budget_cash'
          when (case when v_by_kind then p_pv_available[a] else v_left_units[a] end) < v_units[k] then 'budget_pv'
        end;
        if v_refusal is not null then
          v_hold := row(v_refusal, null, null, null, null, null);
        else
          v_even := v_even and v_left_cash[a] >= n * v_hold.cash and v_left_units[a] >= n * v_units[k];
          v_left_cash[a] := v_left_cash[a] - n * v_hold.cash;
          v_left_units[a] := v_left_units[a] - n * v_units[k];
          for l in v_leg_from[k] .. v_leg_from[k + 1] - 1 loop
            continue when v_full[l];
            for x in v_look_from[l] .. v_look_from[l + 1] - 1 loop
              c := v_looks[x];
              continue when c is null;
              v_room_cash[c] := v_room_cash[c] - n * v_leg_cash[l];
              v_room_units[c] := v_room_units[c] - n * v_units[k];
            end loop;
          end loop;
        end if;
      end if;
      exit items when not v_even;
      v_answers[i] := v_hold;
    end loop;
    exit when v_even;
  end loop;

  v_result := array_fill(null::quota_hold, array[cardinality(p_accounts)]);
  for i in 1 .. cardinality(v_places) loop
    v_result[v_places[i]] := v_answers[case when v_by_kind then v_kinds[i] else i end];
  end loop;
  return v_result;
end $$;
