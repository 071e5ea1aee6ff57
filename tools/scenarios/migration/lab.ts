import { createScreen } from '../../fleet/screen.ts';
import { addressOf, hasEnded, startServiceClient, Story, type MigrationView, type VmView } from '../../fleet/story.ts';
import type { Guest } from '../../fleet/views.ts';
import type { ServiceSeen } from '../../fleet/service-client.ts';
import { tenantKey } from '../../run/grant.ts';
import type { BodyOf, MigrationOption } from '@chrysalis/api-client';
import { Lab } from '../provisioning/lab.ts';

/** Of one migration; the deadline of a move in which something died is among them. */
const MIGRATION_MS = 240_000;
/** So long a client waits for the answer of a guest that is to stand still: TCP asks again at 13 s and 25 s. */
const STANDS_STILL_MS = 60_000;

export type Traveller = { readonly vmId: string; readonly grantId: string; readonly uuid: string };
/** What a guest is, where, and under what boot: what a move is to change, or not. */
export type Shape = Pick<Guest, 'type' | 'host' | 'bootId' | 'vcpus' | 'memoryMiB'> & { readonly nics: number };
export type Trip = {
  readonly before: Shape;
  readonly ended: MigrationView;
  readonly after: Shape;
  readonly service: ServiceSeen;
};
type Made = BodyOf<'post', '/v1/migration-templates'>;

/** VMs that travel between two hosts of unlike QEMUs, with agents by grant, and services that can be killed. */
export class MoveLab {
  readonly #travellers = new Map<string, Traveller>();
  #templates = 0;

  private constructor(
    readonly lab: Lab,
    readonly story: Story,
  ) {}

  static async open(say: (text: string) => void): Promise<MoveLab> {
    const lab = await Lab.open(say, ['provisioning', 'agent-gateway', 'workflow'], true);
    return new MoveLab(lab, new Story(lab.run, lab.api, createScreen(process.stderr), await tenantKey()));
  }

  close(): Promise<void> {
    return this.lab.close();
  }

  /** QEMU 7.2, and where every traveller is born. */
  get old(): string {
    return this.#host('old').hostId;
  }
  /** QEMU 10. */
  get new(): string {
    return this.#host('new').hostId;
  }
  agentOf(hostId: string) {
    return this.lab.run.hosts.agents.find((a) => a.hostId === hostId)!;
  }

  /** The one of this name, as another scenario left it; made at the first time, of `small` on the old host. */
  async traveller(name: string, body: Partial<BodyOf<'post', '/v1/vms'>> = {}): Promise<Traveller> {
    const known = this.#travellers.get(name);
    if (known) return known;
    const { vmId, operation } = await this.lab.api.post('/v1/vms', {
      body: { name, type: 'small@1', image: 'linux@1', host: this.old, ...body },
    });
    const end = await this.lab.ended(operation);
    if (end.state !== 'succeeded') throw new Error(`${name} was not made: ${JSON.stringify(end.cause)}`);
    const vm = await this.shown(vmId);
    const made = { vmId, grantId: await this.story.grant(vmId), uuid: vm.topology.uuid };
    this.#travellers.set(name, made);
    return made;
  }

  /** Nobody travels as it any more: what its guest does is not to be in the way of what comes after. */
  async end({ vmId }: Traveller): Promise<void> {
    for (const [name, t] of this.#travellers) if (t.vmId === vmId) this.#travellers.delete(name);
    const { state, cause } = await this.lab.remove(vmId);
    if (state !== 'succeeded') throw new Error(`${vmId} was not deleted: ${JSON.stringify(cause)}`);
  }

  shown(vmId: string): Promise<VmView> {
    return this.lab.until(
      `${vmId} to be shown`,
      () => this.lab.vm(vmId),
      (vm) => vm.hostId !== undefined && vm.topology !== undefined,
    );
  }

  /** What the guest itself says now. */
  async shape({ vmId, grantId }: Traveller, hostId?: string): Promise<Shape> {
    const { type, host, bootId, vcpus, memoryMiB, nics } = await this.story.guest(vmId, grantId, hostId);
    return { type, host, bootId, vcpus, memoryMiB, nics: nics.length };
  }

  /** A template by the option of these members; throws with what was refused where none is offered. */
  async byOption({ vmId, grantId }: Traveller, wanted: Partial<MigrationOption> & { to: string }, extra: object = {}): Promise<string> {
    const { to, ...members } = { method: 'pre-copy', newResources: 'expose', ...wanted };
    const asked = await this.story.options(vmId, grantId);
    const fits = (o: MigrationOption): boolean =>
      o.targetType.name === to && Object.entries(members).every(([k, v]) => o[k as keyof MigrationOption] === v);
    const option = asked.options.find(fits);
    if (!option) throw new Error(`no option to ${to} with ${JSON.stringify(members)}: ${JSON.stringify(asked.refused).slice(0, 1500)}`);
    return this.template({ fromOption: { queryId: asked.queryId, optionId: option.id }, ...extra });
  }

  async template(body: Omit<Made, 'name'>): Promise<string> {
    const made = await this.lab.api.post('/v1/migration-templates', { body: { name: `trip-${++this.#templates}`, ...body } as Made });
    return `${made.name}@${made.version}`;
  }

  /** Begun, and not waited for. */
  async begin(template: string, vmIds: readonly string[]): Promise<string> {
    const plan = await this.lab.api.post('/v1/migration-plans', { body: { template, vmIds: [...vmIds] } });
    const { migrationId } = await this.lab.api.post('/v1/migrations', { body: { planId: plan.planId } });
    return migrationId;
  }

  ended(migrationId: string): Promise<MigrationView> {
    return this.lab.until(
      `migration ${migrationId} to end`,
      () => this.lab.api.get('/v1/migrations/{id}', { path: { id: migrationId } }),
      (m) => hasEnded(m),
      MIGRATION_MS,
    ) as Promise<MigrationView>;
  }

  /** By the template, while a client outside of both hosts asks the guest's service; `meanwhile` begins with the migration. `standsStill`: nobody is to be served for a while. */
  async trip(
    t: Traveller,
    template: string,
    meanwhile?: (migrationId: string) => Promise<unknown>,
    { standsStill = false }: { standsStill?: boolean } = {},
  ): Promise<Trip> {
    const before = await this.shape(t);
    const client = await startServiceClient(
      this.lab.run,
      addressOf((await this.shown(t.vmId)).topology),
      standsStill ? STANDS_STILL_MS : undefined,
    );
    const travelled = async (): Promise<Omit<Trip, 'service'>> => {
      const migrationId = await this.begin(template, [t.vmId]);
      await meanwhile?.(migrationId);
      const ended = await this.ended(migrationId);
      return { before, ended, after: await this.shape(t, ended.state === 'succeeded' ? ended.planned[0]!.toHost : before.host) };
    };
    const trip = await travelled().catch(async (error: unknown) => {
      await client.stop(); // it would ask on for as long as the others run
      throw error;
    });
    return { ...trip, service: await client.stop() };
  }

  #host(part: string) {
    return this.lab.run.hosts.agents.find((a) => a.hostId.includes(part))!;
  }
}
