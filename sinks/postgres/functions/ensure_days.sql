-- Attaches the partitions of these days and answers which of them take reservations. A day at or before one that was
-- detached is closed for good: its keys are gone, so a message of that day could be paid for twice.
-- A table made apart and then attached takes no lock that reserve() would wait for; "create ... partition of" would.
create or replace function ensure_days(p_days date[]) returns setof date language plpgsql as $$
declare
  v_day date;
  v_table text;
  v_closed date;
begin
  perform pg_advisory_xact_lock(hashtextextended('millrace.reservation_days', 0));
  select max(day) into v_closed from reservation_days where not attached;
  for v_day in select distinct day from unnest(p_days) as days (day) order by day loop
    continue when v_day <= v_closed;
    if not exists (select from reservation_days where day = v_day) then
      v_table := 'reservations_' || to_char(v_day, 'YYYYMMDD');
      -- Each row is rewritten once, when resolved: half-empty pages have room for that, and no index is touched (HOT).
      execute format(
        'create table %I (like reservations including defaults including constraints including indexes) with (fillfactor = 50)',
        v_table);
      execute format(
        'alter table %I add constraint %I check (day = %L)', v_table, v_table || '_day', v_day);
      execute format(
        'alter table reservations attach partition %I for values from (%L) to (%L)', v_table, v_day, v_day + 1);
      insert into reservation_days (day) values (v_day);
    end if;
    return next v_day;
  end loop;
end $$;
