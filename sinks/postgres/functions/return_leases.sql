-- Takes back what partitions have given up of their leases, already written in their state: from pending to available. By
-- number, so that it may be said again: 'returned' the first time, then 'repeated'. Each names the number of the next grant
-- as well, which its partition will not ask for any more: where it was granted and never came into the partition's state
-- (a transaction was aborted), it goes back, too; where it was not, it never will be. Without that, nobody would know
-- whose it is. 'unknown': no such account, or a lease that is not of this ledger.
-- Each partition and account is named once. Whoever says it has given it up in its state: it need not own the partition.
create or replace function return_leases(
  p_topics text[], p_partitions integer[], p_tenants text[], p_lines text[],
  -- null: its state has none.
  p_leases integer[], p_numbers bigint[], p_cash bigint[], p_units bigint[], p_grants bigint[]
) returns table (place integer, outcome text) language plpgsql
-- As in reserve().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_return record;
  v_lease leases;
  -- A state that has no lease may not know of the grant of this number, but of nothing else.
  v_unknown boolean;
  v_cash bigint;
  v_units bigint;
begin
  -- In id order, and before any account: as settle() has it.
  perform 1
  from unnest(p_topics, p_partitions, p_tenants, p_lines, p_leases) as q (topic, partition, tenant_id, business_line, lease_id)
  join accounts a using (tenant_id, business_line)
  join leases l on l.account_id = a.account_id and l.topic = q.topic and l.partition = q.partition
    and (l.set_aside_at is null or l.lease_id = q.lease_id)
  order by l.lease_id
  for update of l;
  perform 1
  from accounts
  join budgets using (account_id)
  where (tenant_id, business_line) in (select * from unnest(p_tenants, p_lines))
  order by account_id
  for update of budgets;

  for v_return in
    select q.*, a.account_id
    from unnest(p_topics, p_partitions, p_tenants, p_lines, p_leases, p_numbers, p_cash, p_units, p_grants)
      with ordinality
      as q (topic, partition, tenant_id, business_line, lease_id, number, cash, units, grant_no, place)
    left join accounts a using (tenant_id, business_line)
    order by q.place
  loop
    select * into v_lease from leases l
    where l.account_id = v_return.account_id and l.topic = v_return.topic and l.partition = v_return.partition
      and case when v_return.lease_id is null then l.set_aside_at is null else l.lease_id = v_return.lease_id end;
    v_unknown := v_return.lease_id is null and v_lease.lease_id is not null and (
      v_lease.spends > 0
      or v_lease.cash_granted - v_lease.cash_spent - v_lease.cash_returned
        > case when v_lease.grant_no = v_return.grant_no then v_lease.last_cash else 0 end
      or v_lease.units_granted - v_lease.units_spent - v_lease.units_returned
        > case when v_lease.grant_no = v_return.grant_no then v_lease.last_units else 0 end
    );
    if v_unknown then
      -- The partition's state was lost: what it had left is a person's to give back, and nobody waits for it.
      update leases l set set_aside_at = now() where l.lease_id = v_lease.lease_id;
      v_lease := null;
    end if;
    if v_lease.lease_id is null and v_return.lease_id is null and v_return.account_id is not null then
      -- Only to say that the grant of this number comes too late.
      insert into leases (account_id, topic, partition) values (v_return.account_id, v_return.topic, v_return.partition)
      returning * into v_lease;
    end if;
    if v_lease.lease_id is null then
      return query select v_return.place::integer, 'unknown';
      continue;
    end if;
    if v_return.number <= v_lease.return_no then
      return query select v_return.place::integer, 'repeated';
      continue;
    end if;
    v_cash := v_return.cash + case when v_lease.grant_no = v_return.grant_no then v_lease.last_cash else 0 end;
    v_units := v_return.units + case when v_lease.grant_no = v_return.grant_no then v_lease.last_units else 0 end;
    update leases l
    set return_no = v_return.number, cash_returned = l.cash_returned + v_cash, units_returned = l.units_returned + v_units,
      grant_no = v_return.grant_no, last_cash = 0, last_units = 0
    where l.lease_id = v_lease.lease_id;
    update budgets b
    set cash_pending = b.cash_pending - v_cash, cash_available = b.cash_available + v_cash,
      pv_pending = b.pv_pending - v_units, pv_available = b.pv_available + v_units
    where b.account_id = v_return.account_id;
    return query select v_return.place::integer, 'returned';
  end loop;
end $$;
