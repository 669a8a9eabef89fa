-- Days that are attached and older than $1, oldest first, with what of each is not resolved.
select
  d.day::text as day,
  count(r.state) as reservations,
  count(*) filter (where r.state = 'pending') as pending
from reservation_days d
left join reservations r on r.day = d.day
where d.attached and d.day < $1
group by d.day
order by d.day
