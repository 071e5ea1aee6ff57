import { setTimeout as sleep } from 'node:timers/promises';
import { consumerText } from '@chrysalis/contracts';
import type { Characterisation, Consumer, MigrationOption, Topology } from '@chrysalis/contracts';
import type { Client } from '@chrysalis/cli-app';
import type { TenantKey } from './grant.ts';
import { signGrant } from './grant.ts';
import type { DemoReport, Guest } from './report.ts';
import type { Run } from './run.ts';
import type { Screen } from './screen.ts';
import { hostsUp, publishStarter, type HostView } from '../run/starter.ts';

export { addressOf, startServiceClient } from './client.ts';
export type { HostView } from '../run/starter.ts';

/** What the template's author adds: a task in the guest before the move, and one after it. */
export const journey = {
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
} as const;

/** What the API shows of a VM; only what is used here. */
export type VmView = {
  vmId: string;
  state: string;
  hostId: string;
  type: { name: string; version: number };
  epoch: number;
  topology: Topology;
  characterisation?: Characterisation;
};
export type OptionsView = {
  queryId: string;
  options: MigrationOption[];
  refused: { id: string; blockers: { code: string; message: string }[] }[];
};
type StepView = { section: DemoReport['steps'][number]['section']; name: string; state: string; ms?: number };
export type MigrationView = {
  migrationId: string;
  state: string;
  endedAt: string;
  cause?: { code: string; message: string };
  moves: {
    moveId: string;
    workflowId: string;
    vmId: string;
    state: string;
    figures?: { downtimeMs: number; totalMs: number; transferredBytes: number; controlPlaneMs: number };
    steps: StepView[];
  }[];
};

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
    const { operation, vmId } = await this.api.request<{ operation: string; vmId: string }>('POST', '/v1/vms', {
      name,
      type: 'small@1',
      image: 'linux@1',
      host: onHost,
    });
    await this.finished(operation, 60_000);
    return this.#until('the VM to be shown as running', 20_000, async () => {
      const view = await this.vm(vmId);
      return view.state === 'running' && view.topology ? view : undefined;
    });
  }

  /** Every allocation that is held. */
  async ledger(): Promise<DemoReport['ledger']> {
    const { items } = await this.api.request<{
      items: { hostId: string; consumer: Consumer | string; vcpu: number; memoryMiB: number }[];
    }>('GET', '/v1/allocations');
    return items.map(({ hostId, consumer, vcpu, memoryMiB }) => ({
      host: hostId,
      consumer: typeof consumer === 'string' ? consumer : consumerText(consumer),
      vcpu,
      memoryMiB,
    }));
  }

  vm(vmId: string): Promise<VmView> {
    return this.api.request<VmView>('GET', `/v1/vms/${vmId}`);
  }

  async options(vmId: string, grantId?: string): Promise<OptionsView> {
    const { queryId, operation } = await this.api.request<{ queryId: string; operation: string }>('POST', '/v1/migration-options-queries', {
      vmIds: [vmId],
      ...(grantId ? { grantId } : {}),
    });
    if (grantId) await this.finished(operation, 60_000);
    return this.#until('the options', 10_000, async () => {
      const answer = await this.api.request<Partial<OptionsView>>('GET', `/v1/migration-options-queries/${queryId}`);
      return answer.options ? ({ ...answer, queryId } as OptionsView) : undefined;
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
    await this.api.request('POST', '/v1/grants', { jws });
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
      return view.characterisation?.facts && view.characterisation.at !== known ? view : undefined;
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

  optionToLarge(from: OptionsView): MigrationOption {
    const option = from.options.find(
      (x) => x.targetType.name === 'large' && x.move && x.newResources === 'expose' && x.method === 'pre-copy',
    );
    if (!option)
      throw new Error(`no option leads to large: ${JSON.stringify(from.refused.filter((r) => r.id.startsWith('large'))).slice(0, 1500)}`);
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
