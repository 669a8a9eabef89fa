-- Gives back what a lease that was set aside has left: nobody spends of it any more. p_settle: the consumer that books
-- spends; what of the lease was spent before it was set aside must be booked, or its money would be given twice.
-- Outcomes: 'given_back'; 'unknown'; 'in_use': its partition may still spend of it, and returns it by itself; 'unsettled':
-- that consumer has not passed the time when it was set aside; 'nothing': it has nothing left.
create or replace function give_back_lease(
  p_lease integer, p_settle text
) returns table (outcome text, cash bigint, units bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_lease leases;
  v_passed timestamptz;
  v_cash bigint;
  v_units bigint;
begin
  select * into v_lease from leases where lease_id = p_lease for update;
  select case when count(*) = count(passed) then min(passed) end into v_passed from offsets where consumer = p_settle;
  v_cash := v_lease.cash_granted - v_lease.cash_spent - v_lease.cash_returned;
  v_units := v_lease.units_granted - v_lease.units_spent - v_lease.units_returned;
  outcome := case
    when v_lease.lease_id is null then 'unknown'
    when v_lease.set_aside_at is null then 'in_use'
    when v_passed is null or v_passed <= v_lease.set_aside_at then 'unsettled'
    when v_cash = 0 and v_units = 0 then 'nothing'
    else 'given_back'
  end;
  if outcome = 'given_back' then
    update leases l
    set cash_returned = l.cash_returned + v_cash, units_returned = l.units_returned + v_units
    where l.lease_id = p_lease;
    update budgets b
    set cash_pending = b.cash_pending - v_cash, cash_available = b.cash_available + v_cash,
      pv_pending = b.pv_pending - v_units, pv_available = b.pv_available + v_units
    where b.account_id = v_lease.account_id;
  end if;
  return query select outcome, v_cash, v_units;
end $$;
