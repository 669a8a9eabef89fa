-- Gives back what messages hold that can be sent no more: those of the named ones that are pending, expired before
-- p_before, and of which no attempt is stored. Whether one is under way that is not stored yet is the caller's to know: it
-- names none of those. Answers what was given back, by account.
-- Locks as settle() does: rows, accounts by id, counters of quotas.
create or replace function expire_reservations(
  p_before timestamptz, p_days date[], p_tenants text[], p_messages uuid[], p_generations integer[]
) returns table (tenant_id text, business_line text, currency text, messages bigint, cash bigint, units bigint)
language plpgsql
-- As in settle().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_accounts integer[];
  v_messages bigint[];
  v_cash bigint[];
  v_units bigint[];
  -- By quota and period.
  v_quotas integer[];
  v_starts date[];
  v_quota_cash bigint[];
  v_quota_units bigint[];
begin
  with expired as materialized (
    update reservations r
    set state = 'voided', expired = true, renewable = false, resolved_at = now()
    from unnest(p_days, p_tenants, p_messages, p_generations) as a (day, tenant_id, message_id, generation)
    where r.day = a.day and r.tenant_id = a.tenant_id and r.message_id = a.message_id and r.generation = a.generation
      and r.state = 'pending' and r.expires_at < p_before
      and not exists (
        select from attempts t
        where t.tenant_id = a.tenant_id and t.message_id = a.message_id and t.generation = a.generation
      )
    returning r.account_id, r.day, r.cash, r.units, r.quotas, r.quota_cash
  ),
  sums as (
    select account_id, count(*) as messages, sum(cash)::bigint as cash, sum(units)::bigint as units
    from expired group by account_id
  ),
  moves as (
    select q.quota_id, quota_starts(q.period, e.day) as starts, -sum(h.cash)::bigint as cash, -sum(e.units)::bigint as units
    from expired e
    cross join unnest(e.quotas, e.quota_cash) as h (quota_id, cash)
    join quotas q using (quota_id)
    group by q.quota_id, 2
  )
  select s.*, m.*
  into v_accounts, v_messages, v_cash, v_units, v_quotas, v_starts, v_quota_cash, v_quota_units
  from (select array_agg(account_id), array_agg(messages), array_agg(cash), array_agg(units) from sums) s
  cross join (select array_agg(quota_id), array_agg(starts), array_agg(cash), array_agg(units) from moves) m;
  if v_accounts is null then
    return;
  end if;

  perform 1 from budgets where account_id = any (v_accounts) order by account_id for update;
  update budgets b
  set cash_pending = b.cash_pending - s.cash, cash_available = b.cash_available + s.cash,
    pv_pending = b.pv_pending - s.units, pv_available = b.pv_available + s.units
  from unnest(v_accounts, v_cash, v_units) as s (account_id, cash, units)
  where b.account_id = s.account_id;
  if v_quotas is not null then
    perform move_quotas(array(
      select row(quota_id, starts, cash, 0, units, 0)::quota_move
      from unnest(v_quotas, v_starts, v_quota_cash, v_quota_units) as m (quota_id, starts, cash, units)
    ));
  end if;

  return query
  select a.tenant_id, a.business_line, a.currency, s.messages, s.cash, s.units
  from unnest(v_accounts, v_messages, v_cash, v_units) as s (account_id, messages, cash, units)
  join accounts a using (account_id)
  order by a.tenant_id, a.business_line;
end $$;
