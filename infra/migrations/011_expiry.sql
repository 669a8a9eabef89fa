-- Up Migration

-- When a message may be sent no more: a reservation that is pending after it, and of which no attempt is known, is given
-- back by expire_reservations(). Null, as releases before wrote it: never by itself.
alter table reservations
  add column expires_at timestamptz,
  -- Voided by its expiry: a posting that comes after all is answered 'expired'.
  add column expired boolean not null default false;

-- Down Migration

drop function if exists expire_reservations;
alter table reservations drop column expires_at, drop column expired;
