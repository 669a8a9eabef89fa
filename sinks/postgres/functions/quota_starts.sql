-- The first day of the period that a day (UTC) belongs to.
create or replace function quota_starts(p_period text, p_day date) returns date language sql immutable
as $$
  select case p_period when 'day' then p_day else date_trunc('month', p_day::timestamp)::date end
$$;
