import type { FromHostAgent } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { Counter } from 'prom-client';
import type { Connection } from '../sessions/connection.ts';
import { record, type Said } from './record.ts';

type Vms = Extract<FromHostAgent, { type: 'heartbeat' }>['vms'];
/** VMs in one transaction. */
const BATCH = 200;
/** A VM that is not this host's, as far as we know: asked again so much later, as we may hear of its place after its host does. */
const AGAIN_MS = 1_000;
/** One whose place somebody is writing at the moment: transactions here take some milliseconds. */
const SOON_MS = 50;

/**
 * What heartbeats say of VMs, turned into events where it is new. The same again costs a comparison in memory; a heartbeat waits for
 * nothing, and what could not be written comes with the next one.
 */
export class Observations {
  readonly #told = new Map<string, Map<string, string>>();
  readonly #refused = new Map<string, number>();
  readonly #waiting = new Map<string, Said>();
  /** To be said again in a moment, unless the connection has said anything of the VM since. */
  readonly #later = new Map<string, Said>();
  #flushing: Promise<void> | undefined;

  readonly #recorded: Counter<'state'>;

  constructor(private readonly service: ServiceContext) {
    this.#recorded = new Counter({
      name: 'chrysalis_agent_gateway_vms_observed_total',
      help: 'What VMs were seen to become, by what that is',
      labelNames: ['state'],
      registers: [service.metrics],
    });
  }

  heard(connection: Pick<Connection, 'id' | 'hostId' | 'ended'>, vms: Vms): void {
    const { id: connectionId, hostId } = connection;
    if (hostId === undefined || connection.ended) return;
    const told = this.#told.get(connectionId) ?? new Map<string, string>();
    this.#told.set(connectionId, told);
    for (const { vmId, epoch, role, observed } of vms) {
      const key = `${connectionId} ${vmId}`;
      this.#later.delete(key);
      if (role !== 'runner' || !observed || told.get(vmId) === textOf({ epoch, observed })) continue;
      if ((this.#refused.get(key) ?? 0) > performance.now()) continue;
      this.#waiting.set(key, { connectionId, hostId, vmId, epoch, observed });
    }
    if (this.#waiting.size > 0) void this.flush();
  }

  left({ id }: Pick<Connection, 'id'>): void {
    this.#told.delete(id);
    for (const key of [...this.#waiting.keys(), ...this.#refused.keys(), ...this.#later.keys()])
      if (key.startsWith(`${id} `)) {
        this.#waiting.delete(key);
        this.#later.delete(key);
        this.#refused.delete(key);
      }
  }

  /** One at a time; what comes meanwhile goes into the next. */
  flush(): Promise<void> {
    return (this.#flushing ??= this.#flush()
      .catch((err: unknown) => this.service.log.error({ err }, 'what hosts observed was not recorded; it comes again'))
      .finally(() => (this.#flushing = undefined)));
  }

  async #flush(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, BATCH);
      for (const [key] of batch) this.#waiting.delete(key);
      const verdicts = await record(this.service, batch.map(([, said]) => said)); // prettier-ignore
      batch.forEach(([key, said], i) => {
        if (verdicts[i] === 'busy') return this.#soon(key, said);
        if (verdicts[i] === 'foreign') this.#refused.set(key, performance.now() + AGAIN_MS);
        else this.#refused.delete(key);
        if (verdicts[i] === 'recorded') this.#recorded.inc({ state: said.observed.state });
        if (verdicts[i] !== 'foreign') this.#told.get(said.connectionId)?.set(said.vmId, textOf(said));
      });
    }
  }

  #soon(key: string, said: Said): void {
    if (!this.#told.has(said.connectionId) || this.#waiting.has(key)) return; // gone, or something newer is on its way
    this.#later.set(key, said);
    setTimeout(() => {
      if (this.#later.get(key) !== said) return;
      this.#later.delete(key);
      this.#waiting.set(key, said);
      void this.flush();
    }, SOON_MS).unref();
  }
}

const textOf = ({ epoch, observed }: Pick<Said, 'epoch' | 'observed'>): string => JSON.stringify([epoch, observed]);
