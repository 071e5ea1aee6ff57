-- Which migrations take up, or take back, another one. Most are of none.
create index migrations_by_origin on migrations ((data #>> '{of,migrationId}'), created_at, id) where data #>> '{of,migrationId}' is not null;
