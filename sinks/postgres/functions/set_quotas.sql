-- Makes these the quotas there are, and answers how many limits that changed. What is held and used stays as it is; a
-- quota that is not named is lifted.
create or replace function set_quotas(
  p_tenants text[], p_lines text[], p_channels text[], p_periods text[], p_currencies text[], p_cash bigint[],
  p_units bigint[], p_factors numeric[]
) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  v_set bigint;
  v_lifted bigint;
begin
  -- Two that apply a configuration at once: one after the other.
  lock table quotas in share row exclusive mode;
  insert into quotas as q (
    tenant_id, business_line, channel, period, currency, cash_limit, units_limit, elastic_factor
  )
  select *
  from unnest(p_tenants, p_lines, p_channels, p_periods, p_currencies, p_cash, p_units, p_factors)
  on conflict (tenant_id, business_line, channel, period) do update
  set currency = excluded.currency, cash_limit = excluded.cash_limit, units_limit = excluded.units_limit,
    elastic_factor = excluded.elastic_factor
  where (q.currency, q.cash_limit, q.units_limit, q.elastic_factor)
    is distinct from (excluded.currency, excluded.cash_limit, excluded.units_limit, excluded.elastic_factor);
  get diagnostics v_set = row_count;

  update quotas q
  set currency = null, cash_limit = null, units_limit = null
  where (cash_limit is not null or units_limit is not null)
    and not exists (
      select from unnest(p_tenants, p_lines, p_channels, p_periods) as named (tenant_id, business_line, channel, period)
      where named.tenant_id = q.tenant_id and named.business_line = q.business_line and named.channel = q.channel
        and named.period = q.period
    );
  get diagnostics v_lifted = row_count;
  return v_set + v_lifted;
end $$;
