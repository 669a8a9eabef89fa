-- How full a budget is against the balance right after its last recharge: 3 above 20 %, 2 at most 20 %, 1 at most 10 %,
-- 0 empty. Never recharged (null): 3, it counts for nothing.
create or replace function budget_level(p_available bigint, p_recharged_to bigint) returns smallint
language sql immutable as $$
  select (case
    when p_recharged_to is null then 3
    when p_available = 0 then 0
    when p_available::numeric * 10 <= p_recharged_to then 1
    when p_available::numeric * 5 <= p_recharged_to then 2
    else 3
  end)::smallint
$$;
