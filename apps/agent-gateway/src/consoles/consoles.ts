import {
  Id,
  CONSOLES_SINCE,
  type Cause,
  type ConsoleFromAgent,
  type ConsoleToAgent,
  type Code,
  type ProblemCode,
  CODES,
  listedCode,
} from '@chrysalis/contracts';
import { ProblemError, reaches, type Caller, type ServiceContext } from '@chrysalis/service-kit';
import type { Connection } from '../sessions/connection.ts';
import type { Hub } from '../sessions/hub.ts';
import { whereIs, type OpenConsole } from '../sql/open-consoles.ts';
import { ConsoleAudit } from './audit.ts';

export type Asked = Pick<Extract<ConsoleToAgent, { type: 'console-open' }>, 'what' | 'write' | 'force' | 'tail'>;
/** Who hears of a session. Nothing comes after `closed`. */
export type Listener = {
  readonly opened: (writer: boolean) => void;
  readonly output: (bytes: Buffer, skipped: number) => void;
  readonly took: (bytes: number) => void;
  readonly reads: (by: string) => void;
  readonly notice: (cause: Cause) => void;
  readonly closed: (cause: Cause | undefined) => void;
};
export type Session = {
  readonly id: string;
  readonly hostId: string;
  readonly type: (bytes: Buffer) => void;
  /** So many bytes of output were passed on. */
  readonly passed: (bytes: number) => void;
  readonly close: (code: Code, message: string) => void;
};
type Live = OpenConsole & {
  readonly connection: Connection;
  readonly listener: Listener;
  readonly asked: Asked;
  readBytes: number;
  typedBytes: number;
};
export type Place = { readonly vmId: string; readonly hostId: string; readonly tenant: string };

/** The consoles that are open through this instance, and what goes over the agents' connections for them. */
export class Consoles {
  readonly #live = new Map<string, Live>();
  readonly #audit: ConsoleAudit;
  #hub: Hub | undefined;

  constructor(private readonly service: ServiceContext) {
    this.#audit = new ConsoleAudit(service);
  }

  async start(hub: Hub): Promise<void> {
    this.#hub = hub;
    await this.#audit.closeLeftOver();
  }

  /** Another tenant's VM is answered as if it were not there. */
  async placeOf(vmId: string, caller: Caller): Promise<Place> {
    const place = Id.safeParse(vmId).success ? await whereIs(this.service.pool, vmId) : undefined;
    if (!place || !reaches(caller, place.tenant)) throw ProblemError.of({ code: 'vm.unknown', message: `no VM ${vmId.slice(0, 200)}` });
    const { hostId, tenant } = place;
    if (hostId === null) throw ProblemError.of({ code: 'console.no_host', message: `${vmId} was given no host yet`, vmId });
    return { vmId, hostId, tenant };
  }

  open({ vmId, hostId, tenant }: Place, asked: Asked, { sub }: Caller, listener: Listener): Session {
    const connection = this.#hub?.connectionOf(hostId);
    if (!connection) throw ProblemError.of({ code: 'console.host_away', message: `the agent of ${hostId} is not connected here`, hostId });
    if (connection.protocol < CONSOLES_SINCE)
      throw ProblemError.of({ code: 'console.agent_too_old', message: `the agent of ${hostId} opens no consoles`, hostId });
    const id = this.service.newId('console');
    const live: Live = {
      session: id,
      vmId,
      hostId,
      tenant,
      actor: `user:${sub}`,
      connection,
      listener,
      asked,
      readBytes: 0,
      typedBytes: 0,
    };
    this.#live.set(id, live);
    connection.send({ type: 'console-open', session: id, vmId, by: sub, ...asked });
    return {
      id,
      hostId,
      type: (bytes) => {
        live.typedBytes += bytes.length;
        connection.send({ type: 'console-typed', session: id, data: bytes.toString('base64') });
      },
      passed: (bytes) => connection.send({ type: 'console-passed', session: id, bytes }),
      close: (code, message) => {
        if (!this.#live.has(id)) return;
        connection.send({ type: 'console-close', session: id });
        this.#end(live, { code, message });
      },
    };
  }

  async frame(connection: Connection, frame: ConsoleFromAgent): Promise<void> {
    const live = this.#live.get(frame.session);
    // Closed here while that was on its way; or of a gateway before this one, whose agent does not know yet.
    if (!live) return frame.type === 'console-opened' ? connection.send({ type: 'console-close', session: frame.session }) : undefined;
    if (live.connection !== connection) return connection.refuse('agent.frame_unexpected', 'the console is of another host');
    const { listener } = live;
    switch (frame.type) {
      case 'console-opened':
        return this.#opened(live, frame);
      case 'console-output': {
        const bytes = Buffer.from(frame.data, 'base64');
        live.readBytes += bytes.length;
        return listener.output(bytes, frame.skipped ?? 0);
      }
      case 'console-took':
        return listener.took(frame.bytes);
      case 'console-reads':
        return listener.reads(frame.by);
      case 'console-notice':
        return listener.notice(frame.cause);
      case 'console-closed':
        return this.#end(live, frame.cause);
    }
  }

  /** Its agent is gone, and comes back as one that knows of no console. */
  left(connection: Connection): void {
    const cause = { code: 'console.host_away', message: 'the agent of its host is not connected any more' };
    for (const live of this.#live.values()) if (live.connection === connection) this.#end(live, cause);
  }

  async stop(): Promise<void> {
    for (const live of this.#live.values()) this.#end(live, { code: 'console.gateway_lost', message: 'the gateway stops' });
    await Promise.all(this.#telling);
  }

  /** Frames of one agent come one after another: no output is looked at before this has returned. */
  async #opened(live: Live, { writer, tookFrom }: Extract<ConsoleFromAgent, { type: 'console-opened' }>): Promise<void> {
    if (live.asked.what !== 'terminal') return live.listener.opened(writer);
    try {
      await this.#audit.opened(live, { writer, ...(tookFrom === undefined ? {} : { tookFrom }) });
    } catch (err) {
      this.service.log.error({ err, session: live.session }, 'a console was not opened, as that could not be told');
      live.connection.send({ type: 'console-close', session: live.session });
      return this.#end(live, { code: 'service.unavailable', message: 'who opens a console is recorded first, and the database is away' });
    }
    if (this.#live.has(live.session)) return live.listener.opened(writer);
    return this.#told(live, 'console.left'); // meanwhile
  }

  readonly #telling = new Set<Promise<void>>();
  #end(live: Live, cause: Cause | undefined): void {
    if (!this.#live.delete(live.session)) return;
    live.listener.closed(cause);
    if (live.asked.what !== 'terminal') return;
    const telling = this.#told(live, cause?.code ?? 'console.over').finally(() => this.#telling.delete(telling));
    this.#telling.add(telling);
  }

  #told(live: Live, code: string): Promise<void> {
    const { readBytes, typedBytes } = live;
    return this.#audit.closed(live, code, { readBytes, typedBytes }).catch((err: unknown) => {
      this.service.log.error({ err, session: live.session }, 'the end of a console was not told; it is when this gateway starts anew');
    });
  }
}

/** What an agent said, as the answer to a request. */
export const refusalOf = (cause: Cause): ProblemError => {
  const code = listedCode(cause.code);
  const answers = code !== undefined && 'status' in CODES[code];
  return ProblemError.of({
    code: answers ? (code as ProblemCode) : 'console.failed',
    message: `${answers ? '' : `${cause.code}: `}${cause.message}`,
  });
};
