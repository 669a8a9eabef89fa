-- Up Migration

-- What operators did by command: who, why, when, over what range, how it ended. A row is written before the command
-- acts, so that one that died is here too; long runs keep here how far they came.
create table operator_actions (
  action_id uuid primary key,
  command text not null check (command <> ''),
  -- user@host
  actor text not null check (actor <> ''),
  reason text not null check (btrim(reason) <> ''),
  -- Options and the range they were resolved to.
  what jsonb not null,
  state text not null default 'running' check (state in ('running', 'done', 'failed', 'interrupted')),
  -- Where a run goes on that is taken up again.
  progress jsonb,
  -- What came of it, in numbers; or the error.
  outcome jsonb,
  started_at timestamptz not null default now(),
  -- Of a running one: its sign of life.
  updated_at timestamptz not null default now(),
  finished_at timestamptz
);
create index operator_actions_by_time on operator_actions (started_at);

create function operator_actions_stay() returns trigger language plpgsql as $$
begin
  raise exception 'what an operator did is never removed' using errcode = 'restrict_violation';
end $$;

create trigger operator_actions_stay before delete on operator_actions
  for each row execute function operator_actions_stay();
create trigger operator_actions_are_not_truncated before truncate on operator_actions
  for each statement execute function operator_actions_stay();

-- Down Migration

drop table operator_actions;
drop function operator_actions_stay;
