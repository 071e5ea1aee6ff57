import { agentGatewayEvents } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { keepOpen, leftOpen, noMoreOpen, type OpenConsole } from '../sql/open-consoles.ts';

const { consoleOpened, consoleClosed } = agentGatewayEvents;
export type Traffic = { readonly readBytes: number; readonly typedBytes: number };

/** Who had a VM's console open, and how it ended, in the log: never what was read or typed. */
export class ConsoleAudit {
  constructor(private readonly service: ServiceContext) {}

  /** Committed when it returns: nobody reads a byte before. */
  opened(console: OpenConsole, more: { writer: boolean; tookFrom?: string }): Promise<void> {
    const { vmId, hostId, session } = console;
    return this.service.store.transaction(
      async (tx) => {
        await keepOpen(tx, this.service.config.instance, console);
        await this.#append(tx, console, { type: consoleOpened.type, data: { vmId, hostId, session, ...more } });
      },
      { attempts: 5 },
    );
  }

  closed(console: OpenConsole, code: string, traffic: Traffic): Promise<void> {
    const { vmId, hostId, session } = console;
    return this.service.store.transaction(
      async (tx) => {
        if (!(await noMoreOpen(tx, session))) return;
        await this.#append(tx, console, { type: consoleClosed.type, data: { vmId, hostId, session, code, ...traffic } });
      },
      { attempts: 5 },
    );
  }

  /** Of an earlier life of this instance, which was killed. How much went each way died with it. */
  async closeLeftOver(): Promise<void> {
    for (const console of await leftOpen(this.service.pool, this.service.config.instance))
      await this.closed(console, 'console.gateway_lost', { readBytes: 0, typedBytes: 0 });
  }

  async #append(tx: pg.PoolClient, { vmId, session, actor, tenant }: OpenConsole, event: { type: string; data: unknown }): Promise<void> {
    const meta = { at: this.service.clock(), correlationId: session, actor, tenant };
    const events = [{ id: this.service.newId(), ...event, meta }];
    await this.service.store.append({ stream: `console-${vmId}`, expected: 'any', events }, tx);
  }
}
