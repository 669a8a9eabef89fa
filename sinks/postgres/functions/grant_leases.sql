-- Grants leases: each named partition and account gets the grant that it asks for by number, moved from available to
-- pending. Asked again, the number that was granted last answers what it was given, so whoever is killed between Postgres
-- and Kafka loses nothing. A new one is as much as was wanted, at most a fiftieth of what is available between all
-- leases of the account; where that is less than what is needed at once the outcome is 'direct' and nothing is moved: the
-- account is nearly empty, closed, recalling what leases hold, unknown, or kept in another currency, and reserve() is
-- asked instead. The lease that is answered is the one that was named unless the partition's state is older than what is
-- known here: then the old one is left for a person, and a new one begins.
-- Each partition and account is named once. 'not_the_owner' as in reserve().
create or replace function grant_leases(
  p_owned_topics text[], p_owned_partitions integer[], p_epochs bigint[],
  p_topics text[], p_partitions integer[], p_tenants text[], p_lines text[], p_currencies text[],
  -- As the partition's state has it; null: it has none.
  p_leases integer[], p_grants bigint[], p_spends bigint[],
  p_need_cash bigint[], p_need_units bigint[], p_want_cash bigint[], p_want_units bigint[]
) returns table (place integer, outcome text, lease_id integer, grant_no bigint, cash bigint, units bigint)
language plpgsql
-- As in reserve().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_ask record;
  v_account record;
  v_lease leases;
  -- The lease is the one that the partition's state has.
  v_known boolean;
  v_open bigint;
  v_cash bigint;
  v_units bigint;
begin
  if not owns(p_owned_topics, p_owned_partitions, p_epochs) then
    return query select 0, 'not_the_owner', null::integer, null::bigint, null::bigint, null::bigint;
    return;
  end if;
  -- In id order, and before any account: as settle() has it.
  perform 1
  from unnest(p_topics, p_partitions, p_tenants, p_lines) as q (topic, partition, tenant_id, business_line)
  join accounts a using (tenant_id, business_line)
  join leases l on l.topic = q.topic and l.partition = q.partition and l.account_id = a.account_id and l.set_aside_at is null
  order by l.lease_id
  for update of l;
  perform 1
  from accounts
  join budgets using (account_id)
  where (tenant_id, business_line) in (select * from unnest(p_tenants, p_lines))
  order by account_id
  for update of budgets;

  for v_ask in
    select * from unnest(
      p_topics, p_partitions, p_tenants, p_lines, p_currencies, p_leases, p_grants, p_spends, p_need_cash, p_need_units,
      p_want_cash, p_want_units
    ) with ordinality as q (
      topic, partition, tenant_id, business_line, currency, lease_id, grant_no, spends, need_cash, need_units, want_cash,
      want_units, place
    )
  loop
    select a.*, b.cash_available, b.pv_available into v_account
    from accounts a join budgets b using (account_id)
    where a.tenant_id = v_ask.tenant_id and a.business_line = v_ask.business_line;
    select * into v_lease from leases l
    where l.topic = v_ask.topic and l.partition = v_ask.partition and l.account_id = v_account.account_id
      and l.set_aside_at is null;
    -- Granted before: the partition's transaction was aborted, or its owner killed.
    v_known := coalesce(
      v_lease.spends <= v_ask.spends and (v_lease.lease_id = v_ask.lease_id or v_ask.lease_id is null), false);
    if v_known and v_lease.grant_no = v_ask.grant_no then
      return query select v_ask.place::integer, 'granted', v_lease.lease_id, v_lease.grant_no, v_lease.last_cash, v_lease.last_units;
      continue;
    end if;
    -- Its state is older than what is known here. Before anything else: whoever waits for what it holds waits in vain.
    if not v_known or v_lease.grant_no <> v_ask.grant_no - 1 then
      update leases l set set_aside_at = now() where l.lease_id = v_lease.lease_id;
      v_lease := null;
    end if;
    select count(*) into v_open from leases l
    where l.account_id = v_account.account_id and l.set_aside_at is null and l.lease_id is distinct from v_lease.lease_id
      and (l.cash_granted > l.cash_spent + l.cash_returned or l.units_granted > l.units_spent + l.units_returned);
    v_cash := least(v_ask.want_cash, v_account.cash_available / (50 * (v_open + 1)));
    v_units := least(v_ask.want_units, v_account.pv_available / (50 * (v_open + 1)));
    if v_account.account_id is null or not v_account.open or v_account.currency <> v_ask.currency
      or v_account.recalling_at > now() - interval '30 seconds'
      or v_cash < v_ask.need_cash or v_units < v_ask.need_units
    then
      return query select v_ask.place::integer, 'direct', null::integer, null::bigint, null::bigint, null::bigint;
      continue;
    end if;
    if v_lease.lease_id is null then
      insert into leases (account_id, topic, partition, grant_no)
      values (v_account.account_id, v_ask.topic, v_ask.partition, v_ask.grant_no - 1)
      returning * into v_lease;
    end if;
    update leases l
    set grant_no = l.grant_no + 1, last_cash = v_cash, last_units = v_units, granted_at = now(),
      cash_granted = l.cash_granted + v_cash, units_granted = l.units_granted + v_units
    where l.lease_id = v_lease.lease_id
    returning * into v_lease;
    update budgets b
    set cash_available = b.cash_available - v_cash, cash_pending = b.cash_pending + v_cash,
      pv_available = b.pv_available - v_units, pv_pending = b.pv_pending + v_units
    where b.account_id = v_account.account_id;
    return query select v_ask.place::integer, 'granted', v_lease.lease_id, v_lease.grant_no, v_cash, v_units;
  end loop;
end $$;
