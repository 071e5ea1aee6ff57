import { setTimeout as sleep } from 'node:timers/promises';
import { consumerText } from '@chrysalis/contracts';
import type { Client, Migration, MigrationOption, MigrationTemplate, OptionsQuery, Vm } from '@chrysalis/api-client';
import type { Topology } from '@chrysalis/contracts';
import type { TenantKey } from '../run/grant.ts';
import { signGrant } from '../run/grant.ts';
import type { Run } from './run.ts';
import type { Screen } from './screen.ts';
import type { Guest, Held } from './views.ts';
import { hostsUp, publishStarter, type HostView } from '../run/starter.ts';

export { addressOf, startServiceClient } from './client.ts';
export type { HostView } from '../run/starter.ts';

type Script = Extract<MigrationTemplate['spec']['preMigration'][number], { kind: 'guest-script' }>;
/** What the template's author adds: a task in the guest before the move, and one after it. */
export const journey: Readonly<Record<'preMigration' | 'postMigration', [Script]>> = {
  preMigration: [
    {
      kind: 'guest-script',
      name: 'note-departure',
      script: 'echo "leaving $(cat /proc/sys/kernel/random/boot_id)" > /data/journey && sync',
      undo: 'rm -f /data/journey',
      timeoutMs: 10_000,
    },
  ],
  postMigration: [
    {
      kind: 'guest-script',
      name: 'note-arrival',
      script: 'echo "arrived with $(grep -c ^processor /proc/cpuinfo) CPUs" >> /data/journey && sync',
      timeoutMs: 10_000,
    },
  ],
};

/** A VM that has hardware, on a host. */
export type VmView = Vm & { readonly hostId: string; readonly topology: Topology };
const isPlaced = (vm: Vm): vm is VmView => vm.hostId !== undefined && vm.topology !== undefined;
export type OptionsView = Required<Pick<OptionsQuery, 'queryId' | 'options' | 'refused'>>;
/** A migration that is in a final state. */
export type MigrationView = Migration & { readonly endedAt: string };
export const hasEnded = (migration: Migration): migration is MigrationView =>
  migration.state !== 'running' && migration.endedAt !== undefined;

export class Story {
  constructor(
    readonly run: Run,
    readonly api: Client,
    readonly screen: Screen,
    readonly tenant: TenantKey,
  ) {}

  hostsUp(): Promise<HostView[]> {
    return hostsUp(this.api, this.run.hosts.agents.length);
  }

  /** Types, image, and a VM of type small on the old host, booted. */
  async provision(name: string, onHost: string): Promise<VmView> {
    await publishStarter(this.api, this.run.image, this.tenant);
    const { operation, vmId } = await this.api.post('/v1/vms', { body: { name, type: 'small@1', image: 'linux@1', host: onHost } });
    await this.finished(operation, 180_000);
    return this.#until('the VM to be shown as running', 20_000, async () => {
      const view = await this.vm(vmId);
      return view.state === 'running' && isPlaced(view) ? view : undefined;
    });
  }

  /** Every allocation that is held. */
  async ledger(): Promise<Held[]> {
    const { items } = await this.api.get('/v1/allocations');
    return items.map(({ hostId, consumer, vcpu, memoryMiB }) => ({
      host: hostId,
      consumer: consumerText(consumer),
      vcpu,
      memoryMiB,
    }));
  }

  vm(vmId: string): Promise<Vm> {
    return this.api.get('/v1/vms/{id}', { path: { id: vmId } });
  }

  async options(vmId: string, grantId?: string): Promise<OptionsView> {
    const { queryId, operation } = await this.api.post('/v1/migration-options-queries', {
      body: { vmIds: [vmId], ...(grantId ? { grantId } : {}) },
    });
    if (operation) await this.finished(operation, 180_000);
    return this.#until('the options', 10_000, async () => {
      const answer = await this.api.get('/v1/migration-options-queries/{id}', { path: { id: queryId } });
      const { options, refused = [] } = answer;
      return options && { queryId, options, refused };
    });
  }

  async grant(vmId: string): Promise<string> {
    const jti = `grant-${this.run.id}-${Date.now()}`;
    const jws = await signGrant(this.tenant, {
      jti,
      iss: 'main',
      vms: [vmId],
      packages: [this.run.agentPackage.digest],
      uses: 1000,
      actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'],
    });
    await this.api.post('/v1/grants', { body: { jws } });
    return jti;
  }

  /** What the guest itself says now, together with the type and host that the control plane says (expected: `hostId`). */
  async guest(vmId: string, grantId: string, hostId?: string): Promise<Guest> {
    if (hostId)
      await this.settled(
        () => this.vm(vmId),
        (view) => view.hostId === hostId,
      );
    const known = (await this.vm(vmId)).characterisation?.at;
    await this.options(vmId, grantId);
    const vm = await this.#until('fresh facts from the guest', 10_000, async () => {
      const view = await this.vm(vmId);
      return isPlaced(view) && view.characterisation?.facts && view.characterisation.at !== known ? view : undefined;
    });
    const facts = vm.characterisation!.facts!;
    return {
      type: `${vm.type.name}@${vm.type.version}`,
      host: vm.hostId,
      bootId: facts.bootId,
      uptimeSeconds: facts.uptimeSeconds,
      vcpus: facts.vcpus,
      memoryMiB: facts.memoryMiB,
      disks: facts.disks.map(({ name, bytes }) => ({ name, bytes })),
      fileSystemBytes: facts.fileSystems.find((f) => f.mount === '/data')?.bytes ?? 0,
      nics: facts.nics,
    };
  }

  /** To another host, with all that the type has. */
  optionTo(type: string, from: OptionsView): MigrationOption {
    const option = from.options.find((x) => x.targetType.name === type && x.move && x.newResources === 'expose' && x.method === 'pre-copy');
    if (!option)
      throw new Error(`no option leads to ${type}: ${JSON.stringify(from.refused.filter((r) => r.id.startsWith(type))).slice(0, 1500)}`);
    return option;
  }

  /** The read models follow the events: they get a while to show what is expected, and then what they show is taken as it is. */
  async settled<T>(look: () => Promise<T>, expected: (seen: T) => boolean, timeoutMs = 10_000): Promise<T> {
    let seen = await look();
    for (const end = Date.now() + timeoutMs; !expected(seen) && Date.now() < end; seen = await look()) await sleep(50);
    return seen;
  }

  async finished(operation: string, timeoutMs: number): Promise<void> {
    const end = await this.api.waitOperation(operation, { timeoutMs });
    if (end.state !== 'succeeded') throw new Error(`operation ${operation} ended ${end.state}: ${JSON.stringify(end.cause)}`);
  }

  async #until<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined>): Promise<T> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
      const found = await look();
      if (found !== undefined) return found;
    }
    throw new Error(`waited ${timeoutMs / 1000} s for ${what}`);
  }
}
