-- A day's reservations against its attempts. $1: what was reserved before it and is pending without an end is overdue.
insert into found_breaks (
  class, break_id, account_id, tenant_id, business_line, message_id, generation, cash, units, currency, detail, correction
)
with compared as (
  select tenant_id, message_id, generation, r.account_id, r.state, r.cash as held_cash, r.units as held_units,
    r.posted_cash, r.posted_units, r.reversed_cash, r.reversed_units,
    r.posted_cash - r.reversed_cash as net_cash, r.posted_units - r.reversed_units as net_units,
    coalesce(a.cash, 0) as cash, coalesce(a.units, 0) as units, coalesce(a.paid, 0) as paid, a.ended, a.business_line,
    a.currency, a.message_id is not null as attempted, r.message_id is not null as reserved,
    coalesce(a.cash > 0 or a.units > 0, false) as cost,
    r.reserved_at
  from (select * from reservations where day = (select day from reconciled)) r
  full join day_attempts a using (tenant_id, message_id, generation)
  where (r.state is distinct from 'voided' or a.cash > 0 or a.units > 0)
),
classed as (
  select *,
    case
      when not reserved then case when cost then 'attempt_without_reservation' end
      when paid > 1 then 'posted_twice'
      when state = 'pending' and cost then 'reservation_unposted'
      when state = 'pending' and ended in ('failed', 'unknown') then 'reservation_unvoided'
      when state = 'pending' and ended is not null then 'amount_differs'
      when state = 'pending' then case when reserved_at < $1::timestamptz then 'pending_overdue' end
      when state = 'voided' then case when cost then 'voided_but_posted' end
      when not attempted then case when net_cash > 0 or net_units > 0 then 'posted_without_attempt' end
      when state = 'posted' and not cost and (net_cash > 0 or net_units > 0) and ended in ('failed', 'unknown')
        then 'reservation_unreversed'
      when cash > held_cash and net_cash = held_cash and units >= net_units then 'post_clamped'
      when (cash, units) <> (net_cash, net_units) then 'amount_differs'
    end as class
  from compared
)
select c.class, c.class || '/' || d.day || '/' || c.tenant_id || '/' || c.message_id || '/' || c.generation, c.account_id,
  c.tenant_id, coalesce(o.business_line, c.business_line), c.message_id, c.generation,
  case
    when c.class in ('pending_overdue', 'reservation_unvoided') then c.held_cash
    when c.state = 'pending' or c.class in ('attempt_without_reservation', 'voided_but_posted') then c.cash
    when c.class = 'posted_without_attempt' or c.class = 'reservation_unreversed' then c.net_cash
    else c.net_cash - c.cash
  end,
  case
    when c.class in ('pending_overdue', 'reservation_unvoided') then c.held_units
    when c.state = 'pending' or c.class in ('attempt_without_reservation', 'voided_but_posted') then c.units
    when c.class = 'posted_without_attempt' or c.class = 'reservation_unreversed' then c.net_units
    else c.net_units - c.units
  end,
  coalesce(o.currency, c.currency, ''),
  format('reservation %s, %s micros and %s PV booked; attempts %s, %s micros and %s PV paid',
    coalesce(c.state::text, 'none'), coalesce(c.net_cash, 0), coalesce(c.net_units, 0),
    case when not c.attempted then 'none' else coalesce(c.ended, 'open') end, c.cash, c.units),
  case when c.class in ('reservation_unposted', 'reservation_unvoided', 'voided_but_posted', 'reservation_unreversed')
    -- What a message reserved is the most that its account can be asked for.
    and c.cash <= c.held_cash and c.units <= c.held_units
  then jsonb_build_object(
    'of', 'reservation',
    'found', jsonb_build_object('state', c.state, 'postedCash', c.posted_cash::text, 'postedUnits', c.posted_units,
      'reversedCash', c.reversed_cash::text, 'reversedUnits', c.reversed_units),
    'right', case c.class
      when 'reservation_unvoided' then jsonb_build_object('state', 'voided', 'postedCash', '0', 'postedUnits', 0,
        'reversedCash', '0', 'reversedUnits', 0)
      when 'reservation_unreversed' then jsonb_build_object('state', 'reversed', 'postedCash', c.posted_cash::text,
        'postedUnits', c.posted_units, 'reversedCash', c.posted_cash::text, 'reversedUnits', c.posted_units)
      else jsonb_build_object('state', 'posted', 'postedCash', c.cash::text, 'postedUnits', c.units,
        'reversedCash', '0', 'reversedUnits', 0)
    end)
  end
from classed c
cross join reconciled d
left join accounts o on o.account_id = c.account_id
where c.class is not null
  and not exists (
    select from in_flight f
    where f.tenant_id = c.tenant_id and f.message_id = c.message_id and f.generation = c.generation
  )
