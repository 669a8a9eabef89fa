-- Up Migration

-- What became of each attempt: derived from `feedback`, for receipts, search and trace. It can be rebuilt from the
-- topic; nothing here decides about money.
create table attempts (
  tenant_id text collate "C" not null,
  message_id uuid not null,
  generation integer not null,
  attempt integer not null,
  -- The Kafka key of its feedback.
  record_key text not null,
  lane text not null,
  channel text not null,
  provider text not null,
  provider_message_id text collate "C",
  provider_code text,
  business_line text not null,
  campaign_id text,
  template_id text not null,
  recipient_hash text not null,
  labels jsonb not null,
  created_at timestamptz not null,
  attempted_at timestamptz not null,
  -- Of the newest feedback.
  occurred_at timestamptz not null,
  state text not null,
  class text,
  terminal boolean not null,
  sequence integer not null,
  -- Posted and not paid back, by feedback's settlements.
  posted_cash bigint not null default 0,
  posted_units integer not null default 0,
  currency text not null default '',
  lease_id text,
  primary key (tenant_id, message_id, generation, attempt)
) with (fillfactor = 80);

-- Receipts that name only the provider's id.
create index attempts_by_provider_id on attempts (provider, provider_message_id)
  where provider_message_id is not null;

-- Each (attempt, transition) is decided once, by the record that brought it first; with the attempt as it stood then,
-- so that the same record read again is decided the same.
create table receipt_decisions (
  tenant_id text collate "C" not null,
  message_id uuid not null,
  generation integer not null,
  attempt integer not null,
  transition text not null,
  topic text not null,
  partition integer not null,
  record_offset bigint not null,
  decided_at timestamptz not null default now(),
  prior_state text not null,
  prior_class text,
  prior_terminal boolean not null,
  prior_sequence integer not null,
  prior_posted_cash bigint not null,
  prior_posted_units integer not null,
  prior_occurred_at timestamptz not null,
  primary key (tenant_id, message_id, generation, attempt, transition)
);

-- Down Migration

drop table receipt_decisions, attempts;
