-- Up Migration

-- Who may reserve for the records of a partition: the epoch grows each time a worker takes the partition over, and
-- reserve() refuses every older one. A worker that its consumer group has forgotten still runs, and a request that
-- timed out may still arrive: what they reserved would be pending for ever, for no transaction announces it.
create table partition_owners (
  topic text collate "C" not null,
  partition integer not null,
  epoch bigint not null check (epoch > 0),
  taken_at timestamptz not null default now(),
  primary key (topic, partition)
) with (fillfactor = 50);

-- Down Migration

drop table partition_owners;
