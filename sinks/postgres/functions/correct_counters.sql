-- Adds to an account's pending and posted what its reservations have and the counters have not, as found in one
-- snapshot, and takes it from available. All that messages do meanwhile changes both alike, so the difference stays what
-- it was. The id holds how many corrections the account's counters had had then: two that found the same are booked once,
-- and the same difference again later is another one. Outcomes: 'booked', 'repeated', 'overdrawn' (a counter would be
-- below 0).
create or replace function correct_counters(
  p_correction text, p_class text, p_account integer,
  p_cash_pending bigint, p_cash_posted bigint, p_pv_pending bigint, p_pv_posted bigint, p_actor text, p_note text
) returns text language plpgsql as $$
declare
  v_budget budgets;
begin
  select * into v_budget from budgets where account_id = p_account for update;
  if exists (select from corrections where correction_id = p_correction) then
    return 'repeated';
  end if;
  if least(
    v_budget.cash_pending + p_cash_pending, v_budget.cash_posted + p_cash_posted,
    v_budget.pv_pending + p_pv_pending, v_budget.pv_posted + p_pv_posted,
    v_budget.cash_available - p_cash_pending - p_cash_posted, v_budget.pv_available - p_pv_pending - p_pv_posted
  ) < 0 then
    return 'overdrawn';
  end if;
  insert into corrections (
    correction_id, class, account_id, cash_pending, cash_posted, pv_pending, pv_posted, actor, note
  )
  values (
    p_correction, p_class, p_account, p_cash_pending, p_cash_posted, p_pv_pending, p_pv_posted, p_actor, p_note
  );
  update budgets
  set cash_pending = cash_pending + p_cash_pending, cash_posted = cash_posted + p_cash_posted,
    cash_available = cash_available - p_cash_pending - p_cash_posted,
    pv_pending = pv_pending + p_pv_pending, pv_posted = pv_posted + p_pv_posted,
    pv_available = pv_available - p_pv_pending - p_pv_posted
  where account_id = p_account;
  return 'booked';
end $$;
