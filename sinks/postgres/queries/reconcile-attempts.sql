-- A day's attempts against its feedback, up to where the attempts are stored. The same event written twice has one
-- sequence, and counts once.
insert into found_breaks (
  class, break_id, tenant_id, business_line, message_id, generation, attempt, cash, units, currency, detail, correction
)
with once as (
  select distinct * from fed
),
-- The newest state is found by a number of both, as a hash needs no sort of them all.
told as (
  select tenant_id, message_id, generation, attempt, max(sequence) as sequence,
    (array['accepted', 'delivered', 'failed', 'unknown', 'held'])[
      max(sequence::bigint * 8 + array_position(array['accepted', 'delivered', 'failed', 'unknown', 'held'], state)) % 8
    ] as state,
    sum(cash)::bigint as cash, sum(units)::bigint as units
  from once
  group by tenant_id, message_id, generation, attempt
),
classed as (
  select t.tenant_id as told_tenant, tenant_id, message_id, generation, attempt, a.business_line, a.currency, a.sequence,
    coalesce(t.cash, 0) as cash, coalesce(t.units, 0) as units, t.state as told_state, a.state,
    coalesce(a.posted_cash, 0) as stored_cash, coalesce(a.posted_units, 0) as stored_units,
    case
      when a.message_id is null then 'attempt_missing'
      when t.message_id is null then 'attempt_unheard'
      when (t.sequence, t.state, t.cash, t.units) <> (a.sequence, a.state, a.posted_cash, a.posted_units::bigint)
        then 'attempt_differs'
    end as class
  from told t
  full join (
    select * from attempts
    where created_at >= (select day from reconciled) and created_at < (select day + 1 from reconciled)
  ) a using (tenant_id, message_id, generation, attempt)
)
select class, class || '/' || tenant_id || '/' || message_id || '/' || generation || '/' || attempt, tenant_id,
  business_line, message_id, generation, attempt, stored_cash - cash, stored_units - units, coalesce(currency, ''),
  format('stored %s, %s micros and %s PV; feedback %s, %s micros and %s PV', coalesce(state, 'nothing'), stored_cash,
    stored_units, coalesce(told_state, 'nothing'), cash, units),
  case when class <> 'attempt_unheard' then jsonb_build_object('of', 'attempt', 'sequence', sequence) end
from classed
where class is not null
