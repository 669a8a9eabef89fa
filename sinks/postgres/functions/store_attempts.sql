-- Upserts a batch of attempts (one entry each, folded by the caller) and moves the consumer's offsets, together or
-- not at all; answers the places of lost slices. An older sequence never overwrites a newer one. Times are
-- milliseconds since the epoch.
create or replace function store_attempts(
  p_consumer text, p_topics text[], p_partitions integer[], p_starts bigint[], p_nexts bigint[],
  p_passed timestamptz[],
  p_tenants text[], p_messages uuid[], p_generations integer[], p_attempts integer[], p_keys text[], p_lanes text[],
  p_channels text[], p_providers text[], p_provider_ids text[], p_provider_codes text[], p_lines text[],
  p_campaigns text[], p_templates text[], p_recipients text[], p_labels jsonb[], p_created float8[],
  p_attempted float8[], p_occurred float8[], p_states text[], p_classes text[], p_terminal boolean[],
  p_sequences integer[], p_cash bigint[], p_units integer[], p_currencies text[], p_leases text[]
) returns setof integer language plpgsql
-- A young table looks small: planned by its statistics, each batch would scan it whole until the next analyze.
-- Rows are always few and looked up by key.
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
  return query select * from move_offsets(p_consumer, p_topics, p_partitions, p_starts, p_nexts, p_passed);
  if found then
    return;
  end if;

  insert into attempts as stored (
    tenant_id, message_id, generation, attempt, record_key, lane, channel, provider, provider_message_id,
    provider_code, business_line, campaign_id, template_id, recipient_hash, labels, created_at, attempted_at,
    occurred_at, state, class, terminal, sequence, posted_cash, posted_units, currency, lease_id
  )
  select
    tenant_id, message_id, generation, attempt, record_key, lane, channel, provider, provider_message_id,
    provider_code, business_line, campaign_id, template_id, recipient_hash, labels,
    to_timestamp(created_at / 1000), to_timestamp(attempted_at / 1000), to_timestamp(occurred_at / 1000),
    state, class, terminal, sequence, posted_cash, posted_units, currency, lease_id
  from unnest(
    p_tenants, p_messages, p_generations, p_attempts, p_keys, p_lanes, p_channels, p_providers, p_provider_ids,
    p_provider_codes, p_lines, p_campaigns, p_templates, p_recipients, p_labels, p_created, p_attempted, p_occurred,
    p_states, p_classes, p_terminal, p_sequences, p_cash, p_units, p_currencies, p_leases
  ) as a (
    tenant_id, message_id, generation, attempt, record_key, lane, channel, provider, provider_message_id,
    provider_code, business_line, campaign_id, template_id, recipient_hash, labels, created_at, attempted_at,
    occurred_at, state, class, terminal, sequence, posted_cash, posted_units, currency, lease_id
  )
  -- The order in which decide_receipts() locks them: nobody waits in a circle.
  order by tenant_id collate "C", message_id, generation, attempt
  on conflict (tenant_id, message_id, generation, attempt) do update set
    provider_message_id = coalesce(excluded.provider_message_id, stored.provider_message_id),
    provider_code = coalesce(excluded.provider_code, stored.provider_code),
    occurred_at = excluded.occurred_at, state = excluded.state, class = excluded.class,
    terminal = excluded.terminal, sequence = excluded.sequence,
    posted_cash = stored.posted_cash + excluded.posted_cash,
    posted_units = stored.posted_units + excluded.posted_units,
    currency = case when excluded.currency = '' then stored.currency else excluded.currency end,
    lease_id = coalesce(excluded.lease_id, stored.lease_id)
  where excluded.sequence > stored.sequence;
end $$;
