-- Up Migration

-- The journal of what changes a budget other than by messages: grants, transfers between two accounts, closings. A row
-- is written once, by book_transfer(), with what it left available. account_id gains (of a close: is closed),
-- from_account_id gives.
drop function if exists grant_budget(text, text, text, text, bigint, bigint, text);
alter table transfers
  alter column kind type text,
  add column from_account_id integer references accounts,
  add column actor text not null default '',
  -- Available right after it; null: booked before these columns were there.
  add column cash_left bigint,
  add column units_left bigint,
  add column from_cash_left bigint,
  add column from_units_left bigint,
  add constraint transfers_kind check (kind in ('grant', 'transfer', 'close')),
  add constraint transfers_from_another check (
    (kind = 'transfer') = (from_account_id is not null) and from_account_id is distinct from account_id
  ),
  -- Not valid: a configuration could grant nothing once, and such rows stay.
  add constraint transfers_move_something check ((kind = 'close') = (cash = 0 and units = 0)) not valid;
drop type transfer_kind;
create index transfers_by_account on transfers (account_id);
create index transfers_by_giver on transfers (from_account_id) where from_account_id is not null;

-- The last guard of `granted`, as the budgets' own checks are of what it is divided into: at commit it is what the
-- journal adds up to. Nothing that messages do names a granted column or inserts here, so nothing of it is paid per
-- batch.
create function granted_is_booked() returns trigger language plpgsql as $$
declare
  v_account integer;
begin
  select b.account_id into v_account
  from budgets b
  cross join lateral (
    select coalesce(sum(case when t.account_id = b.account_id then t.cash else -t.cash end), 0) as cash,
      coalesce(sum(case when t.account_id = b.account_id then t.units else -t.units end), 0) as units
    from transfers t
    where t.account_id = b.account_id or t.from_account_id = b.account_id
  ) booked
  where b.account_id in (new.account_id, (to_jsonb(new) ->> 'from_account_id')::integer)
    and (b.cash_granted, b.pv_granted) <> (booked.cash, booked.units)
  limit 1;
  if found then
    raise exception 'what account % was granted is not what its transfers add up to', v_account
      using errcode = 'integrity_constraint_violation';
  end if;
  return null;
end $$;

create constraint trigger granted_is_booked after insert or update of cash_granted, pv_granted on budgets
  deferrable initially deferred for each row execute function granted_is_booked();
create constraint trigger booked_is_granted after insert on transfers
  deferrable initially deferred for each row execute function granted_is_booked();

-- What was reserved of late (millrace budget burn), without a scan of days: rows come in the order of reserved_at, so
-- the index is a few pages, and resolutions still touch no index.
create index reservations_by_time on reservations using brin (reserved_at) with (autosummarize = on);

-- Down Migration

drop index reservations_by_time;
drop trigger granted_is_booked on budgets;
drop trigger booked_is_granted on transfers;
drop function granted_is_booked;
create type transfer_kind as enum ('grant');
drop index transfers_by_account;
alter table transfers
  drop constraint transfers_kind,
  drop constraint transfers_from_another,
  drop constraint transfers_move_something,
  drop column from_account_id,
  drop column actor,
  drop column cash_left,
  drop column units_left,
  drop column from_cash_left,
  drop column from_units_left,
  -- Refused where there is more than grants.
  alter column kind type transfer_kind using kind::transfer_kind;
