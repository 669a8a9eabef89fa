-- Up Migration

-- What came back in through `again.*` (replay, redrive, release of what was parked): a row a message, generation,
-- stage and release, with the record that brought it. The same record read again passes again; any other does not.
create table passes (
  tenant_id text collate "C" not null,
  message_id uuid not null,
  generation integer not null,
  stage text not null,
  -- 0: a replay or redrive; from 1: the how-manieth release.
  release_no integer not null,
  -- The record on again.*.
  topic text not null,
  partition integer not null,
  record_offset bigint not null,
  -- Where it was read from.
  origin_topic text not null,
  origin_partition integer not null,
  origin_offset bigint not null,
  run_id text not null,
  passed_at timestamptz not null default now(),
  primary key (tenant_id, message_id, generation, stage, release_no)
);

-- Down Migration

drop table passes;
