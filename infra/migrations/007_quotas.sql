-- Up Migration

-- How much a tenant, or one of its business lines, may send over a channel in a period. config apply writes the limits;
-- one that the configuration no longer has is lifted (both limits null) and never deleted, so that what messages hold
-- finds its counter.
create table quotas (
  quota_id integer generated always as identity primary key,
  tenant_id text collate "C" not null,
  -- Empty: all lines of the tenant together.
  business_line text collate "C" not null,
  channel text collate "C" not null,
  period text not null check (period in ('day', 'month')),
  -- Of the cash limit.
  currency text,
  cash_limit bigint check (cash_limit >= 0),
  units_limit bigint check (units_limit >= 0),
  elastic_factor numeric(4, 3) not null check (elastic_factor between 1 and 9),
  -- Where reserve() stops.
  cash_stop bigint generated always as (floor(cash_limit * elastic_factor)::bigint) stored,
  units_stop bigint generated always as (floor(units_limit * elastic_factor)::bigint) stored,
  unique (tenant_id, business_line, channel, period),
  check ((cash_limit is null) = (currency is null))
);

-- What messages hold and have used of a quota in one period, which begins on starts (UTC). Limits change without it:
-- it says what is, so nothing here compares it with them; reserve() does.
create table quota_counters (
  quota_id integer not null references quotas,
  starts date not null,
  cash_held bigint not null default 0 check (cash_held >= 0),
  cash_used bigint not null default 0 check (cash_used >= 0),
  units_held bigint not null default 0 check (units_held >= 0),
  units_used bigint not null default 0 check (units_used >= 0),
  -- When held + used first went past a plain limit, as it was then.
  passed_at timestamptz,
  primary key (quota_id, starts)
) with (fillfactor = 50);

-- What a message holds, so that its resolution releases exactly that, whatever the limits are by then. All null: no quota
-- was asked; that is most rows, and they are no larger than before.
alter table reservations
  -- On which it may be sent: the candidates that had quota.
  add column channels text[],
  -- The quotas that it holds (units: of each the row's), and how much cash of each. Kept after its resolution.
  add column quotas integer[],
  add column quota_cash bigint[],
  -- On which it was posted: its quotas are used, the others' were released.
  add column channel text;

-- Down Migration

alter table reservations drop column channels, drop column quotas, drop column quota_cash, drop column channel;
drop function if exists hold_quotas, move_quotas;
drop type if exists quota_hold, quota_move;
drop table quota_counters, quotas;
