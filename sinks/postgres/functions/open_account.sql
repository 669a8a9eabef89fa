-- Opens an account with nothing in it. Answers 'opened'; 'there' where it is already, open or closed; 'currency' where it
-- is there and kept in another.
create or replace function open_account(p_tenant text, p_line text, p_currency text) returns text language plpgsql as $$
declare
  v_account integer;
begin
  insert into accounts (tenant_id, business_line, currency) values (p_tenant, p_line, p_currency)
  on conflict (tenant_id, business_line) do nothing
  returning account_id into v_account;
  if found then
    insert into budgets (account_id) values (v_account);
    return 'opened';
  end if;
  perform 1 from accounts where tenant_id = p_tenant and business_line = p_line and currency = p_currency;
  return case when found then 'there' else 'currency' end;
end $$;
