-- Spends an account in order, skipping what does not fit: a running sum that a plain window cannot express.
-- Used only for accounts that a whole batch would overdraw.
do $$
begin
  create type taking as (cash bigint, units bigint, taken boolean);
exception when duplicate_object then null;
end $$;

create or replace function take_next(
  spent taking, cash bigint, units integer, cash_available bigint, pv_available bigint
) returns taking language sql immutable as $$
  select case
    when spent.cash + take_next.cash <= cash_available and spent.units + take_next.units <= pv_available
    then row(spent.cash + take_next.cash, spent.units + take_next.units, true)::taking
    else row(spent.cash, spent.units, false)::taking
  end
$$;

create or replace aggregate take(bigint, integer, bigint, bigint) (
  sfunc = take_next,
  stype = taking,
  initcond = '(0,0,f)'
);
