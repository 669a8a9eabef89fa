-- Up Migration

-- What a detached day still says: the counters of budgets are what attached reservations and these add up to.
alter table reservation_days add column detached_at timestamptz;
create table detached_days (
  day date not null references reservation_days,
  account_id integer not null references accounts,
  reservations bigint not null check (reservations > 0),
  -- Posted less paid back.
  cash bigint not null check (cash >= 0),
  units bigint not null check (units >= 0),
  primary key (day, account_id)
);
create trigger detached_days_are_immutable before update or delete on detached_days
  for each row execute function transfers_are_immutable();
create trigger detached_days_are_not_truncated before truncate on detached_days
  for each statement execute function transfers_are_immutable();

-- Down Migration

drop table detached_days;
alter table reservation_days drop column detached_at;
