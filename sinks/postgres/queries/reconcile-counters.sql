-- Counters against the rows that they sum up, of all days: attached reservations, detached days, the journal; and
-- what leases have not spent.
insert into found_breaks (
  class, break_id, account_id, tenant_id, business_line, cash, units, currency, detail, correction
)
with summed as (
  select account_id, sum(cash_pending)::bigint as cash_pending, sum(cash_posted)::bigint as cash_posted,
    sum(pv_pending)::bigint as pv_pending, sum(pv_posted)::bigint as pv_posted
  from (
    select account_id, coalesce(sum(cash) filter (where state = 'pending'), 0) as cash_pending,
      sum(posted_cash - reversed_cash) as cash_posted,
      coalesce(sum(units) filter (where state = 'pending'), 0) as pv_pending,
      sum(posted_units - reversed_units) as pv_posted
    from reservations group by account_id
    union all
    select account_id, 0, sum(cash), 0, sum(units) from detached_days group by account_id
    union all
    select account_id, sum(cash_granted - cash_spent - cash_returned), 0, sum(units_granted - units_spent - units_returned), 0
    from leases group by account_id
    union all
    select account_id, sum(cash), 0, sum(units), 0 from waiting_spends group by account_id
  ) parts
  group by account_id
),
journal as (
  select account_id, sum(cash)::bigint as cash, sum(units)::bigint as units
  from (
    select account_id, cash, units from transfers
    union all
    select from_account_id, -cash, -units from transfers where from_account_id is not null
  ) ends
  group by account_id
),
compared as (
  select a.account_id, a.tenant_id, a.business_line, a.currency, b.cash_pending, b.cash_posted, b.cash_granted,
    b.pv_pending, b.pv_posted, b.pv_granted,
    coalesce(s.cash_pending, 0) as rows_cash_pending, coalesce(s.cash_posted, 0) as rows_cash_posted,
    coalesce(s.pv_pending, 0) as rows_pv_pending, coalesce(s.pv_posted, 0) as rows_pv_posted,
    coalesce(j.cash, 0) as journal_cash, coalesce(j.units, 0) as journal_units,
    (select count(*) from corrections c where c.account_id = a.account_id and c.day is null) as corrected
  from accounts a
  join budgets b using (account_id)
  left join summed s using (account_id)
  left join journal j using (account_id)
)
select f.class, f.class || '/' || c.tenant_id || '/' || c.business_line || '/' || c.corrected, c.account_id, c.tenant_id,
  c.business_line, f.counter_cash - f.rows_cash, f.counter_units - f.rows_units, c.currency,
  format('counter %s micros and %s PV, rows %s micros and %s PV', f.counter_cash, f.counter_units, f.rows_cash, f.rows_units),
  case f.class
    when 'counter_pending' then jsonb_build_object(
      'of', 'counters', 'cashPending', (f.rows_cash - f.counter_cash)::text, 'pvPending', (f.rows_units - f.counter_units)::text,
      'cashPosted', '0', 'pvPosted', '0')
    when 'counter_posted' then jsonb_build_object(
      'of', 'counters', 'cashPosted', (f.rows_cash - f.counter_cash)::text, 'pvPosted', (f.rows_units - f.counter_units)::text,
      'cashPending', '0', 'pvPending', '0')
  end
from compared c
cross join lateral (values
  ('counter_pending', c.cash_pending, c.pv_pending, c.rows_cash_pending, c.rows_pv_pending),
  ('counter_posted', c.cash_posted, c.pv_posted, c.rows_cash_posted, c.rows_pv_posted),
  ('counter_granted', c.cash_granted, c.pv_granted, c.journal_cash, c.journal_units)
) as f (class, counter_cash, counter_units, rows_cash, rows_units)
where (f.counter_cash, f.counter_units) <> (f.rows_cash, f.rows_units)
