import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@chrysalis/api-client';
import pg from 'pg';
import { freePort } from '../../../infra/process/free-port.ts';
import { verify } from '../../verifier/verify.ts';
import { hostsUp } from '../../run/starter.ts';
import { installStandIns } from '../../run/stores.ts';
import { cpuSecondsOf } from '../workflow/cpu.ts';
import { startChild, type Child } from '../workflow/child.ts';
import { ApiClient, type Made } from './client.ts';
import { followed } from './load.ts';
import type { PlaneReady } from './plane.ts';
import { hostIds, IMAGE, spec, TYPE, VMS_A_HOST } from './shape.ts';
import { contexts } from './stories.ts';

/** The disks of simulated hosts are not this machine's: in memory where it has a file system there, so that they do not sync into PostgreSQL's. */
const dirOfHosts = (): string => {
  try {
    return mkdtempSync('/dev/shm/chrysalis-bench-');
  } catch {
    return mkdtempSync('/tmp/chrysalis-bench-');
  }
};

const everyEvent = contexts.map((c) => `(select count(*) from ${c.replaceAll('-', '_')}.events)`).join(' + ');

export type Used = { readonly plane: number; readonly postgres: number; readonly events: number; readonly commits: number };

/** A control plane, its hosts and a client, each in a process of its own. */
export class Ground {
  readonly client: ApiClient;
  readonly #db: pg.Pool;

  private constructor(
    readonly plane: Child,
    readonly fleet: Child,
    private readonly dir: string,
  ) {
    const { adminUrl, token, databaseUrl } = this.ready;
    this.client = new ApiClient(adminUrl, token);
    this.#db = new pg.Pool({ connectionString: databaseUrl, max: 2 });
    this.#db.on('error', () => undefined); // the server ends before this does
  }

  get ready(): PlaneReady {
    return this.plane.ready as PlaneReady;
  }

  static async open({ vmsAHost = VMS_A_HOST } = {}): Promise<Ground> {
    const dir = dirOfHosts();
    const { image } = installStandIns(dir);
    mkdirSync(path.join(dir, 'pool'));
    const plane = await startChild('../provision/plane', { runDir: dir, agentListen: `127.0.0.1:${await freePort()}` });
    const tokens = await plane.ask<string[]>({ tokensOf: hostIds });
    const { adminUrl, agentUrl, token } = plane.ready as PlaneReady;
    const ofHosts = JSON.stringify(Object.fromEntries(hostIds.map((id, i) => [id, tokens[i]!])));
    const fleet = await startChild('../provision/fleet', { dir, gatewayUrl: agentUrl, tokens: ofHosts, vmsAHost: String(vmsAHost) });
    const api = createClient({ server: adminUrl, token });
    await hostsUp(api, hostIds.length);
    await api.post('/v1/vm-types', { body: { name: TYPE, spec } });
    await api.post('/v1/images', { body: { image: { name: IMAGE, version: 1, ...image } } });
    const ground = new Ground(plane, fleet, dir);
    for (const type of followed) await ground.client.follow(type);
    return ground;
  }

  /** CPU seconds, and what PostgreSQL has committed, so far. */
  async used(): Promise<Used> {
    const { rows } = await this.#db.query<{ commits: number; events: number }>(
      `select (select xact_commit::float8 from pg_stat_database where datname = current_database()) as commits,
         (${everyEvent})::float8 as events`,
    );
    const { pid } = this.plane;
    const postgres = cpuSecondsOf(this.ready.postgresPid);
    return { plane: cpuSecondsOf(pid) - postgres, postgres, ...rows[0]! };
  }

  /**
   * What should be there is there, once: by the independent verifier, and by three lists that know nothing of each other: the VMs that the
   * client was told of, the ledger's, and those that hosts run.
   */
  async faults(alive: readonly Made[]): Promise<string[]> {
    const { faults } = await verify({ databaseUrl: this.ready.databaseUrl, monitors: () => [] });
    const wanted = alive.map((v) => v.vmId).sort();
    const { rows } = await this.#db.query<{ vm: string }>('select vm from resource_allocation.ledger order by vm collate "C"');
    const { rows: shown } = await this.#db.query<{ id: string }>(
      `select id from read.vms where data->>'state' = 'running' order by id collate "C"`,
    );
    const lists = {
      held: rows.map((r) => r.vm),
      'shown as running': shown.map((r) => r.id),
      'run by hosts': (await this.fleet.ask<string[]>('runners')).sort(),
    };
    const other = Object.entries(lists).filter(([, list]) => list.join() !== wanted.join());
    return [
      ...faults,
      ...other.map(([what, list]) => `${wanted.length} VMs were made and not deleted, and ${list.length} are ${what}, or others`),
    ];
  }

  /** Nothing is under way any more: the feed has what the logs have, and goes on to have it. Heartbeats tell late what was seen of a VM. */
  async settled(): Promise<void> {
    for (let [quiet, end] = [0, Date.now() + 60_000]; quiet < 8; await sleep(500)) {
      const { rows } = await this.#db.query<{ behind: number }>(
        `select (${everyEvent} - (select count(*) from read.feed))::float8 as behind`,
      );
      quiet = rows[0]!.behind === 0 ? quiet + 1 : 0;
      if (Date.now() > end) throw new Error(`the feed is ${rows[0]!.behind} events behind the logs, and stays so`);
    }
  }

  async close(): Promise<void> {
    this.client.close();
    await this.#db.end();
    await this.fleet.close();
    await this.plane.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
