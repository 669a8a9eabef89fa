-- Books a recharge that is approved, under its own id, and ends it: 'booked', or why the ledger refuses it for good. One
-- that is not approved (any more) is left alone and answers its state. A worker may call this and not book_transfer():
-- it can book nothing that the archive does not have.
create or replace function book_recharge(p_recharge text) returns text language plpgsql as $$
declare
  v_recharge record;
  v_outcome text;
begin
  select * into v_recharge from recharges join accounts using (account_id)
  where recharge_id = p_recharge
  for update of recharges;
  if v_recharge.state is distinct from 'approved' then
    return v_recharge.state;
  end if;
  select outcome into v_outcome from book_transfer(
    p_recharge, 'grant', v_recharge.tenant_id, v_recharge.business_line, null, null, v_recharge.currency,
    v_recharge.cash, v_recharge.units, v_recharge.decided_by,
    'recharge rule ' || v_recharge.rule || ': ' || v_recharge.reason, true
  );
  if v_outcome = 'repeated' then
    v_outcome := 'booked';
  end if;
  update recharges
  set state = case v_outcome when 'booked' then 'booked' else 'refused' end,
    refusal = nullif(v_outcome, 'booked'), ended_at = now()
  where recharge_id = p_recharge;
  return v_outcome;
end $$;
