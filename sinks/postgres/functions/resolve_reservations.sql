-- Resolves reservations, and answers how many postings came to which outcome; 'clamped' counts posts above their
-- reservation, booked at the reservation. Postings of one message come in rounds from 1, so that each round touches a row
-- once. A posting names the spend of the lease that it resolves, or none (reserved directly); of a spend that is not booked
-- it is 'early' and waits (its lease is locked by the caller: no other batch books the spend meanwhile).
-- What a message holds of quotas is released by its resolution; of a post it is used on the channel that was used (p_channels).
create or replace function resolve_reservations(
  p_kinds text[], p_days date[], p_tenants text[], p_messages uuid[], p_generations integer[],
  p_cash bigint[], p_units integer[], p_renewable boolean[], p_rounds integer[],
  p_channels text[], p_leases integer[], p_spends bigint[]
) returns table (kind text, amount bigint) language plpgsql
-- A young table looks small: planned by its statistics, each batch would scan it whole until the next analyze.
-- Rows are always few and looked up by key.
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_accounts integer[];
  -- Per account: out of pending, into (out of) posted. What is left goes back to available.
  v_cash_pending bigint[];
  v_cash_posted bigint[];
  v_pv_pending bigint[];
  v_pv_posted bigint[];
  v_applied bigint;
  v_clamped bigint;
  v_unresolved integer[];
  v_moves quota_move[];
  v_round_moves quota_move[];
begin
  for v_round in 1 .. coalesce((select max(round) from unnest(p_rounds) as rounds (round)), 0) loop
    with asked as materialized (
      select q.* from unnest(
        p_kinds, p_days, p_tenants, p_messages, p_generations, p_cash, p_units, p_renewable, p_rounds, p_channels,
        p_leases, p_spends
      ) with ordinality as q (
        posting, day, tenant_id, message_id, generation, cash, units, renewable, round, channel, lease_id, spend_no,
        place
      )
      where q.round = v_round
    ),
    resolved as materialized (
      update reservations r
      set
        state = (case a.posting when 'post' then 'posted' when 'void' then 'voided' else 'reversed' end)::reservation_state,
        posted_cash = case a.posting when 'post' then least(a.cash, r.cash) else r.posted_cash end,
        posted_units = case a.posting when 'post' then least(a.units, r.units) else r.posted_units end,
        reversed_cash = case a.posting when 'reverse' then least(a.cash, r.posted_cash) else 0 end,
        reversed_units = case a.posting when 'reverse' then least(a.units, r.posted_units) else 0 end,
        renewable = a.renewable,
        channel = case when a.posting = 'post' and r.quotas is not null then a.channel else r.channel end,
        resolved_at = now()
      from asked a
      where r.day = a.day and r.tenant_id = a.tenant_id and r.message_id = a.message_id
        and r.generation = a.generation
        -- Which of a message's reservations it resolves: it may be refused for now, and come again.
        and r.lease_id is not distinct from a.lease_id and r.spend_no is not distinct from a.spend_no
        and r.state = (case a.posting when 'reverse' then 'posted' else 'pending' end)::reservation_state
      returning
        a.place, r.account_id, r.day, r.quotas, r.quota_cash, r.channel, a.posting <> 'reverse' as releases,
        case a.posting when 'reverse' then 0 else r.cash end as cash_pending,
        case a.posting when 'reverse' then 0 else r.units end as pv_pending,
        case a.posting when 'reverse' then -r.reversed_cash else r.posted_cash end as cash_posted,
        case a.posting when 'reverse' then -r.reversed_units else r.posted_units end as pv_posted,
        a.posting = 'post' and (a.cash > r.cash or a.units > r.units) as clamped
    ),
    sums as (
      select account_id, sum(cash_pending)::bigint as cash_pending, sum(cash_posted)::bigint as cash_posted,
        sum(pv_pending) as pv_pending, sum(pv_posted) as pv_posted, count(*) as applied,
        count(*) filter (where clamped) as clamped
      from resolved group by account_id
    ),
    moves as (
      select q.quota_id, quota_starts(q.period, r.day) as starts,
        -sum(case when r.releases then r.messages * h.cash else 0 end)::bigint as cash_held,
        sum(case when q.channel = r.channel then r.cash_posted else 0 end)::bigint as cash_used,
        -sum(r.pv_pending)::bigint as units_held,
        sum(case when q.channel = r.channel then r.pv_posted else 0 end)::bigint as units_used
      from (
        select day, quotas, quota_cash, channel, releases, count(*) as messages, sum(cash_posted) as cash_posted,
          sum(pv_pending) as pv_pending, sum(pv_posted) as pv_posted
        from resolved
        where quotas is not null
        group by day, quotas, quota_cash, channel, releases
      ) r
      cross join unnest(r.quotas, r.quota_cash) as h (quota_id, cash)
      join quotas q using (quota_id)
      group by q.quota_id, 2
    )
    select array_agg(account_id), array_agg(cash_pending), array_agg(cash_posted), array_agg(pv_pending),
      array_agg(pv_posted), coalesce(sum(applied), 0), coalesce(sum(clamped), 0),
      (select array_agg(place order by place) from (select place from asked except select place from resolved) u),
      (select array_agg(row(quota_id, starts, cash_held, cash_used, units_held, units_used)::quota_move) from moves)
    into v_accounts, v_cash_pending, v_cash_posted, v_pv_pending, v_pv_posted, v_applied, v_clamped, v_unresolved,
      v_round_moves
    from sums;
    v_moves := v_moves || v_round_moves;

    -- In id order, so that two batches never wait for each other; last, so that a hot account is held briefly.
    perform 1 from budgets where account_id = any (v_accounts) order by account_id for update;
    update budgets b
    set cash_pending = b.cash_pending - s.cash_pending,
      cash_posted = b.cash_posted + s.cash_posted,
      cash_available = b.cash_available + s.cash_pending - s.cash_posted,
      pv_pending = b.pv_pending - s.pv_pending,
      pv_posted = b.pv_posted + s.pv_posted,
      pv_available = b.pv_available + s.pv_pending - s.pv_posted
    from unnest(v_accounts, v_cash_pending, v_cash_posted, v_pv_pending, v_pv_posted)
      as s (account_id, cash_pending, cash_posted, pv_pending, pv_posted)
    where b.account_id = s.account_id;

    return query values ('applied', v_applied), ('clamped', v_clamped);
    if v_unresolved is null then
      continue;
    end if;
    -- Of a spend that is not booked yet: its turn comes with it.
    insert into waiting_postings (
      lease_id, spend_no, kind, day, tenant_id, message_id, generation, cash, units, renewable, channel
    )
    select p_leases[u.place], p_spends[u.place], p_kinds[u.place], p_days[u.place], p_tenants[u.place],
      p_messages[u.place], p_generations[u.place], p_cash[u.place], p_units[u.place], p_renewable[u.place],
      p_channels[u.place]
    from unnest(v_unresolved) with ordinality as u (place, nth)
    left join reservations r
      on r.day = p_days[u.place] and r.tenant_id = p_tenants[u.place] and r.message_id = p_messages[u.place]
      and r.generation = p_generations[u.place] and r.lease_id = p_leases[u.place] and r.spend_no = p_spends[u.place]
    where p_leases[u.place] is not null and r.state is null
      -- A lease's spends are booked in order: what is behind the newest and neither a row nor waiting went back.
      and (
        not exists (select from leases l where l.lease_id = p_leases[u.place] and l.spends >= p_spends[u.place])
        or exists (select from waiting_spends w where w.lease_id = p_leases[u.place] and w.spend_no = p_spends[u.place])
      )
    order by u.nth;
    return query
    select
      case
        when p_leases[u.place] is not null
          and (r.lease_id, r.spend_no) is distinct from (p_leases[u.place], p_spends[u.place])
        then
          case
            when exists (select from leases l where l.lease_id = p_leases[u.place] and l.spends >= p_spends[u.place])
              and not exists (
                select from waiting_spends w where w.lease_id = p_leases[u.place] and w.spend_no = p_spends[u.place]
              ) then 'unmatched'
            else 'early'
          end
        when r.state is null or r.lease_id is distinct from p_leases[u.place] then 'unmatched'
        when r.state = 'pending' then 'not_posted'
        when r.expired then 'expired'
        else 'already_' || r.state
      end,
      count(*)
    from unnest(v_unresolved) as u (place)
    left join reservations r
      on r.day = p_days[u.place] and r.tenant_id = p_tenants[u.place] and r.message_id = p_messages[u.place]
      and r.generation = p_generations[u.place]
    group by 1;
  end loop;
  -- After the accounts of all rounds.
  if v_moves is not null then
    perform move_quotas(v_moves);
  end if;
end $$;
