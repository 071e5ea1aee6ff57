import { kinds, type KindPath } from '@chrysalis/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The projector's: it alone writes there, `admin-api` reads. */
const schema = 'read';

/**
 * A row of a read model. All of them have an id, the version of the stream they were made from, and the document that readers get. What is
 * filtered by is a column of its own, which PostgreSQL fills from the document: see the projector's migrations.
 */
export abstract class ReadModel {
  @PrimaryColumn({ type: 'text' })
  id!: string;

  /** Of the stream; an update from an older version is ignored. */
  @Column({ type: 'integer' })
  version!: number;

  @Column({ type: 'text' })
  tenant!: string;

  /** The first event's time, not the clock's: a rebuilt row is the same row. */
  @Column({ type: 'timestamptz', name: 'created_at' })
  createdAt!: Date;

  @Column({ type: 'timestamptz', name: 'updated_at' })
  updatedAt!: Date;

  @Column({ type: 'jsonb' })
  data!: Readonly<Record<string, unknown>>;
}

type Made = new () => ReadModel;

/** The entity of a table whose columns `members` are members of its document. */
const over = (table: string, ...members: readonly string[]): Made => {
  class Row extends ReadModel {}
  Object.defineProperty(Row, 'name', { value: table });
  for (const member of members)
    Column({ type: 'text', name: columnOf(member), nullable: true, insert: false, update: false })(Row.prototype, member);
  Entity({ schema, name: table })(Row);
  return Row;
};
const columnOf = (member: string): string => member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export const entities = {
  vms: over('vms', 'state', 'hostId', 'type', 'name'),
  vm_observations: over('vm_observations'),
  host_inventory: over('host_inventory'),
  host_agents: over('host_agents'),
  /** A view over those two. */
  hosts: over('hosts', 'state'),
  allocations: over('allocations', 'state', 'hostId', 'vmId'),
  pools: over('pools', 'name'),
  pool_holds: over('pool_holds', 'state', 'poolId'),
  vm_types: over('vm_types'),
  images: over('images'),
  templates: over('templates'),
  options_queries: over('options_queries'),
  characterisations: over('characterisations'),
  plans: over('plans'),
  migrations: over('migrations', 'state'),
  moves: over('moves', 'state', 'migrationId', 'vmId', 'workflowId'),
  workflows: over('workflows', 'state', 'subject', 'name'),
  workflow_graphs: over('workflow_graphs'),
  tasks: over('tasks', 'workflowId'),
  operations: over('operations', 'state', 'subject', 'kind'),
  grants: over('grants', 'state'),
  ...(Object.fromEntries(kinds.map((k) => [k.plural, over(k.plural, 'state', ...Object.values(k.filters).map((f) => f.member))])) as Record<
    KindPath,
    Made
  >),
} as const satisfies Readonly<Record<string, Made>>;
export type ReadTable = keyof typeof entities;

/** Every event in the order it arrived at the projector. `position` is what an SSE stream resumes from; a rebuild keeps it. */
@Entity({ schema, name: 'feed' })
export class FeedEntry {
  @PrimaryColumn({ type: 'bigint' })
  position!: string;

  @Column({ type: 'uuid', name: 'event_id' })
  eventId!: string;

  @Column({ type: 'text' })
  type!: string;

  @Column({ type: 'text' })
  stream!: string;

  @Column({ type: 'integer' })
  version!: number;

  @Column({ type: 'timestamptz' })
  at!: Date;

  @Column({ type: 'text' })
  tenant!: string;

  @Column({ type: 'text' })
  actor!: string;

  @Column({ type: 'text', name: 'correlation_id' })
  correlationId!: string;

  @Column({ type: 'text', name: 'causation_id', nullable: true })
  causationId!: string | null;

  @Column({ type: 'jsonb' })
  data!: unknown;
}
