-- Up Migration

-- The ledger. Money is bigint micros (1e-6) of the account's currency; PV is units. Only the functions in
-- sinks/postgres/functions change it.

create table accounts (
  account_id integer generated always as identity primary key,
  tenant_id text collate "C" not null,
  business_line text collate "C" not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  open boolean not null default true,
  created_at timestamptz not null default now(),
  unique (tenant_id, business_line)
);

-- Cash and PV of an account in one row: they are reserved together or not at all, by one update a batch.
-- Half-empty pages keep that update on its page (HOT): no index is touched.
create table budgets (
  account_id integer primary key references accounts,
  cash_granted bigint not null default 0 check (cash_granted >= 0),
  cash_available bigint not null default 0 check (cash_available >= 0),
  cash_pending bigint not null default 0 check (cash_pending >= 0),
  cash_posted bigint not null default 0 check (cash_posted >= 0),
  pv_granted bigint not null default 0 check (pv_granted >= 0),
  pv_available bigint not null default 0 check (pv_available >= 0),
  pv_pending bigint not null default 0 check (pv_pending >= 0),
  pv_posted bigint not null default 0 check (pv_posted >= 0),
  check (cash_granted = cash_available + cash_pending + cash_posted),
  check (pv_granted = pv_available + pv_pending + pv_posted)
) with (fillfactor = 50);

create type transfer_kind as enum ('grant');

-- What changes an account other than by its messages. A message's own reserve and resolution are its reservation
-- row: one row a message written once and resolved once says the same as three transfers, at a third of the cost.
create table transfers (
  transfer_id text primary key check (transfer_id <> ''),
  account_id integer not null references accounts,
  kind transfer_kind not null,
  cash bigint not null check (cash >= 0),
  units bigint not null check (units >= 0),
  note text not null default '',
  created_at timestamptz not null default now()
);

create function transfers_are_immutable() returns trigger language plpgsql as $$
begin
  raise exception 'a transfer is never changed or removed: book a new one' using errcode = 'restrict_violation';
end $$;

create trigger transfers_are_immutable before update or delete on transfers
  for each row execute function transfers_are_immutable();
create trigger transfers_are_not_truncated before truncate on transfers
  for each statement execute function transfers_are_immutable();

create type reservation_state as enum ('pending', 'posted', 'voided', 'reversed');

-- One row a message and generation. day is createdAt's UTC day, never now()'s: the key of a message does not move.
-- No foreign key: its check would cost more than the insert, and reserve() reads the account under lock.
-- No index but the key: resolutions then stay on their page (HOT).
create table reservations (
  day date not null,
  tenant_id text collate "C" not null,
  message_id uuid not null,
  generation integer not null,
  account_id integer not null,
  state reservation_state not null default 'pending',
  -- Voided by a retryable refusal: another record may reserve it anew.
  renewable boolean not null default false,
  cash bigint not null check (cash >= 0),
  units integer not null check (units >= 0),
  posted_cash bigint not null default 0 check (posted_cash between 0 and cash),
  posted_units integer not null default 0 check (posted_units between 0 and units),
  -- Of what was posted: paid back.
  reversed_cash bigint not null default 0 check (reversed_cash between 0 and posted_cash),
  reversed_units integer not null default 0 check (reversed_units between 0 and posted_units),
  -- With the account, the fingerprint: the request's own caps.
  cash_cap bigint,
  units_cap integer,
  -- The record that reserved it.
  topic text not null,
  partition integer not null,
  record_offset bigint not null,
  reserved_at timestamptz not null default now(),
  resolved_at timestamptz,
  primary key (day, tenant_id, message_id, generation)
) partition by range (day);

-- Which days are attached. A detached day is closed for good: what is older than it is refused.
create table reservation_days (
  day date primary key,
  attached boolean not null default true
);

-- How far a consumer that writes here has come, moved in the transaction of its effect.
create table offsets (
  consumer text collate "C" not null,
  topic text collate "C" not null,
  partition integer not null,
  next_offset bigint not null check (next_offset >= 0),
  -- All records before this time of ours are stored; null: not known yet.
  passed timestamptz,
  primary key (consumer, topic, partition)
) with (fillfactor = 50);

-- Down Migration

drop table offsets, reservation_days, reservations, transfers, budgets, accounts;
drop function transfers_are_immutable;
drop type reservation_state, transfer_kind;
