-- Adds what settlements came to, to the counters of quotas.
do $$
begin
  create type quota_move as (
    quota_id integer, starts date, cash_held bigint, cash_used bigint, units_held bigint, units_used bigint
  );
exception when duplicate_object then null;
end $$;

-- To be called last in a transaction: counters are locked after accounts, in the order of quota and period, by everybody.
create or replace function move_quotas(p_moves quota_move[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  perform 1
  from (select distinct quota_id, starts from unnest(p_moves) as m) as moved
  join quota_counters c using (quota_id, starts)
  order by quota_id, starts
  for update of c;

  update quota_counters c
  set cash_held = c.cash_held + s.cash_held, cash_used = c.cash_used + s.cash_used,
    units_held = c.units_held + s.units_held, units_used = c.units_used + s.units_used
  from (
    select quota_id, starts, sum(cash_held)::bigint as cash_held, sum(cash_used)::bigint as cash_used,
      sum(units_held)::bigint as units_held, sum(units_used)::bigint as units_used
    from unnest(p_moves) as m
    group by quota_id, starts
  ) s
  where c.quota_id = s.quota_id and c.starts = s.starts;
end $$;
