-- What a day's attempts say of each message: what was paid for and not paid back, and how it ended. In leased mode a
-- message has no reservation of its own.
create temporary table day_attempts as
select tenant_id, message_id, generation, min(business_line) as business_line, max(currency) as currency,
  sum(posted_cash)::bigint as cash, sum(posted_units)::bigint as units,
  count(*) filter (where posted_cash > 0 or posted_units > 0) as paid,
  -- null: more will be tried, or is awaited.
  max(state) filter (where terminal) as ended
from attempts
where created_at >= (select day from reconciled) and created_at < (select day + 1 from reconciled) and lease_id is null
group by tenant_id, message_id, generation
