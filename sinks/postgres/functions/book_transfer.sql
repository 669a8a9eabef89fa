-- Books a grant (to an account), a transfer (from one to another of the same tenant and currency, both or neither) or a
-- close (of an account). The id makes it once: again with the same content it answers 'repeated' and what was left the
-- first time; with other content 'idempotency_conflict'. Else the outcome is 'booked' (without p_apply: it would be), or
-- why it is refused; nothing is kept of a refusal, so that the same id may pass later. What is left is what is available
-- in either account: after it was booked, or as it stands where it was refused.
-- A closed account takes nothing in and reserves nothing; what is left may be moved out, or it would be lost.
create or replace function book_transfer(
  p_transfer text, p_kind text, p_tenant text, p_line text, p_from_tenant text, p_from_line text,
  -- null: not named, of PV alone and of a close.
  p_currency text,
  p_cash bigint, p_units bigint, p_actor text, p_note text, p_apply boolean
) returns table (
  outcome text, booked_at timestamptz, cash_left bigint, units_left bigint, from_cash_left bigint, from_units_left bigint
) language plpgsql as $$
#variable_conflict use_column
declare
  c_most constant bigint := 9223372036854775807;
  v_known transfers;
  v_account record;
  v_from record;
  v_refusal text;
  v_now timestamptz;
begin
  -- In id order, as reserve() and settle() lock them. The next statements' snapshots are taken under the locks.
  perform 1
  from accounts
  join budgets using (account_id)
  where (tenant_id, business_line) in ((p_tenant, p_line), (p_from_tenant, p_from_line))
  order by account_id
  for update of budgets;
  select * into v_account from accounts join budgets using (account_id)
  where tenant_id = p_tenant and business_line = p_line;
  select * into v_from from accounts join budgets using (account_id)
  where tenant_id = p_from_tenant and business_line = p_from_line;
  select * into v_known from transfers where transfer_id = p_transfer;

  v_refusal := case
    when v_known.transfer_id is not null then
      case
        when (v_known.kind, v_known.account_id, v_known.cash, v_known.units) = (p_kind, v_account.account_id, p_cash, p_units)
          and v_known.from_account_id is not distinct from v_from.account_id
          and coalesce(p_currency = v_account.currency, true) then 'repeated'
        else 'idempotency_conflict'
      end
    when p_cash < 0 or p_units < 0 then 'negative_amount'
    when p_cash = 0 and p_units = 0 and p_kind <> 'close' then 'zero_amount'
    when v_account.account_id is null or (p_kind = 'transfer' and v_from.account_id is null) then 'unknown_account'
    when not v_account.open then 'account_closed'
    when v_from.account_id = v_account.account_id then 'same_account'
    when v_from.tenant_id <> v_account.tenant_id then 'other_tenant'
    when p_currency <> v_account.currency or v_from.currency <> v_account.currency then 'currency'
    when v_from.cash_available < p_cash then 'budget_cash'
    when v_from.pv_available < p_units then 'budget_pv'
    when v_account.cash_granted > c_most - p_cash or v_account.pv_granted > c_most - p_units then 'overflow'
  end;
  if v_refusal = 'repeated' then
    return query select v_refusal, v_known.created_at, v_known.cash_left, v_known.units_left,
      v_known.from_cash_left, v_known.from_units_left;
    return;
  end if;
  if v_refusal is not null then
    return query select v_refusal, null::timestamptz, v_account.cash_available, v_account.pv_available,
      v_from.cash_available, v_from.pv_available;
    return;
  end if;

  -- Under the locks: an account's transfers are in the order of their times.
  v_now := clock_timestamp();
  if p_apply then
    insert into transfers (
      transfer_id, account_id, from_account_id, kind, cash, units, actor, note, created_at,
      cash_left, units_left, from_cash_left, from_units_left
    )
    values (
      p_transfer, v_account.account_id, v_from.account_id, p_kind, p_cash, p_units, p_actor, p_note, v_now,
      v_account.cash_available + p_cash, v_account.pv_available + p_units,
      v_from.cash_available - p_cash, v_from.pv_available - p_units
    )
    on conflict (transfer_id) do nothing;
    if not found then
      -- Booked in this moment on other accounts, as these are locked.
      return query select 'idempotency_conflict', null::timestamptz, v_account.cash_available, v_account.pv_available,
        v_from.cash_available, v_from.pv_available;
      return;
    end if;
    update budgets b
    set cash_granted = b.cash_granted + s.cash, cash_available = b.cash_available + s.cash,
      pv_granted = b.pv_granted + s.units, pv_available = b.pv_available + s.units
    from (values (v_account.account_id, p_cash, p_units), (v_from.account_id, -p_cash, -p_units)) as s (account_id, cash, units)
    where b.account_id = s.account_id and p_kind <> 'close';
    update accounts set open = false where account_id = v_account.account_id and p_kind = 'close';
  end if;
  return query select 'booked', v_now, v_account.cash_available + p_cash, v_account.pv_available + p_units,
    v_from.cash_available - p_cash, v_from.pv_available - p_units;
end $$;
