-- Whether a report of p_transition changes an attempt in p_state: as transitionOf() in processors/receipts has it.
create or replace function takes_effect(p_state text, p_transition text) returns boolean language sql immutable
as $$
  select p_state <> p_transition and case p_state
    when 'held' then true
    when 'accepted' then p_transition in ('delivered', 'failed', 'unknown')
    when 'delivered' then p_transition = 'failed'
    else p_transition in ('accepted', 'delivered')
  end
$$;
