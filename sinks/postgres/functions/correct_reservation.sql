-- Books what a reservation should say, where it still says what was found, and its account's counters with it. Outcomes:
-- 'booked'; 'repeated': this id was booked before; 'changed': the row is another now, or is being settled in this moment;
-- 'overdrawn': available is less than what it takes. Only 'booked' changes anything.
-- The states are {state, postedCash, postedUnits, reversedCash, reversedUnits}.
create or replace function correct_reservation(
  p_correction text, p_class text, p_day date, p_tenant text, p_message uuid, p_generation integer,
  p_found jsonb, p_right jsonb, p_actor text, p_note text
) returns text language plpgsql
-- As in settle().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_account integer;
  v_row reservations;
  v_budget budgets;
  v_cash_pending bigint;
  v_cash_posted bigint;
  v_pv_pending bigint;
  v_pv_posted bigint;
  -- That was paid for: its quotas are used.
  v_channel text;
begin
  select account_id into v_account from reservations
  where day = p_day and tenant_id = p_tenant and message_id = p_message and generation = p_generation;
  select * into v_budget from budgets where account_id = v_account for update;
  if exists (select from corrections where correction_id = p_correction) then
    return 'repeated';
  end if;
  -- Not waited for: settle() holds rows before it asks for budgets, which are held here.
  select * into v_row from reservations
  where day = p_day and tenant_id = p_tenant and message_id = p_message and generation = p_generation
  for update skip locked;
  if v_row.message_id is null or v_row.account_id is distinct from v_account
    or v_row.state::text <> p_found ->> 'state'
    or v_row.posted_cash <> (p_found ->> 'postedCash')::bigint
    or v_row.posted_units <> (p_found ->> 'postedUnits')::integer
    or v_row.reversed_cash <> (p_found ->> 'reversedCash')::bigint
    or v_row.reversed_units <> (p_found ->> 'reversedUnits')::integer
  then
    return 'changed';
  end if;

  v_cash_pending := case when v_row.state = 'pending' then -v_row.cash else 0 end;
  v_pv_pending := case when v_row.state = 'pending' then -v_row.units else 0 end;
  v_cash_posted := (p_right ->> 'postedCash')::bigint - (p_right ->> 'reversedCash')::bigint
    - (v_row.posted_cash - v_row.reversed_cash);
  v_pv_posted := (p_right ->> 'postedUnits')::bigint - (p_right ->> 'reversedUnits')::bigint
    - (v_row.posted_units - v_row.reversed_units);
  if v_budget.cash_available < v_cash_pending + v_cash_posted or v_budget.pv_available < v_pv_pending + v_pv_posted then
    return 'overdrawn';
  end if;

  v_channel := coalesce(v_row.channel, (
    select a.channel from attempts a
    where a.tenant_id = p_tenant and a.message_id = p_message and a.generation = p_generation
    order by a.posted_cash + a.posted_units > 0 desc, a.attempt desc
    limit 1
  ));
  insert into corrections (
    correction_id, class, account_id, day, tenant_id, message_id, generation, cash_pending, cash_posted, pv_pending,
    pv_posted, actor, note
  )
  values (
    p_correction, p_class, v_account, p_day, p_tenant, p_message, p_generation, v_cash_pending, v_cash_posted,
    v_pv_pending, v_pv_posted, p_actor, p_note
  );
  update reservations r
  set state = (p_right ->> 'state')::reservation_state, renewable = false, resolved_at = now(),
    channel = case when v_row.quotas is not null and p_right ->> 'state' <> 'voided' then v_channel end,
    posted_cash = (p_right ->> 'postedCash')::bigint, posted_units = (p_right ->> 'postedUnits')::integer,
    reversed_cash = (p_right ->> 'reversedCash')::bigint, reversed_units = (p_right ->> 'reversedUnits')::integer
  where r.day = p_day and r.tenant_id = p_tenant and r.message_id = p_message and r.generation = p_generation;
  update budgets
  set cash_pending = cash_pending + v_cash_pending, cash_posted = cash_posted + v_cash_posted,
    cash_available = cash_available - v_cash_pending - v_cash_posted,
    pv_pending = pv_pending + v_pv_pending, pv_posted = pv_posted + v_pv_posted,
    pv_available = pv_available - v_pv_pending - v_pv_posted
  where account_id = v_account;
  -- As settle() does it, and in its order: after the account.
  if v_row.quotas is not null then
    perform move_quotas(array(
      select row(
        q.quota_id, quota_starts(q.period, p_day),
        case when v_row.state = 'pending' then -h.cash else 0 end,
        case when q.channel = v_channel then v_cash_posted else 0 end,
        v_pv_pending,
        case when q.channel = v_channel then v_pv_posted else 0 end
      )::quota_move
      from unnest(v_row.quotas, v_row.quota_cash) as h (quota_id, cash)
      join quotas q using (quota_id)
    ));
  end if;
  return 'booked';
end $$;
