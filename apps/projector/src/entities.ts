import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { tables, type Document, type Table } from './projection.ts';

/**
 * A row of a read model. All of them have one form: an id, the version of the stream it was made from, and the document readers get.
 * What is filtered by has an index on an expression over `data`, see migrations.
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
  data!: Document;
}

const entityOf = (table: Table): new () => ReadModel => {
  class Row extends ReadModel {}
  Object.defineProperty(Row, 'name', { value: table });
  Entity({ name: table })(Row);
  return Row;
};
export const entities = Object.fromEntries(tables.map((t) => [t, entityOf(t)])) as Record<Table, new () => ReadModel>;

/** Every event in the order it arrived here. `position` is what an SSE stream resumes from; a rebuild keeps it. */
@Entity({ name: 'feed' })
@Index('feed_stream', ['stream', 'position'])
@Index('feed_tenant', ['tenant', 'position'])
export class FeedEntry {
  @PrimaryColumn({ type: 'bigint', generated: 'identity' })
  position!: string;

  @Index('feed_event', { unique: true })
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
