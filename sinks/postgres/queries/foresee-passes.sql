-- What admit_passes() would answer now, without letting anything in. A row a question, in order.
select q.place::integer as place,
  case
    when p.tenant_id is not null then 'passed'
    when q.release_no = 0 and q.day <= (select max(day) from reservation_days where not attached) then 'detached'
    when q.release_no = 0 and r.state is not null then 'reserved'
    when q.release_no = 0 and a.newest is not null then 'attempted'
    when q.stage = 'send' and a.newest >= q.attempt then 'attempted'
    when q.stage = 'send' and r.state is null then 'unpaid'
    when q.stage = 'send' and r.state <> 'pending' then 'reserved'
    else 'pass'
  end as kind
from unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::integer[], $6::integer[], $7::date[]) with ordinality
  as q (tenant_id, message_id, generation, stage, release_no, attempt, day, place)
left join lateral (
  select tenant_id from passes p
  where p.tenant_id = q.tenant_id and p.message_id = q.message_id and p.generation = q.generation
    and p.stage = q.stage and p.release_no = q.release_no
  limit 1
) p on true
left join lateral (
  select state from reservations r
  where r.day = q.day and r.tenant_id = q.tenant_id and r.message_id = q.message_id and r.generation = q.generation
  limit 1
) r on true
left join lateral (
  select max(a.attempt) as newest from attempts a
  where a.tenant_id = q.tenant_id and a.message_id = q.message_id and a.generation = q.generation
) a on true
order by q.place
