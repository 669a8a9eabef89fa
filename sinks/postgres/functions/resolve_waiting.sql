-- Resolves what waited for these spends, now that they are booked, in the order in which it was read. Of a spend that is
-- not booked (it waits itself, or its money went back) it goes on waiting.
create or replace function resolve_waiting(
  p_leases integer[], p_spends bigint[]
) returns table (kind text, amount bigint) language plpgsql
-- As in resolve_reservations().
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_due waiting_postings[];
begin
  with due as (
    delete from waiting_postings w
    using unnest(p_leases, p_spends) as booked (lease_id, spend_no), reservations r
    where w.lease_id = booked.lease_id and w.spend_no = booked.spend_no
      and r.day = w.day and r.tenant_id = w.tenant_id and r.message_id = w.message_id and r.generation = w.generation
      and r.lease_id = w.lease_id and r.spend_no = w.spend_no
    returning w.*
  )
  select array_agg(due::waiting_postings order by posting_no) into v_due from due;
  if v_due is null then
    return;
  end if;
  return query
  select r.kind, r.amount
  from (
    select array_agg(kind order by posting_no) as kind, array_agg(day order by posting_no) as day,
      array_agg(tenant_id order by posting_no) as tenant_id, array_agg(message_id order by posting_no) as message_id,
      array_agg(generation order by posting_no) as generation, array_agg(cash order by posting_no) as cash,
      array_agg(units order by posting_no) as units, array_agg(renewable order by posting_no) as renewable,
      array_agg(round order by posting_no) as round, array_agg(channel order by posting_no) as channel,
      array_agg(lease_id order by posting_no) as lease_id, array_agg(spend_no order by posting_no) as spend_no
    from (
      select *, row_number() over (partition by lease_id, spend_no order by posting_no)::integer as round
      from unnest(v_due)
    ) numbered
  ) w
  cross join lateral resolve_reservations(
    w.kind, w.day, w.tenant_id, w.message_id, w.generation, w.cash, w.units, w.renewable, w.round, w.channel,
    w.lease_id, w.spend_no
  ) as r;
end $$;
