-- What leases hold and have not spent, by account; and what has waited for the other half for over $1 seconds.
select a.tenant_id, a.business_line, a.currency, coalesce(l.cash, 0)::bigint as cash, coalesce(l.units, 0)::bigint as units,
  coalesce(l.aside, 0)::integer as set_aside,
  (select count(*)::integer from waiting_spends where waiting_since < now() - make_interval(secs => $1)) as spends,
  (select count(*)::integer from waiting_postings where waiting_since < now() - make_interval(secs => $1)) as postings
from accounts a
left join (
  select account_id, sum(cash_granted - cash_spent - cash_returned) as cash,
    sum(units_granted - units_spent - units_returned) as units,
    count(*) filter (
      where set_aside_at is not null
        and (cash_granted > cash_spent + cash_returned or units_granted > units_spent + units_returned)
    ) as aside
  from leases
  group by account_id
) l using (account_id)
order by a.tenant_id, a.business_line
