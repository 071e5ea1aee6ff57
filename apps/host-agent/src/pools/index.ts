import type { HostPool, PoolRoom, PoolSeen } from '@chrysalis/contracts';
import { v7 as uuidv7 } from 'uuid';
import type { HostAgentConfig } from '../config.ts';
import { folder } from './folder.ts';
import type { PoolKind } from './kind.ts';

/** The registry: a kind that a configuration may name. */
const poolKinds = { folder } as const satisfies Readonly<Record<string, PoolKind>>;

type Log = { warn(details: object, message: string): void };
type Config = Pick<HostAgentConfig, 'pools' | 'driver' | 'inventory'>;

/** A simulated disk is a few bytes: pools of simulated hosts have as much room as their host has disk, and those that are shared have plenty. */
const SHARED_SIMULATED_MIB = 1_073_741_824;

/** Of a large pool this is enough, however small a part of it. */
const ENOUGH_MIB = 256;
/** A file system whose server is away answers nothing at all; the host enrols without it. */
const PATIENCE_MS = 3_000;

/** What this host says of its pools. One that cannot be read is not told of, so that nothing is placed there by its room; it is tried again. */
export class Pools {
  readonly #ids = new Map<string, string>();
  #seen: readonly PoolSeen[] = [];

  constructor(
    private readonly config: Config,
    private readonly log: Log,
  ) {}

  /** Which they are. */
  async known(): Promise<HostPool[]> {
    const found = await Promise.all(
      Object.entries(this.config.pools).map(async ([name, { directory, kind }]) => {
        const poolId =
          this.#ids.get(name) ?? (await this.#tried(name, () => poolKinds[kind].identity(directory, () => `pool-${uuidv7()}`)));
        if (poolId === undefined) return [];
        this.#ids.set(name, poolId);
        return [{ name, poolId, kind }];
      }),
    );
    return found.flat();
  }

  /** Their room, as it is now. */
  async look(): Promise<readonly PoolSeen[]> {
    const found = await Promise.all(
      (await this.known()).map(async ({ name, poolId }) => {
        const room = await this.#tried(name, () => this.#room(name));
        return room ? [{ poolId, ...room }] : [];
      }),
    );
    return (this.#seen = found.flat());
  }

  /** As it was last looked at: what heartbeats say. */
  get seen(): readonly PoolSeen[] {
    return this.#seen;
  }

  /** As it was last looked at: enough that a guest that goes on does not stand still again with its next write. */
  hasRoom(name: string): boolean {
    const seen = this.#seen.find((s) => s.poolId === this.#ids.get(name));
    if (!seen) return false;
    const part = Math.floor((seen.usedMiB + seen.freeMiB) / 64);
    return seen.freeMiB >= Math.min(Math.max(part, 1), ENOUGH_MIB);
  }

  #room(name: string): Promise<PoolRoom> {
    const { pools, driver, inventory } = this.config;
    const { directory, kind, shared } = pools[name]!;
    if (driver === 'qemu') return poolKinds[kind].room(directory);
    return Promise.resolve({ usedMiB: 0, freeMiB: shared ? SHARED_SIMULATED_MIB : inventory.diskMiB.total });
  }

  async #tried<T>(pool: string, look: () => Promise<T>): Promise<T | undefined> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    try {
      return await Promise.race([look(), late.promise]);
    } catch (err) {
      this.log.warn({ err, pool }, 'a storage pool could not be looked at');
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }
}
