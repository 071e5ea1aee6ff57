import { consumerText, poolConsumerText, type Amounts, type Consumer } from '@chrysalis/contracts';
import { atOnce, ConcurrentAppend, type NewEvent } from '@chrysalis/event-store';
import { hostStream, type HostEvent, type PoolEvent } from '@chrysalis/resource-allocation-core';
import type { TaskContext } from '@chrysalis/service-kit';
import { writeVersions } from '../sql/hosts.ts';
import { holdAll } from '../sql/ledger.ts';
import { writeHolds, writePool, type Hold, type PoolAt } from '../sql/pools.ts';

/** A VM's hold on a host and in its pools, decided on what is locked: the versions are those before it. */
export type Decided = {
  readonly hostId: string;
  readonly consumer: Consumer;
  readonly vmId: string;
  readonly amounts: Amounts;
  readonly host: { readonly version: number; readonly events: readonly HostEvent[] };
  readonly pools: readonly {
    readonly before: number;
    readonly after: PoolAt;
    readonly sizeMiB: number;
    readonly events: readonly PoolEvent[];
  }[];
};

/** What was decided in one moment in one transaction is written in five statements, however many VMs it was for. */
export class WrittenTogether {
  #decided: (Decided & { readonly ctx: TaskContext })[] = [];
  #writing: Promise<void> | undefined;

  /** Resolves when it is written. What is decided in the same turn of the event loop goes with it. */
  add(decided: Decided, ctx: TaskContext): Promise<void> {
    this.#decided.push({ ...decided, ctx });
    return (this.#writing ??= new Promise((resolve, reject) => {
      setImmediate(() => this.flush().then(resolve, reject));
    }));
  }

  /** For who reads what it changes. */
  async flush(): Promise<void> {
    const all = this.#decided;
    [this.#decided, this.#writing] = [[], undefined];
    if (all.length > 0) await write(all);
  }
}

const write = async (all: readonly (Decided & { readonly ctx: TaskContext })[]): Promise<void> => {
  const { tx, store } = all[0]!.ctx;
  const { schema } = store;
  const versions = new Map(all.map((d) => [d.hostId, d.host.version + d.host.events.length]));
  const pools = new Map(all.flatMap((d) => d.pools.map((p) => [p.after.pool.poolId, p.after])));
  const holds = all.flatMap((d) => d.pools.filter((p) => p.events.length > 0).map((p): Hold => ({ pool: p.after.pool.poolId, consumer: poolConsumerText({ kind: 'vm', id: d.vmId }), vm: d.vmId, sizeMiB: p.sizeMiB }))); // prettier-ignore
  const append = async (): Promise<void> => {
    const appends = streamsOf(all);
    const appended = await store.append(appends, tx);
    if (!appended.ok) throw new ConcurrentAppend(appends.map((a) => a.stream)); // all of it again
  };
  await atOnce(tx, [
    append,
    () => holdAll(tx, schema, all.map((d) => ({ host: d.hostId, consumer: consumerText(d.consumer), vm: d.vmId, amounts: d.amounts }))), // prettier-ignore
    () => writeVersions(tx, schema, versions),
    ...[...pools.values()].map((pool) => () => writePool(tx, schema, pool)),
    ...(holds.length > 0 ? [() => writeHolds(tx, schema, holds)] : []),
  ]);
};

/** Each stream once, from the version that the first of its events was decided on. */
const streamsOf = (all: readonly (Decided & { readonly ctx: TaskContext })[]) => {
  const streams = new Map<string, { expected: number; events: NewEvent[] }>();
  const add = (
    stream: string,
    expected: number,
    events: readonly { type: string; data: unknown }[],
    { meta, newId }: TaskContext,
  ): void => {
    if (events.length === 0) return;
    const of = streams.get(stream) ?? { expected, events: [] };
    streams.set(stream, of);
    of.events.push(...events.map(({ type, data }) => ({ id: newId(), type, data, meta })));
  };
  for (const { hostId, host, pools, ctx } of all) {
    add(hostStream(hostId), host.version, host.events, ctx);
    for (const { after, before, events } of pools) add(after.pool.poolId, before, events, ctx);
  }
  return [...streams].map(([stream, { expected, events }]) => ({ stream, expected, events }));
};
