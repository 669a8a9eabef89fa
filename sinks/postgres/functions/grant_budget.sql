-- Recharges an account, making it where there is none. The transfer's id makes it once: again with the same content
-- it answers false, with other content it is refused.
create or replace function grant_budget(
  p_transfer text, p_tenant text, p_line text, p_currency text, p_cash bigint, p_units bigint, p_note text
) returns boolean language plpgsql as $$
declare
  v_account accounts;
  v_known transfers;
begin
  insert into accounts (tenant_id, business_line, currency) values (p_tenant, p_line, p_currency)
  on conflict (tenant_id, business_line) do nothing;
  select * into strict v_account from accounts where tenant_id = p_tenant and business_line = p_line;
  insert into budgets (account_id) values (v_account.account_id) on conflict do nothing;
  if v_account.currency <> p_currency then
    raise exception 'account %/% is kept in %, not in %', p_tenant, p_line, v_account.currency, p_currency
      using errcode = 'invalid_parameter_value';
  end if;

  insert into transfers (transfer_id, account_id, kind, cash, units, note)
  values (p_transfer, v_account.account_id, 'grant', p_cash, p_units, p_note)
  on conflict (transfer_id) do nothing;
  if not found then
    select * into strict v_known from transfers where transfer_id = p_transfer;
    if (v_known.account_id, v_known.cash, v_known.units) <> (v_account.account_id, p_cash, p_units) then
      raise exception 'transfer % exists with other content', p_transfer using errcode = 'invalid_parameter_value';
    end if;
    return false;
  end if;

  update budgets
  set cash_granted = cash_granted + p_cash, cash_available = cash_available + p_cash,
    pv_granted = pv_granted + p_units, pv_available = pv_available + p_units
  where account_id = v_account.account_id;
  return true;
end $$;
