-- Upserts a batch of attempts (one entry each, folded by the caller) and moves the consumer's offsets, together or
-- not at all; answers the places of lost slices. An older sequence never overwrites a newer one.
create or replace function store_attempts(
  p_consumer text, p_topics text[], p_partitions integer[], p_starts bigint[], p_nexts bigint[],
  p_passed timestamptz[], p_attempts jsonb
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
    to_timestamp(created_at / 1000.0), to_timestamp(attempted_at / 1000.0), to_timestamp(occurred_at / 1000.0),
    state, class, terminal, sequence, posted_cash, posted_units, currency, lease_id
  from jsonb_to_recordset(p_attempts) as a (
    tenant_id text, message_id uuid, generation integer, attempt integer, record_key text, lane text, channel text,
    provider text, provider_message_id text, provider_code text, business_line text, campaign_id text,
    template_id text, recipient_hash text, labels jsonb, created_at bigint, attempted_at bigint, occurred_at bigint,
    state text, class text, terminal boolean, sequence integer, posted_cash bigint, posted_units integer,
    currency text, lease_id text
  )
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
