-- How long tasks took, as a histogram: `count` of them were in the `bucket`, of a task of a template (`name`, `task`) or of a kind (`name`
-- empty). Eight buckets for each doubling: a percentile read from it is off by 5 % at most.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists durations (
  name text not null,
  task text not null,
  bucket smallint not null,
  count bigint not null,
  primary key (name, task, bucket)
);
