-- Up Migration

-- A lease: what a partition of an intake topic may spend of an account without asking. It was moved from available to
-- pending when it was granted; each message spends of it in the partition's own state (`internal.leases.*`), and settle()
-- books that spend as the message's reservation. One lease a partition and account: grants add to it, returns take from it.
-- Unspent is granted - spent - returned: pending is what reservations hold, and what leases have not spent.
create table leases (
  lease_id integer generated always as identity primary key,
  account_id integer not null references accounts,
  topic text collate "C" not null,
  partition integer not null,
  -- The partition's state was lost or set back, so it has another lease since: what this one has left, a person gives back.
  set_aside_at timestamptz,
  -- The newest grant, which an owner that has not committed it asks for again; and what it gave.
  grant_no bigint not null default 0,
  last_cash bigint not null default 0,
  last_units bigint not null default 0,
  -- Number of the newest spend that settle() has booked.
  spends bigint not null default 0,
  -- The newest return that is booked.
  return_no bigint not null default 0,
  cash_granted bigint not null default 0 check (cash_granted >= 0),
  cash_spent bigint not null default 0 check (cash_spent >= 0),
  cash_returned bigint not null default 0 check (cash_returned >= 0),
  units_granted bigint not null default 0 check (units_granted >= 0),
  units_spent bigint not null default 0 check (units_spent >= 0),
  units_returned bigint not null default 0 check (units_returned >= 0),
  opened_at timestamptz not null default now(),
  granted_at timestamptz not null default now(),
  constraint leases_are_not_overspent check (
    cash_spent + cash_returned <= cash_granted and units_spent + units_returned <= units_granted
  )
) with (fillfactor = 50);
create unique index leases_of_partition on leases (topic, partition, account_id) where set_aside_at is null;
create index leases_of_account on leases (account_id);

-- Someone found too little available while leases are open: their owners return what they hold.
alter table accounts
  add column recalling_at timestamptz,
  -- Since when without a pause.
  add column recalling_since timestamptz;
alter table account_levels add column recalling boolean not null default false;

-- Which spend of which lease a reservation is; null: reserved directly.
alter table reservations
  add column lease_id integer,
  add column spend_no bigint;

-- Spends of a message that still holds another reservation: refused for now, it was let in again before settle() heard of
-- the refusal. Booked once that reservation is resolved. What they hold is pending, too.
create table waiting_spends (
  lease_id integer not null references leases,
  spend_no bigint not null,
  account_id integer not null references accounts,
  day date not null,
  tenant_id text collate "C" not null,
  message_id uuid not null,
  generation integer not null,
  cash bigint not null check (cash >= 0),
  units integer not null check (units >= 0),
  cash_cap bigint,
  units_cap integer,
  topic text not null,
  partition integer not null,
  record_offset bigint not null,
  expires_at timestamptz,
  waiting_since timestamptz not null default now(),
  primary key (lease_id, spend_no)
);

-- Postings that were read before the spend that they resolve: they come from other topics.
create table waiting_postings (
  lease_id integer not null,
  spend_no bigint not null,
  posting_no bigint generated always as identity,
  kind text not null,
  day date not null,
  tenant_id text collate "C" not null,
  message_id uuid not null,
  generation integer not null,
  cash bigint not null,
  units integer not null,
  renewable boolean not null,
  channel text,
  waiting_since timestamptz not null default now(),
  primary key (lease_id, spend_no, posting_no)
);

-- Down Migration

drop function if exists grant_leases;
drop function if exists return_leases;
drop function if exists give_back_lease;
drop function if exists resolve_waiting;
drop function if exists book_spends;
drop function if exists resolve_reservations;
drop table waiting_postings, waiting_spends;
alter table reservations drop column lease_id, drop column spend_no;
alter table account_levels drop column recalling;
alter table accounts drop column recalling_at, drop column recalling_since;
drop table leases;
