-- What a run collects. Temporary: a run that ends leaves nothing behind.
create temporary table found_breaks (
  place bigint generated always as identity,
  class text not null,
  break_id text not null,
  account_id integer,
  tenant_id text,
  business_line text,
  message_id uuid,
  generation integer,
  attempt integer,
  cash bigint not null,
  units bigint not null,
  currency text not null,
  detail text not null,
  -- What is booked with --apply; null: a person decides.
  correction jsonb
);
-- Messages whose feedback one of the two sinks has taken up and the other has not.
create temporary table in_flight (tenant_id text collate "C", message_id uuid, generation integer);
create temporary table fed (
  tenant_id text collate "C", message_id uuid, generation integer, attempt integer, sequence integer, state text,
  cash bigint, units integer
);
create temporary table stated (line integer, provider_message_id text collate "C", cash bigint, currency text)
