-- The provider's statement ($1: whose) against its attempts. $2: all attempts of the day are stored, so an id that none
-- has is unknown.
insert into found_breaks (
  class, break_id, tenant_id, business_line, message_id, generation, attempt, cash, units, currency, detail
)
with numbered as (
  select s.*, s.line <> coalesce(r.first, s.line) as again
  from stated s
  left join (
    select provider_message_id, min(line) as first from stated group by provider_message_id having count(*) > 1
  ) r using (provider_message_id)
),
named as (
  select * from attempts where provider = $1 and provider_message_id is not null
),
lined as (
  select s.line, s.provider_message_id, s.cash, s.currency, a.tenant_id, a.business_line, a.message_id,
    a.generation, a.attempt, a.posted_cash, a.currency as booked_currency,
    case
      when s.again then 'statement_duplicate'
      when a.message_id is null then case when $2::boolean then 'statement_unknown' end
      when a.currency not in ('', s.currency) then 'statement_currency'
      when a.posted_cash <> s.cash then 'statement_amount'
    end as class
  from numbered s
  left join named a using (provider_message_id)
)
select class, class || '/' || $1 || '/' || provider_message_id || '/' || line, tenant_id, business_line, message_id,
  generation, attempt,
  case class when 'statement_amount' then cash - posted_cash else cash end, 0, currency,
  format('line %s, id %s: %s micros %s stated, %s', line, provider_message_id, cash, currency,
    coalesce(posted_cash || ' micros ' || booked_currency || ' booked', 'no such attempt'))
from lined
where class is not null and not exists (
  select from in_flight f
  where f.tenant_id = lined.tenant_id and f.message_id = lined.message_id and f.generation = lined.generation
)
union all
select 'statement_missing', 'statement_missing/' || $1 || '/' || a.tenant_id || '/' || a.message_id || '/' || a.generation
    || '/' || a.attempt,
  a.tenant_id, a.business_line, a.message_id, a.generation, a.attempt, a.posted_cash, a.posted_units, a.currency,
  format('%s micros %s booked, id %s is in no line', a.posted_cash, a.currency, coalesce(a.provider_message_id, 'unknown'))
from attempts a
where a.provider = $1 and a.posted_cash > 0
  and a.attempted_at >= (select day from reconciled) and a.attempted_at < (select day + 1 from reconciled)
  and not exists (select from stated s where s.provider_message_id = a.provider_message_id)
  and not exists (
    select from in_flight f
    where f.tenant_id = a.tenant_id and f.message_id = a.message_id and f.generation = a.generation
  )
