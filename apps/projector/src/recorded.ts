import type { StoredEvent } from '@chrysalis/event-store';

/** An event as the projections see it, wherever it came from: the bus, or an owner's log. `version` is its place in its stream. */
export type Recorded<D = unknown> = {
  readonly id: string;
  readonly type: string;
  readonly stream: string;
  readonly version: number;
  readonly at: string;
  readonly tenant: string;
  readonly actor: string;
  readonly correlationId: string;
  readonly causationId?: string;
  readonly data: D;
};

export const fromStored = ({
  id,
  type,
  stream,
  version,
  data,
  meta,
}: Pick<StoredEvent, 'id' | 'type' | 'stream' | 'version' | 'data' | 'meta'>): Recorded => ({
  id,
  type,
  stream,
  version,
  at: new Date(meta.at).toISOString(),
  tenant: meta.tenant,
  actor: meta.actor,
  correlationId: meta.correlationId,
  ...(meta.causationId === undefined ? {} : { causationId: meta.causationId }),
  data,
});
