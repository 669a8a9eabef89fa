-- The topic `accounts` has these states. Where another worker told an account in between, nobody knows which of the two
-- records lies last: level -1 is none's, and the account is told again.
insert into account_levels (account_id, level, open, recalling, recharged_at, version, published_at)
select t.account_id, t.level, t.open, t.recalling, t.recharged_at, t.version + 1, now()
from unnest($1::integer[], $2::smallint[], $3::boolean[], $4::boolean[], $5::timestamptz[], $6::bigint[])
  as t (account_id, level, open, recalling, recharged_at, version)
order by t.account_id
on conflict (account_id) do update
set level = case when account_levels.version + 1 = excluded.version then excluded.level else -1 end,
  open = excluded.open,
  recalling = excluded.recalling,
  recharged_at = excluded.recharged_at,
  version = account_levels.version + 1,
  published_at = excluded.published_at
