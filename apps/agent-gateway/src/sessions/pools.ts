import { agentGatewayEvents, roomDiffers, type PoolSeen } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { appendOf } from './append.ts';

type Host = { readonly hostId: string; readonly tenant: string };
type Room = Host & { readonly pools: readonly PoolSeen[] };
type Last = { readonly room: PoolSeen; readonly at: number; readonly by: object };

/** A guest that writes changes its pool's room all the time: what is no large part of it is told so often, whichever host sees it. */
const SMALL_MS = 60_000;

/** What hosts say of the room in their pools, with each heartbeat: told where it differs from what was told last of that pool. */
export class Rooms {
  readonly #last = new Map<string, Last>();
  /** Of each connection what it told last, so that nothing is kept of pools that only one that left spoke of. */
  readonly #by = new Map<object, Set<string>>();
  readonly #due = new Map<object, Host & { readonly pools: Map<string, PoolSeen> }>();

  /** By its enrolment. Of a connection that goes on in a session of before nothing was. */
  told(connection: object, pools: readonly PoolSeen[] = [], now: number): void {
    for (const pool of pools) this.#note(connection, pool, now);
  }

  heard(connection: object, { hostId, tenant }: Host, pools: readonly PoolSeen[] = [], now: number): void {
    for (const pool of pools) {
      if (!news(this.#last.get(pool.poolId), pool, now)) continue;
      this.#note(connection, pool, now);
      const due = this.#due.get(connection) ?? { hostId, tenant, pools: new Map<string, PoolSeen>() };
      this.#due.set(connection, due);
      due.pools.set(pool.poolId, pool);
    }
  }

  #note(connection: object, room: PoolSeen, at: number): void {
    this.#last.set(room.poolId, { room, at, by: connection });
    this.#by.set(connection, (this.#by.get(connection) ?? new Set<string>()).add(room.poolId));
  }

  /** What it had to tell is not told any more: others that have the pool do. */
  left(connection: object): void {
    for (const poolId of this.#by.get(connection) ?? []) if (this.#last.get(poolId)?.by === connection) this.#last.delete(poolId);
    this.#by.delete(connection);
    this.#due.delete(connection);
  }

  /** Taken for told. */
  take(): readonly Room[] {
    const due = [...this.#due.values()].map((d) => ({ ...d, pools: [...d.pools.values()] }));
    this.#due.clear();
    return due;
  }

  /** It could not be: the next heartbeats bring it again. */
  again(): void {
    this.#last.clear();
    this.#by.clear();
  }
}

const news = (last: Last | undefined, { usedMiB, freeMiB }: PoolSeen, now: number): boolean => {
  if (!last || roomDiffers(last.room, { usedMiB, freeMiB })) return true;
  const same = last.room.usedMiB === usedMiB && last.room.freeMiB === freeMiB;
  return !same && now - last.at >= SMALL_MS;
};

export const tellRooms = async (service: ServiceContext, rooms: Rooms): Promise<void> => {
  const due = rooms.take();
  if (due.length === 0) return;
  const tell = async (tx: pg.PoolClient): Promise<void> => {
    for (const { hostId, tenant, pools } of due)
      await appendOf(service, tx, hostId, tenant, { type: agentGatewayEvents.hostPoolsObserved.type, data: { hostId, pools } });
  };
  await service.store.transaction(tell, { attempts: 5 }).catch((error: unknown) => {
    rooms.again();
    throw error;
  });
};
