-- Up Migration

-- What reconciliation booked: a row a correction, written with its effect. The id is made from what was found, so that
-- the same finding is booked once, whoever applies it and however often.
create table corrections (
  correction_id text primary key check (correction_id <> ''),
  class text not null check (class <> ''),
  account_id integer not null references accounts,
  -- Null: of the account's counters, not of one message.
  day date,
  tenant_id text collate "C",
  message_id uuid,
  generation integer,
  -- What was added to pending and to posted; available took the opposite.
  cash_pending bigint not null,
  cash_posted bigint not null,
  pv_pending bigint not null,
  pv_posted bigint not null,
  actor text not null,
  note text not null,
  booked_at timestamptz not null default clock_timestamp()
);
create index corrections_by_account on corrections (account_id);
create trigger corrections_are_immutable before update or delete on corrections
  for each row execute function transfers_are_immutable();
create trigger corrections_are_not_truncated before truncate on corrections
  for each statement execute function transfers_are_immutable();

-- Which days the workers have reconciled: a restart does not repeat one.
create table reconciliations (
  day date primary key,
  finished_at timestamptz not null default now(),
  -- The report: what was compared, what was left out and why, sums by class.
  report jsonb not null
);

-- What they found. Nothing of it is booked but by a person's command.
create table reconciliation_breaks (
  day date not null references reconciliations,
  break_id text not null,
  class text not null,
  tenant_id text,
  business_line text,
  message_id uuid,
  generation integer,
  attempt integer,
  cash bigint not null,
  units bigint not null,
  currency text not null,
  detail text not null,
  primary key (day, break_id)
);

-- A day's attempts without a scan of all: rows come about in the order of created_at, and it is never updated.
create index attempts_by_created on attempts using brin (created_at) with (autosummarize = on);

-- Down Migration

drop index attempts_by_created;
drop table reconciliation_breaks, reconciliations, corrections;
