import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  addressed,
  agentGatewayEvents,
  diskSerial,
  eventsTopic,
  tasksTopic,
  topologyHash,
  volumeFile,
  workflowEvents,
  type Observed,
  type Outcome,
  type TaskDispatch,
  type Topology,
} from '@chrysalis/contracts';
import { EventStore } from '@chrysalis/event-store';
import { createBus, type EventBus } from '@chrysalis/messaging';
import {
  ImageDepot,
  issueToken,
  newSigningKey,
  type Role,
  type RunningService,
  type ServiceConfig,
  type SigningKey,
} from '@chrysalis/service-kit';
import { bareTopology, busEvent, serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import { starterTypes } from '../../../../tools/run/starter.ts';
import { reservedAddressOf } from '../addresses/sql.ts';
import { start } from '../main.ts';
import { vmOf } from '../sql/vms.ts';
import { volumeOf } from '../volumes/sql.ts';
import type { VmView } from '../vm-view.ts';

export const spec = starterTypes.small;
export const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
/** Of its NICs those on networks that are resources of their own. */
export const topologyOf = (vm: VmView, vcpus = 1): { topology: Topology; topologyHash: string } => {
  const nics = vm.nics.filter((n) => n.segment).map((n, port) => ({ ...n, port }));
  const topology = bareTopology({ uuid: vm.uuid, vcpus: { boot: vcpus, max: 4, plugged: [] }, nics, image });
  return { topology, topologyHash: topologyHash(topology) };
};

/** The hardware of a VM that has a volume. */
export const withVolume = (vm: VmView, id: string, sizeMiB = 64): { topology: Topology; topologyHash: string } => {
  const disk = {
    id,
    port: 5,
    serial: diskSerial(id),
    sizeMiB,
    format: 'qcow2' as const,
    pool: 'shared',
    volume: volumeFile(id),
    readOnly: false,
  };
  const bare = topologyOf(vm).topology;
  const topology = { ...bare, disks: [...bare.disks, disk] };
  return { topology, topologyHash: topologyHash(topology) };
};

/** The hardware of a VM that has a further address, or has it no more. */
export const withAddress = (vm: VmView, { networkId, address }: { networkId: string; address: string }, has: boolean) => {
  const topology = addressed(vm.topology!, networkId, address, has);
  return { topology, topologyHash: topologyHash(topology) };
};

type Answer = VmView & {
  code: string;
  operation: string;
  vmId: string;
  faults: { path: string }[];
  errors: { path: string }[];
};

/** The service alone, on a database of its own; what other services would say comes over the bus. */
export class Harness {
  #token = 0;
  private constructor(
    readonly database: TemporaryDatabase,
    readonly running: RunningService,
    private readonly key: SigningKey,
    readonly bus: EventBus,
    /** Also there where the service runs in processes of its own. */
    readonly store: EventStore,
  ) {}

  static async start(over?: ServiceConfig['bus']): Promise<Harness> {
    const database = await temporaryDatabase();
    const key = await newSigningKey();
    const depot = mkdtempSync(join(tmpdir(), 'chrysalis-depot-'));
    const config: ServiceConfig = { ...serviceConfig(database, key), images: ImageDepot.parse({ depot }), ...(over ? { bus: over } : {}) };
    const running = await start(config);
    const pool = database.pool({ max: 2 });
    const bus = createBus({ kind: 'embedded', pool, connectionString: database.connectionString });
    return new Harness(database, running, key, bus, new EventStore(pool, 'provisioning'));
  }

  /** Where disks are. */
  get depot(): string {
    return this.running.service.config.images!.depot;
  }

  async stop(): Promise<void> {
    await this.running.stop();
    await this.bus.close();
    await this.database.drop();
    rmSync(this.depot, { recursive: true, force: true });
  }

  /** Olga's. `expires` in jose's words. */
  token(roles: Role[], { tenant = 'main', expires = '12h' } = {}): Promise<string> {
    return issueToken(this.key.privateJwk, { sub: 'olga', roles, tenant }, expires);
  }

  async http<T = Answer>(
    method: string,
    path: string,
    body?: unknown,
    { tenant = 'main', role = 'operator' as Role, headers = {} as Record<string, string> } = {},
  ) {
    // The catalogue is the fleet's to write, a VM its tenant's.
    const token = await this.token(/^\/v1\/(vm-types|image)/.test(path) ? [role, 'fleet'] : [role], { tenant });
    const answer = await fetch(`${this.running.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: answer.status, etag: answer.headers.get('etag'), body: (await answer.json()) as T };
  }

  #say(topic: string, key: string, type: string, data: unknown): Promise<void> {
    return this.bus.publish([{ topic, event: busEvent(key, type, data) }]);
  }

  /** A task as the workflow service sends it; resolves with what the service reports. */
  async run(workflowId: string, kind: string, input: Record<string, unknown>, tenant = 'main'): Promise<Outcome> {
    const token = ++this.#token;
    const dispatch: TaskDispatch = {
      workflowId,
      task: kind.replace('.', '-'),
      action: 'run',
      attempt: token,
      kind,
      executor: 'group:provisioning',
      group: 'provisioning',
      input,
      token,
      deadlineAt: '2099-01-01T00:00:00Z',
      tenant,
    };
    await this.#say(tasksTopic('provisioning'), `workflow-${workflowId}`, workflowEvents.taskDispatched.type, dispatch);
    return this.eventually(async () => {
      const reports = (await this.store.read(`task-${workflowId}`)).map((e) => e.data as TaskDispatch & { outcome: Outcome });
      return reports.find((r) => r.token === token)?.outcome;
    });
  }

  /** The end of a workflow, as the workflow service tells it. */
  ended(data: { workflowId: string; subject: string; name: string; state: string; cause?: object }): Promise<void> {
    const full = { ...data, output: {}, at: '2026-01-01T00:00:00.000Z' };
    return this.#say(eventsTopic('workflow'), `workflow-${data.workflowId}`, workflowEvents.instanceEnded.type, full);
  }

  /** What host `a` sees of a VM, the `version`th time that it is something else. */
  async sees(vmId: string, version: number, observed: Pick<Observed, 'state' | 'since'>): Promise<void> {
    const data = { vmId, hostId: 'a', epoch: 1, observed: { resets: 0, changes: version, ...observed } };
    const event = { ...busEvent(`observed-${vmId}`, agentGatewayEvents.vmObserved.type, data), streamversion: version };
    await this.bus.publish([{ topic: eventsTopic('agent-gateway'), event }]);
  }

  readonly eventually = until;

  /** A VM as the service decides about it. */
  async vm(id: string): Promise<VmView> {
    const { pool, schema } = this.running.service;
    return (await vmOf(pool, schema, undefined, id))!;
  }

  /** A VM that runs on host `a`. */
  async runningVm(name = 'web', networks: readonly object[] = []): Promise<VmView> {
    const { vmId, operation } = (await this.http('POST', '/v1/vms', { name, type: 'small', image: 'linux@1', networks })).body;
    await this.run(operation, 'vm.record-placement', { vmId, hostId: 'a' });
    const shaped = topologyOf(await this.vm(vmId));
    await this.run(operation, 'vm.record-boot', { vmId, epoch: 1, hostId: 'a', ...shaped, at: '2026-01-01T00:00:00.000Z' });
    return this.vm(vmId);
  }

  async network(subnet: string, name = 'back') {
    return (await this.http<{ networkId: string }>('POST', '/v1/networks', { name, subnet })).body;
  }
  /** A reserved address, and a VM on its network. */
  async reserved(subnet: string) {
    const { networkId } = await this.network(subnet);
    const { addressId } = (await this.http<{ addressId: string }>('POST', '/v1/addresses', { network: networkId })).body;
    const vm = await this.runningVm('web', [{ network: networkId }]);
    return { address: await this.addressNow(addressId), vm };
  }
  /** One that the VM has. */
  async bound(subnet: string) {
    const { address, vm } = await this.reserved(subnet);
    await this.bind(address.addressId, vm);
    return { address: await this.addressNow(address.addressId), vm: await this.vm(vm.id) };
  }
  /** Asks, and does what a host would. */
  async bind(id: string, vm: VmView, move = false) {
    const { operation } = (await this.http<{ operation: string }>('POST', `/v1/addresses/${id}/bind`, { vm: vm.id, move })).body;
    const before = await this.addressNow(id);
    const from = before.action?.from === undefined ? undefined : await this.vm(before.action.from);
    const input = { addressId: id, vmId: vm.id, ...withAddress(await this.vm(vm.id), before, true), seen: true };
    const had = from ? { from: { vmId: from.id, ...withAddress(from, before, false) } } : {};
    return { operation, outcome: await this.run(operation, 'address.record-bound', { ...input, ...had }) };
  }
  async addressNow(id: string) {
    const { pool, schema } = this.running.service;
    return (await reservedAddressOf(pool, schema, undefined, id))!;
  }
  /** A volume that is available, in the pool that all hosts see. */
  async volume(name = 'data', sizeMiB = 64) {
    const { volumeId, operation } = (await this.http<{ volumeId: string; operation: string }>('POST', '/v1/volumes', { name, sizeMiB }))
      .body;
    await this.run(operation, 'volume.record-created', { volumeId, hostId: 'a', shared: true });
    return this.volumeNow(volumeId);
  }
  /** A volume that this VM has. */
  async attached(vm: VmView) {
    const { volumeId } = await this.volume();
    const { operation } = (await this.http<{ operation: string }>('POST', `/v1/volumes/${volumeId}/attach`, { vm: vm.id })).body;
    await this.run(operation, 'volume.record-attached', { volumeId, vmId: vm.id, ...withVolume(vm, volumeId), seen: true });
    return this.volumeNow(volumeId);
  }
  /** A volume as the service decides about it. */
  async volumeNow(id: string) {
    const { pool, schema } = this.running.service;
    return (await volumeOf(pool, schema, undefined, id))!;
  }
}
