-- What was proposed since $1, and what is not over however old it is.
select account_id, rule, cash, units, proposed_at,
  case
    when state in ('review', 'person', 'approved') then 'undecided'
    when state = 'booked' then 'booked'
    else 'gone'
  end as state
from recharges
where proposed_at >= $1 or state in ('review', 'person', 'approved')
