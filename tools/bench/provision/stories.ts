import pg from 'pg';
import type { Made } from './client.ts';
import type { Commit, Story } from './shape.ts';

export const contexts = ['provisioning', 'resource-allocation', 'migration-templates', 'workflow', 'agent-gateway'] as const;
const schemaOf = (context: string): string => context.replaceAll('-', '_');

type Row = { stream_id: string; type: string; data: { vmId?: string }; meta: { at: string }; tx: string };

/** What the logs have of these VMs, commit by commit, for the floor to write again. */
export const storiesOf = async (databaseUrl: string, vms: readonly Made[]): Promise<Story[]> => {
  const db = new pg.Client({ connectionString: databaseUrl });
  await db.connect();
  try {
    const commits = new Map<string, { at: string; commit: Commit }[]>(vms.map((v) => [v.vmId, []]));
    const owners = new Map(
      vms.flatMap(({ vmId, operation }) => [vmId, `observed-${vmId}`, `workflow-${operation}`, `task-${operation}`].map((s) => [s, vmId])),
    );
    const vmOf = ({ stream_id, data }: Row): string => owners.get(stream_id) ?? data.vmId!;
    for (const context of contexts) {
      const rows = await eventsOf(db, schemaOf(context), [...owners.keys()], [...commits.keys()]);
      for (const committed of Map.groupBy(rows, (row) => `${row.tx} ${vmOf(row)}`).values())
        commits.get(vmOf(committed[0]!))!.push({ at: committed[0]!.meta.at, commit: { context, appends: appendsOf(committed) } });
    }
    return [...commits.values()].map((list) => list.sort((a, b) => (a.at < b.at ? -1 : 1)).map((c) => c.commit));
  } finally {
    await db.end();
  }
};

const appendsOf = (rows: readonly Row[]): Commit['appends'] =>
  [...Map.groupBy(rows, (row) => row.stream_id)].map(([stream, events]) => ({
    stream,
    events: events.map(({ type, data, meta }) => ({ type, data, meta })),
  }));

const eventsOf = async (db: pg.Client, schema: string, streams: readonly string[], vmIds: readonly string[]): Promise<Row[]> => {
  const { rows } = await db.query<Row>(
    `select stream_id, type, data, meta, transaction_id::text as tx from ${schema}.events
     where stream_id = any($1) or (stream_id !~ '^(workflow|task|observed|vm)-' and data->>'vmId' = any($2)) order by global_position`,
    [streams, vmIds],
  );
  return rows;
};
