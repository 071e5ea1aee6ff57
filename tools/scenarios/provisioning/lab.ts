import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type AnswerOf, type BodyOf, type Client, type Operation } from '@chrysalis/api-client';
import type { RestartPolicy, VmAction } from '@chrysalis/contracts';
import pg from 'pg';
import { openRun, type Run, type RunOptions } from '../../fleet/run.ts';
import type { VmView } from '../../fleet/story.ts';
import { tenantKey } from '../../run/grant.ts';
import { hostsUp, publishStarter } from '../../run/starter.ts';
import { guests, publishTinyGuests, type GuestName, type Uploaded } from './guests.ts';
import { takeInventory, type Inventory } from './inventory.ts';
import { Outside } from './outside.ts';

/** Of one operation; a guest boots in 5 to 8 s of an emulated CPU. */
const OPERATION_MS = 120_000;
/** A guest with a file system on 128 MiB writes about 10 of them. */
export const SMALL_POOL_MIB = 48;
/** With room for the migration agent's package besides, and none for a guest's memory. */
const SMALL_SHARED_POOL_MIB = 112;
/** The kernel takes an NMI that it does not know for what it is: a button that makes it panic. */
const PANIC_BUTTON = ' unknown_nmi_panic';

export type Pool = AnswerOf<'get', '/v1/pools/{id}'>;
type Apart = NonNullable<RunOptions['apart']>;
export type ActionOptions = BodyOf<'post', '/v1/vms/{id}/{action}'>;

/** A run of its own with provisioning as a process that can be killed, and the VMs that the scenarios share. */
export class Lab {
  readonly outside: Outside;
  readonly #vms = new Map<string, string>();

  private constructor(
    readonly run: Run,
    readonly api: Client,
    readonly db: pg.Client,
    readonly failpoints: string,
    readonly images: readonly Uploaded[],
  ) {
    this.outside = new Outside(run);
  }

  /** Empty: hosts, types and images are there, and no VM. */
  bare!: Inventory;

  /** `apart`: services that can be killed. `ownPoolEach`: and the small one is both hosts'. */
  static async open(say: (text: string) => void, apart: Apart = ['provisioning'], ownPoolEach = false): Promise<Lab> {
    const tenant = await tenantKey();
    const failpoints = path.join(process.cwd(), '.chrysalis', `failpoints-${process.pid}.json`);
    const run = await openRun({
      distributed: false,
      apart,
      trustedKeys: [tenant.publicJwk],
      say,
      smallPoolMiB: ownPoolEach ? SMALL_SHARED_POOL_MIB : SMALL_POOL_MIB,
      ...(ownPoolEach ? { ownPoolEach, smallPoolShared: true } : {}),
      ratioPerMille: 8_000, // a scenario's VM stays for the next: what is scarce is theirs to make so
      environment: { CHRYSALIS_FAILPOINTS: failpoints, CHRYSALIS_LOG: process.env['CHRYSALIS_LOG'] ?? 'fatal' },
    });
    writeFileSync(failpoints, '{}');
    const api = createClient({ server: run.platform.adminUrl, token: run.platform.token, patienceMs: 30_000 });
    await hostsUp(api, run.hosts.agents.length);
    await publishStarter(api, { ...run.image, cmdline: run.image.cmdline + PANIC_BUTTON }, tenant);
    const images = await publishTinyGuests(api);
    const db = new pg.Client({ connectionString: run.platform.database.url });
    await db.connect();
    db.on('error', () => undefined); // at an interruption its server may go first; whoever asks then is told
    const lab = new Lab(run, api, db, failpoints, images);
    lab.bare = await lab.inventory();
    return lab;
  }

  async close(): Promise<void> {
    await this.db.end(); // before its server
    await this.run.stop();
  }

  inventory(): Promise<Inventory> {
    return takeInventory(this.outside, this.db);
  }

  get host(): Run['hosts']['agents'][number] {
    return this.run.hosts.agents[0]!;
  }

  /** Where disks lie for hosts to fetch. */
  depot(): string[] {
    return readdirSync(path.join(this.run.dir, 'depot')).sort();
  }

  /** Asked for, and where that has ended. */
  async create(
    guest: GuestName,
    o: { name: string } & Pick<BodyOf<'post', '/v1/vms'>, 'restart' | 'seed' | 'pool'>,
  ): Promise<{ vmId: string; end: Operation }> {
    const { vmId, operation } = await this.api.post('/v1/vms', { body: { ...guests[guest], host: this.host.hostId, ...o } });
    return { vmId, end: await this.ended(operation) };
  }

  /** The one of this name that scenarios share, in whatever state one of them has left it. */
  async made(guest: GuestName, restart: RestartPolicy = 'never', name: string = guest): Promise<VmView> {
    const known = this.#vms.get(name);
    if (known) return this.vm(known);
    const { vmId, end } = await this.create(guest, { name, restart });
    if (end.state !== 'succeeded') throw new Error(`${name} was not made: ${JSON.stringify(end.cause)}`);
    this.share(name, vmId);
    return this.until(
      `${name} to be shown`,
      () => this.vm(vmId),
      (vm) => vm.state === 'running' && vm.topology !== undefined,
    );
  }

  share(name: string, vmId: string): void {
    this.#vms.set(name, vmId);
  }

  /** The same, running: started or continued where it was left otherwise. */
  async running(guest: GuestName, name: string = guest): Promise<VmView> {
    const { vmId } = await this.made(guest, 'never', name);
    const seen = await this.until(
      `${name} to be in no action`,
      () => this.vm(vmId),
      (vm) => !vm.action && vm.observed !== undefined,
    );
    if (seen.state === 'paused') await this.act(vmId, 'resume');
    else if (seen.state === 'stopped' || seen.observed?.state !== 'running') await this.act(vmId, 'start', { force: true });
    return this.until(
      `${name} to run`,
      () => this.vm(vmId),
      (vm) => vm.state === 'running' && vm.observed?.state === 'running',
    );
  }

  /** The same, stopped: `linux` by its agent, after its service has answered once; the others, who hear nobody, by their power. */
  async stopped(guest: GuestName): Promise<VmView> {
    const known = this.#vms.get(guest);
    const left = known ? await this.vm(known) : undefined;
    if (left?.state === 'stopped') return left;
    const vm = await this.running(guest);
    if (guest === 'linux')
      await this.until(
        `${guest} to serve`,
        () => this.outside.asks(vm),
        (answer) => answer !== undefined,
      );
    await this.act(vm.vmId, 'stop', guest === 'linux' ? {} : { force: true, timeoutMs: 1_000 });
    return vm;
  }

  async policy(vmId: string, restart: RestartPolicy): Promise<void> {
    await this.api.patch('/v1/vms/{id}', { path: { id: vmId }, body: { restart } });
  }

  vm(vmId: string): Promise<VmView> {
    return this.api.get('/v1/vms/{id}', { path: { id: vmId } }) as Promise<VmView>;
  }

  /** The pool of this name, as the API shows it. */
  async poolNamed(name: string): Promise<Pool> {
    const { items } = await this.api.get('/v1/pools', { query: { name } });
    if (items.length !== 1) throw new Error(`${items.length} pools are named ${name}`);
    return this.api.get('/v1/pools/{id}', { path: { id: items[0]!.poolId } });
  }

  /** As its host is told to have it, and as it is seen: `[state, observed, cause]`. */
  async shown(vmId: string): Promise<{ state: string; observed: string | undefined; cause: string | undefined }> {
    const { state, observed } = await this.vm(vmId);
    return { state, observed: observed?.state, cause: observed?.cause?.code };
  }

  /** Throws `ApiError` where it is refused; nothing where it is so already. */
  async act(vmId: string, action: VmAction, options: ActionOptions = {}): Promise<Operation | undefined> {
    const { operation } = await this.api.post('/v1/vms/{id}/{action}', { path: { id: vmId, action }, body: options });
    return operation ? this.ended(operation) : undefined;
  }

  async remove(vmId: string): Promise<Operation> {
    const { operation } = await this.api.delete('/v1/vms/{id}', { path: { id: vmId }, body: {} });
    return this.ended(operation);
  }

  ended(operation: string): Promise<Operation> {
    return this.api.waitOperation(operation, { timeoutMs: OPERATION_MS });
  }

  /** How many holds of the ledger are the VM's. */
  async holdsOf(vmId: string): Promise<number> {
    const { rows } = await this.db.query('select 1 from resource_allocation.ledger where consumer = $1', [`vm:${vmId}`]);
    return rows.length;
  }

  async addressesOf(vmId: string): Promise<number> {
    const { rows } = await this.db.query('select 1 from provisioning.guest_addresses where vm = $1', [vmId]);
    return rows.length;
  }

  /** All of the inventory that is this VM's: by its id, or its taps. */
  async leftOf({ vmId }: VmView, taps: readonly string[]): Promise<string[]> {
    const { links, files, holds, room, addresses } = await this.inventory();
    const its = [...files, ...holds, ...room, ...addresses].filter((text) => text.includes(vmId));
    return [...its, ...links.filter((l) => taps.some((t) => l.endsWith(` ${t}`))), ...this.outside.qemusOf(vmId)];
  }

  /** `deleted` also where it is shown no more. */
  async stateOf(vmId: string): Promise<string> {
    return this.vm(vmId).then(
      (vm) => vm.state,
      (error: { code?: string }) => (error.code === 'vm.unknown' ? 'deleted' : Promise.reject(error)),
    );
  }

  /** It is nobody's any more: who wants one of its name makes another. */
  forget(vmId: string): void {
    for (const [name, known] of this.#vms) if (known === vmId) this.#vms.delete(name);
  }

  /** Types of the events of a stream, without context and version, in order. */
  async events(stream: string): Promise<string[]> {
    const { rows } = await this.db.query<{ type: string }>('select type from provisioning.events where stream_id = $1 order by version', [
      stream,
    ]);
    return rows.map(({ type }) => type.replace(/^chrysalis\.provisioning\.|\.v\d+$/g, ''));
  }

  async until<T>(what: string, look: () => Promise<T>, ok: (seen: T) => boolean, timeoutMs = 30_000): Promise<T> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(100)) {
      const seen = await look();
      if (ok(seen)) return seen;
    }
    throw new Error(`waited ${timeoutMs / 1000} s for ${what}`);
  }

  /** A process of the run ends as by kill -9 at a named place, once, in the middle of what is begun here. */
  async killedAt<T>(
    who: 'host agent' | Apart[number] | { readonly pid: () => number | undefined },
    point: string,
    where: Readonly<Record<string, string>>,
    work: () => Promise<T>,
  ): Promise<{ killed: boolean; done: T }> {
    const ofAgent = who === 'host agent' ? this.host : who;
    const pid = (): number | undefined => (typeof ofAgent === 'string' ? this.run.platform.pids()[ofAgent] : ofAgent.pid());
    const before = pid();
    writeFileSync(this.failpoints, JSON.stringify({ [point]: { action: 'exit', where } }));
    const working = work();
    working.catch(() => undefined);
    let over = false;
    void working.then(
      () => (over = true),
      () => (over = true),
    );
    const isThere = (): boolean => before !== undefined && existsSync(`/proc/${before}`);
    while (isThere() && !over) await sleep(10);
    writeFileSync(this.failpoints, '{}');
    return { killed: !isThere(), done: await working };
  }
}
