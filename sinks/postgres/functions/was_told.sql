-- Whether an attempt that was in p_state has been told to be in p_transition. `unknown` may be told twice: while a next
-- attempt is made, and at the end (processors/feedback-id.ts).
create or replace function was_told(p_state text, p_transition text) returns boolean language sql immutable
as $$
  select p_state = p_transition and p_transition <> 'unknown'
$$;
