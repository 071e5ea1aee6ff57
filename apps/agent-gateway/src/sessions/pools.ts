import { agentGatewayEvents, roomDiffers, type PoolSeen } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { appendOf } from './append.ts';

type Told = { readonly hostId: string; readonly tenant: string; readonly pools: Map<string, PoolSeen> };
type Room = { readonly hostId: string; readonly tenant: string; readonly pools: readonly PoolSeen[] };

/** What hosts say of the room in their pools, with each heartbeat: told where it differs from what was told on that connection. */
export class Rooms {
  readonly #hosts = new Map<object, Told>();
  readonly #due = new Map<object, Map<string, PoolSeen>>();

  /** By its enrolment. A connection that goes on in a session of before says it once more. */
  told(connection: object, host: { readonly hostId: string; readonly tenant: string }, pools: readonly PoolSeen[] = []): void {
    this.#hosts.set(connection, { ...host, pools: new Map(pools.map((p) => [p.poolId, p])) });
  }

  heard(connection: object, host: { readonly hostId: string; readonly tenant: string }, pools: readonly PoolSeen[] = []): void {
    const told = this.#hosts.get(connection) ?? { ...host, pools: new Map<string, PoolSeen>() };
    this.#hosts.set(connection, told);
    for (const pool of pools) {
      const before = told.pools.get(pool.poolId);
      if (before && !roomDiffers(before, pool)) continue;
      told.pools.set(pool.poolId, pool);
      this.#due.set(connection, (this.#due.get(connection) ?? new Map<string, PoolSeen>()).set(pool.poolId, pool));
    }
  }

  left(connection: object): void {
    this.#hosts.delete(connection);
    this.#due.delete(connection);
  }

  /** Taken for told. */
  take(): readonly Room[] {
    const due = [...this.#due].map(([connection, pools]) => ({ ...this.#hosts.get(connection)!, pools: [...pools.values()] }));
    this.#due.clear();
    return due;
  }

  /** It could not be: the next heartbeats bring it again. */
  again(): void {
    for (const { pools } of this.#hosts.values()) pools.clear();
  }
}

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
