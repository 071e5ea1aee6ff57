import { moveProgressType, progressTopic, REVOKED_SINCE, taskKey, type ConsoleFromAgent, type ToHostAgent } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import pLimit from 'p-limit';
import { Counter, Gauge } from 'prom-client';
import { endedOf, hostsWithWork, pendingOf, type Pending } from '../sql/pending-tasks.ts';
import { mayGo } from '../sql/granted-tasks.ts';
import { signal, type HostSignal } from '../delivery/wire.ts';
import { Reports } from '../delivery/report-task.ts';
import type { BidFrame } from '../bids/exchange.ts';
import type { Connection, Frame, Hello } from './connection.ts';
import { Clocks, tellSkews } from './clocks.ts';
import { enrol } from './enrol.ts';
import { HostsKeep } from './keeps.ts';
import { Rooms, tellRooms } from './pools.ts';
import { VmTenants } from '../grants/vm-tenants.ts';
import { seen } from './liveness.ts';

type Session = {
  readonly connection: Connection;
  readonly generation: number;
  readonly sent: Set<string>;
  draining: boolean;
  again: boolean;
};
const BATCH = 200;
const ENROLLING_AT_ONCE = 4;
const PUBLISHING_AT_MOST = 64;

/** The sessions whose connections this instance holds, and what goes over them. */
export class Hub {
  readonly #sessions = new Map<string, Session>();
  /** A storm of agents that come back waits here and not in the database. */
  readonly #enrolling = pLimit(ENROLLING_AT_ONCE);
  readonly #tenants: VmTenants;
  readonly #reports: Reports;
  #publishing = 0;
  readonly #refused: Counter<'code'>;
  readonly #clocks: Clocks;
  readonly #keeps: HostsKeep;
  readonly #rooms = new Rooms();

  constructor(
    private readonly service: ServiceContext,
    private readonly heartbeatMs: number,
  ) {
    this.#clocks = new Clocks(service);
    this.#keeps = new HostsKeep(service);
    const remembered = (): number => [...this.#sessions.values()].reduce((n, { sent }) => n + sent.size, 0);
    new Gauge({
      name: 'chrysalis_agent_gateway_tasks_sent',
      help: 'Tasks that connected hosts were sent and that have not ended',
      registers: [service.metrics],
      collect() {
        this.set(remembered());
      },
    });
    this.#refused = new Counter({
      name: 'chrysalis_agent_gateway_agents_refused_total',
      help: 'Agents that were not let in, by why; agent.identity_conflict and .identity_copied are second agents of a host',
      labelNames: ['code'],
      registers: [service.metrics],
    });
    this.#tenants = new VmTenants(service.pool);
    this.#reports = new Reports(service);
  }

  get size(): number {
    return this.#sessions.size;
  }

  async hello(connection: Connection, hello: Hello): Promise<boolean> {
    const enrolled = await this.#enrolling(() => (connection.ended ? undefined : enrol(this.service, hello, connection)));
    if (!enrolled) return false; // it did not wait
    if (!enrolled.ok) {
      this.#refused.inc({ code: enrolled.code });
      connection.refuse(enrolled.code, enrolled.message);
      return false;
    }
    if (connection.ended) return false; // meanwhile; the host is lost when it stays away
    const { hostId } = hello;
    const { generation } = enrolled;
    const other = this.#sessions.get(hostId);
    const late = other !== undefined && other.generation > generation;
    (late ? connection : other?.connection)?.refuse('agent.replaced', 'another connection took this session');
    if (late) return false;
    connection.hostId = hostId;
    connection.tenant = enrolled.tenant;
    connection.protocol = enrolled.protocol;
    if (enrolled.isNew) this.#rooms.told(connection, hello.pools, Date.now());
    this.#sessions.set(hostId, { connection, generation, sent: new Set(), draining: false, again: false });
    connection.send({
      type: 'welcome',
      protocol: enrolled.protocol,
      sessionId: enrolled.sessionId,
      heartbeatMs: this.heartbeatMs,
      now: this.service.clock(),
    });
    this.service.log.info({ hostId, sessionId: enrolled.sessionId, isNew: enrolled.isNew }, 'host agent connected');
    this.deliver(hostId);
    return true;
  }

  closed(connection: Connection): void {
    this.#clocks.left(connection);
    this.#keeps.left(connection);
    this.#rooms.left(connection);
    const { hostId } = connection;
    if (hostId !== undefined && this.#sessions.get(hostId)?.connection === connection) this.#sessions.delete(hostId);
  }

  async frame(connection: Connection, frame: Exclude<Frame, BidFrame | ConsoleFromAgent>): Promise<void> {
    const hostId = connection.hostId!;
    switch (frame.type) {
      case 'heartbeat':
        this.#clocks.heard(connection, { hostId, tenant: connection.tenant }, frame.at, Date.now());
        this.#keeps.heard(connection, frame.keeps);
        this.#rooms.heard(connection, { hostId, tenant: connection.tenant }, frame.pools, Date.now());
        this.#alive.set(connection.id, connection);
        return;
      case 'report':
        return this.#report(connection, hostId, frame);
      case 'accepted':
        return;
      case 'progress':
        return this.#progress(hostId, frame);
      case 'peer-request': {
        const { id, toHost, request } = frame;
        return this.send(toHost, { type: 'peer-request', id, fromHost: hostId, request });
      }
      case 'peer-answer': {
        const { id, toHost, answer } = frame;
        return this.send(toHost, { type: 'peer-answer', id, fromHost: hostId, answer });
      }
    }
  }

  /** Connections that were heard since the last flush. */
  readonly #alive = new Map<string, Connection>();

  /** One statement for all heartbeats of a moment. */
  async flushHeartbeats(): Promise<void> {
    await tellSkews(this.service, this.#clocks.due());
    await tellRooms(this.service, this.#rooms);
    const heard = new Map(this.#alive);
    this.#alive.clear();
    for (const id of await seen(this.service, [...heard.keys()]))
      heard.get(id)?.refuse('agent.replaced', 'the session is another connection’s, or was lost');
  }

  async #report(connection: Connection, hostId: string, { report }: Extract<Frame, { type: 'report' }>): Promise<void> {
    const taken = await this.#reports.take(hostId, report);
    if (!taken.ok) return connection.refuse(taken.code, taken.message);
    const { workflowId, task, action, attempt } = report;
    connection.send({ type: 'report-ack', workflowId, task, action, attempt });
    this.#sessions.get(hostId)?.sent.delete(taskKey(report));
  }

  /** Telemetry: where the bus is slow it is dropped, and never waits in the way of reports. */
  #progress(hostId: string, { type: _, ...progress }: Extract<Frame, { type: 'progress' }>): void {
    if (this.#publishing >= PUBLISHING_AT_MOST) return;
    this.#publishing++;
    const event = (tenant: string) => ({
      specversion: '1.0' as const,
      id: this.service.newId(),
      source: `/chrysalis/agent-gateway/${hostId}`,
      type: moveProgressType,
      subject: progress.moveId,
      time: progress.at,
      partitionkey: progress.moveId,
      datacontenttype: 'application/json' as const,
      correlationid: progress.moveId,
      actor: `host:${hostId}`,
      tenant,
      data: { hostId, ...progress },
    });
    this.#tenants
      .of(progress.vmId)
      .then((tenant) => this.service.bus.publish([{ topic: progressTopic, event: event(tenant) }]))
      .catch((err: unknown) => this.service.log.debug({ err }, 'progress was not published'))
      .finally(() => this.#publishing--);
  }

  /** To the host's connection, here or at another instance. */
  async send(hostId: string, frame: ToHostAgent): Promise<void> {
    const session = this.#live(hostId);
    if (session) return session.connection.send(frame);
    await signal(this.service.pool, { to: 'frame', hostId, frame });
  }

  /** That of the host's session, where it is here. */
  connectionOf(hostId: string): Connection | undefined {
    return this.#live(hostId)?.connection;
  }

  heard(message: HostSignal): void {
    const session = this.#live(message.hostId);
    if (!session) return;
    switch (message.to) {
      case 'work':
        return this.deliver(message.hostId);
      case 'replaced':
        if (session.generation < message.generation) session.connection.refuse('agent.replaced', 'another connection took this session');
        return;
      case 'frame':
        return session.connection.send(message.frame);
    }
  }

  /** One that ended is none: its socket may take a second to close, and what is sent to it is lost. */
  #live(hostId: string): Session | undefined {
    const session = this.#sessions.get(hostId);
    return session?.connection.ended ? undefined : session;
  }

  /** What a session was sent is remembered until it has ended, however: reported, withdrawn, past its deadline; here or elsewhere. */
  async forgetEnded(): Promise<void> {
    const sent = new Map([...this.#sessions.values()].map((session) => [session, [...session.sent]]));
    const ended = await endedOf(this.service.pool, [...sent.values()].flat());
    for (const [session, keys] of sent) for (const key of keys) if (ended.has(key)) session.sent.delete(key);
  }

  /** To those of its hosts for which something is pending: one statement, however many there are. */
  async deliverAll(): Promise<void> {
    for (const hostId of await hostsWithWork(this.service.pool, [...this.#sessions.keys()])) this.deliver(hostId);
  }

  /** Sends what is pending and was not sent over this connection; again if asked meanwhile. In the order in which it came. */
  deliver(hostId: string): void {
    const session = this.#live(hostId);
    if (!session) return;
    session.again = true;
    if (session.draining) return;
    session.draining = true;
    this.#drain(hostId, session)
      .catch((err: unknown) => this.service.log.error({ err, hostId }, 'tasks were not delivered; they will be'))
      .finally(() => {
        session.draining = false;
      });
  }

  async #drain(hostId: string, session: Session): Promise<void> {
    while (session.again && !session.connection.ended) {
      session.again = false;
      const tasks = await pendingOf(this.service.pool, hostId, [...session.sent], BATCH);
      const covered = tasks.filter((t) => t.covered && !t.covered.revoked).map((t) => t.taskKey);
      const go = await mayGo(this.service.pool, covered);
      for (const task of tasks) {
        session.sent.add(task.taskKey);
        this.#give(session.connection, task, task.covered === null || go.has(task.taskKey));
      }
      if (tasks.length === BATCH) session.again = true;
    }
  }

  /** Of a task whose grant was revoked after it was sent the host tells what became of it; it does not begin it any more. */
  #give(connection: Connection, { dispatch, grant, leftMs, covered }: Pending, may: boolean): void {
    if (may) connection.send({ type: 'task', dispatch, leftMs, ...(grant ? { grant } : {}) });
    else if (covered!.sent && connection.protocol >= REVOKED_SINCE) connection.send({ type: 'task', dispatch, leftMs, revoked: true });
  }

  close(): void {
    for (const { connection } of this.#sessions.values()) connection.end(1001, 'gateway stops');
  }
}
