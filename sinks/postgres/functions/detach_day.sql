-- Takes the partition of a day off the ledger, for good, and keeps what it says of each account; the table stays, for an
-- archive. Outcomes: 'detached'; 'unknown_day' (never attached, or detached before); 'not_the_oldest': an older one is
-- attached, and would be closed with it; 'pending': that many of its reservations are not resolved.
create or replace function detach_day(p_day date) returns table (outcome text, reservations bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_table text := 'reservations_' || to_char(p_day, 'YYYYMMDD');
  v_oldest date;
  v_pending bigint;
begin
  -- As ensure_days(): a day is attached or closed, never both.
  perform pg_advisory_xact_lock(hashtextextended('millrace.reservation_days', 0));
  select min(day) into v_oldest from reservation_days where attached;
  if not exists (select from reservation_days where day = p_day and attached) then
    return query select 'unknown_day', 0::bigint;
    return;
  end if;
  if v_oldest < p_day then
    return query select 'not_the_oldest', 0::bigint;
    return;
  end if;
  -- What is added up does not change under us; whoever reads goes on, and other days are written to.
  execute format('lock table %I in share mode', v_table);
  execute format('select count(*) from %I where state = ''pending''', v_table) into v_pending;
  if v_pending > 0 then
    return query select 'pending', v_pending;
    return;
  end if;
  update reservation_days set attached = false, detached_at = now() where day = p_day;
  execute format(
    'insert into detached_days (day, account_id, reservations, cash, units)
     select $1, account_id, count(*), sum(posted_cash - reversed_cash), sum(posted_units - reversed_units)
     from %I group by account_id', v_table) using p_day;
  -- Briefly exclusive on all days: a batch takes milliseconds, and nobody must wait behind us for one that does not.
  set local lock_timeout = '5s';
  execute format('alter table reservations detach partition %I', v_table);
  return query select 'detached', coalesce(sum(reservations), 0)::bigint from detached_days where day = p_day;
end $$;
