import type { Server } from 'node:http';
import path from 'node:path';
import { isConsoleFrame, progressTopic } from '@chrysalis/contracts';
import { migrationsIn } from '@chrysalis/event-store';
import {
  every,
  runAsProcess,
  socketRoute,
  startService,
  type RunningService,
  type ServiceConfig,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { Consoles } from './consoles/consoles.ts';
import { terminal } from './consoles/terminal.ts';
import { controllers } from './http/controllers.ts';
import { Exchange, isBidFrame } from './bids/exchange.ts';
import { forgetClosed } from './sql/open-offers.ts';
import { expire, forgetEnded } from './sql/pending-tasks.ts';
import { HostWork } from './delivery/host-work.ts';
import { hear } from './delivery/wire.ts';
import { Observations } from './observed/observations.ts';
import { VmPlaces } from './observed/places.ts';
import { Hub } from './sessions/hub.ts';
import { imageFiles } from './sessions/image-files.ts';
import { agentListener } from './sessions/listen.ts';
import { Segments } from './segments/segments.ts';
import { sweepLost } from './sessions/liveness.ts';
import { KnownVms } from './grants/vm-tenants.ts';

/** A host without a heartbeat for `lostAfterMs` is lost; agents are told to send one every `heartbeatMs`. */
export type GatewayTimes = {
  readonly heartbeatMs: number;
  readonly lostAfterMs: number;
  readonly sweepMs: number;
  readonly reportGraceMs: number;
};
const times: GatewayTimes = { heartbeatMs: 2_000, lostAfterMs: 10_000, sweepMs: 500, reportGraceMs: 5_000 };

export const start = (config: ServiceConfig, given: Partial<GatewayTimes> = {}): Promise<RunningService & { readonly agentsUrl: string }> =>
  startGateway(config, { ...times, ...given });

const startGateway = async (config: ServiceConfig, t: GatewayTimes): Promise<RunningService & { readonly agentsUrl: string }> => {
  const listens = Promise.withResolvers<string>();
  const running = await startService(config, {
    context: 'agent-gateway',
    schema: 'agent_gateway',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    handlers: [KnownVms, VmPlaces, HostWork],
    parts: (service) => {
      const consoles = new Consoles(service);
      const sessions = async (server: Server): Promise<() => Promise<void>> => {
        const { url, stop } = await startSessions(service, consoles, server, t);
        listens.resolve(url);
        return stop;
      };
      return { providers: [{ provide: Consoles, useValue: consoles }], background: [sessions] };
    },
  });
  return { ...running, agentsUrl: (await listens.promise) || `${running.url.replace('http', 'ws')}/v1/agents` };
};

/** `url` is empty where agents have no listener of their own; they always may connect to the service's. */
const startSessions = async (
  service: ServiceContext,
  consoles: Consoles,
  server: Server,
  t: GatewayTimes,
): Promise<{ url: string; stop: () => Promise<void> }> => {
  const { bus, config, log } = service;
  await bus.ensureTopics([{ name: progressTopic, partitions: 6 }]);
  const hub = new Hub(service, t.heartbeatMs);
  const exchange = new Exchange(service);
  const observations = new Observations(service);
  const segments = new Segments(service);
  const listener = agentListener(hearing(hub, exchange, observations, segments, consoles), log, imageFiles(service));
  const deaf = await hear(config.databaseUrl, log, {
    signal: (m) => {
      if (m.to === 'bidders') return exchange.heard(m.offer, m.leftMs);
      if (m.to === 'segments')
        return void segments
          .tell(m.vnis)
          .catch((err: unknown) => log.warn({ err }, 'who has a part of a segment was not told; it will be'));
      hub.heard(m);
    },
    again: () => void hub.deliverAll().catch((err: unknown) => log.warn({ err }, 'what is pending could not be read; it will be')),
  });
  await consoles.start(hub);
  const console = socketRoute(service, terminal(consoles));
  listener.attach(server, console.take);
  const url = config.agentListen ? await listener.listen(config.agentListen) : '';
  if (url) log.info({ url }, 'agents connect here');
  const stopTimers = timers(service, t, hub, exchange, segments);
  const stop = async (): Promise<void> => {
    for (const stopTimer of stopTimers) await stopTimer();
    await consoles.stop();
    console.close();
    hub.close();
    await listener.close();
    await exchange.stop();
    await observations.flush();
    await deaf();
  };
  return { url, stop };
};

/** Who takes what agents say. */
const hearing = (
  hub: Hub,
  exchange: Exchange,
  observations: Observations,
  segments: Segments,
  consoles: Consoles,
): Parameters<typeof agentListener>[0] => ({
  hello: async (c, h) => {
    const open = await hub.hello(c, h);
    if (open) exchange.joined(c, h);
    if (open) observations.heard(c, h.vms);
    if (open) segments.heard(c, h.segments, h.facts.address);
    return open;
  },
  frame: async (c, f) => {
    if (isBidFrame(f)) return exchange.frame(c, f);
    if (isConsoleFrame(f)) return consoles.frame(c, f);
    if (f.type === 'heartbeat') {
      observations.heard(c, f.vms);
      segments.heard(c, f.segments);
    }
    return hub.frame(c, f);
  },
  closed: (c) => {
    exchange.left(c);
    observations.left(c);
    segments.left(c);
    consoles.left(c);
    hub.closed(c);
  },
});

const timers = (service: ServiceContext, t: GatewayTimes, hub: Hub, exchange: Exchange, segments: Segments): (() => Promise<void>)[] => {
  const { log, pool } = service;
  const startedAt = Date.now();
  return [
    every(t.sweepMs, log, () => hub.flushHeartbeats()),
    // Agents that lost a gateway need a moment to find it again: none is lost before it had that moment.
    every(t.sweepMs, log, async () => void (Date.now() - startedAt > t.lostAfterMs && (await sweepLost(service, t.lostAfterMs)))),
    every(t.sweepMs, log, async () => {
      for (const { hostId, dispatch } of await expire(pool, t.reportGraceMs)) {
        const { workflowId, task, token } = dispatch;
        await hub.send(hostId, { type: 'cancel', workflowId, task, token });
      }
    }),
    // A signal that was missed costs at most this.
    every(5_000, log, async () => {
      await hub.deliverAll();
      await hub.forgetEnded();
    }),
    every(t.heartbeatMs, log, () => segments.again()),
    every(1_000, log, () => exchange.sweep()),
    every(60_000, log, async () => void (await forgetClosed(pool))),
    every(3_600_000, log, async () => void (await forgetEnded(pool))),
  ];
};

if (import.meta.main) await runAsProcess(start);
