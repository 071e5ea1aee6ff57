-- Where a move runs from and to, for limits that count those of all sets; not known of moves that began before, which count nowhere. And when
-- a migration is looked at again: others may have made room, or its time or that of its pause may be up. Absent: its moves' ends are enough.
alter table moves add column from_host text, add column to_host text;
create index moves_running on moves (migration_id) where ended_at is null;
alter table migrations add column look_at timestamptz;
create index migrations_due on migrations (look_at) where look_at is not null;
