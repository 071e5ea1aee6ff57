import { poolConsumerText, type PoolConsumer, type Refusal } from '@chrysalis/contracts';
import { atOnce, ConcurrentAppend } from '@chrysalis/event-store';
import { fold, unreachable } from '@chrysalis/kernel';
import {
  consumersOf,
  initialPool,
  poolDecider,
  type KnownPool,
  type Pool,
  type PoolCommand,
  type PoolEvent,
} from '@chrysalis/resource-allocation-core';
import { failpoint, type MessageContext } from '@chrysalis/service-kit';
import { endHold, poolLocked, writeHold, writePool } from '../sql/pools.ts';

export type PoolDecided =
  { readonly ok: true; readonly pool: Pool; readonly version: number } | { readonly ok: false; readonly rejection: Refusal };

/**
 * The pool's stream decides, at the version that its row is of; row and holds follow in the same transaction. The row is locked first, so that
 * nobody races; where two register one pool at once the append says so, and the whole transaction runs again.
 */
export const decidePool = async (ctx: MessageContext, command: PoolCommand, ifVersion?: number): Promise<PoolDecided> => {
  const found = await poolLocked(ctx.tx, ctx.store.schema, command.poolId, consumersOf(command));
  const { version, pool: before } = found ?? { version: 0, pool: initialPool };
  if (ifVersion !== undefined && ifVersion !== version)
    return { ok: false, rejection: { code: 'stream.version_mismatch', stream: command.poolId, expected: ifVersion, actual: version } };
  const decided = poolDecider.decide(command, before);
  if (!decided.ok) return { ok: false, rejection: decided.rejection };
  const pool = fold(poolDecider.evolve, before, decided.events);
  const now = version + decided.events.length;
  if (decided.events.length > 0 && pool.status === 'known') await append(ctx, { pool, version, command }, decided.events);
  return { ok: true, pool, version: now };
};

type Deciding = { readonly pool: KnownPool; readonly version: number; readonly command: PoolCommand };
const append = async (ctx: MessageContext, { pool, version, command }: Deciding, events: readonly PoolEvent[]): Promise<void> => {
  const { tx, store } = ctx;
  const append = async (): Promise<void> => {
    const appended = await ctx.append(command.poolId, version === 0 ? 'noStream' : version, ...events);
    if (!appended.ok) throw new ConcurrentAppend([command.poolId]); // all of it again
    await failpoint('pool:appended', { pool: command.poolId, command: command.type });
  };
  await atOnce(tx, [
    append,
    () => writePool(tx, store.schema, { version: version + events.length, pool }),
    ...events.map((event) => () => record(ctx, event)),
  ]);
};

const record = async ({ tx, store: { schema } }: MessageContext, e: PoolEvent): Promise<void> => {
  const text = (kind: PoolConsumer['kind'], id: string): string => poolConsumerText({ kind, id });
  switch (e.type) {
    case 'chrysalis.resource-allocation.pool.registered.v1':
    case 'chrysalis.resource-allocation.pool.room-reported.v1':
    case 'chrysalis.resource-allocation.pool.settings-changed.v1':
      return;
    case 'chrysalis.resource-allocation.pool.room-held.v1': {
      const { poolId: pool, consumer, vmId: vm, sizeMiB } = e.data;
      return writeHold(tx, schema, { pool, consumer: poolConsumerText(consumer), vm, sizeMiB });
    }
    case 'chrysalis.resource-allocation.pool.room-released.v1':
      return endHold(tx, schema, e.data.poolId, poolConsumerText(e.data.consumer));
    case 'chrysalis.resource-allocation.pool.room-swapped.v1': {
      const { poolId: pool, moveId, vmId: vm, sizeMiB } = e.data;
      await endHold(tx, schema, pool, text('move', moveId));
      return writeHold(tx, schema, { pool, consumer: text('vm', vm), vm, sizeMiB });
    }
    default:
      return unreachable(e);
  }
};
