import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { taskKey, type FromHostAgent, type ToHostAgent } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import { failpoint } from '@chrysalis/service-kit/failpoint';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import { newBidder, openPace, type Pace } from './bids/index.ts';
import { ConsoleDesk } from './console/desk.ts';
import { diskImagesOf, type HostAgentConfig } from './config.ts';
import { Journal } from './durable/journal.ts';
import { forgetLongGone } from './durable/remember.ts';
import { VmStates } from './durable/vm-states.ts';
import { Executor } from './execution/executor.ts';
import { hostFacts } from './facts.ts';
import { forgetDeleted } from './images/from-depot.ts';
import { goOn } from './pools/go-on.ts';
import { Pools } from './pools/index.ts';
import { GatewayLine } from './gateway-line.ts';
import { GatewayLink } from './gateway-link.ts';
import type { Guests } from './guests/guests.ts';
import { Identity } from './identity.ts';
import { plainFiles, type ImageMaker } from './images/make.ts';
import { ImageServer } from './images/serve.ts';
import { DiskImages } from './images/store.ts';
import { openMoves } from './move/index.ts';
import type { TargetMoves } from './move/target.ts';
import { Observer } from './observed/observer.ts';
import { ObservedStore } from './observed/store.ts';
import { handlers } from './tasks/index.ts';

const FORGET_EVERY_MS = 3_600_000;
const AGENT_VERSION = '0.1.0';
export type HostAgent = {
  readonly states: VmStates;
  readonly peerAddress: string;
  readonly connected: () => boolean;
  /** Lets go of everything; the VMs run on. */
  stop(): Promise<void>;
};
type Given = { readonly driver: HypervisorDriver; readonly guests: Guests; readonly makeImage?: ImageMaker; readonly log: Log };

/**
 * One host's agent. In this order: what is on disk is read, running VMs are taken over, what a move left undecided is settled, and
 * only then is the control plane asked for more.
 */
export const startHostAgent = async (
  config: HostAgentConfig,
  { driver, guests, makeImage = plainFiles, log }: Given,
): Promise<HostAgent> => {
  const { hostId } = config;
  const kept = await openKept(config);
  const { states, lanes, journal, images } = kept;
  await driver.adopt();

  const line = new GatewayLine();
  const tell = (frame: FromHostAgent): void => void line.send(frame);
  const desk = new ConsoleDesk({ driver, states, send: tell });
  const moves = await openMoves(config, { driver, states, line, moved: (vmId, to) => desk.moved(vmId, to), now, log });
  const { source, target, history, peerAddress } = moves;
  const at = (point: string, context: Record<string, string>): Promise<void> => failpoint(`host:${point}`, { ...context, hostId });
  const imageServer = new ImageServer({ images, host: config.address, port: config.imagePort, now, log, at });
  await imageServer.listen();
  const pools = new Pools(config, log);
  const facts = async (): ReturnType<typeof hostFacts> => hostFacts(driver, config, await pools.known());
  const pace = await openPace(config, { log, now, line });
  const executor = new Executor({
    hostId,
    handlers: handlers({
      ...{ config, driver, states, source, target, history, guests, facts, tell, now, log, images, at },
      peerAddress: () => peerAddress,
      make: makeImage,
      ask: (host, request) => line.askPeer(host, request, 5_000),
    }),
    ...{ states, lanes, journal, log, now, failpoint },
    controlNow: pace.now,
    begun: pace.begun,
    measured: pace.measured,
    send: (report) => tell({ type: 'report', report }),
  });
  const observer = new Observer({ driver, states, store: kept.observed, log, now, everyMs: config.lookEveryMs });
  const link = gatewayLink(config, { ...kept, driver, facts, pools, line, pace, executor, observer, imageServer, target, desk, log });
  observer.told.on('news', () => link.beat());
  const stops = [driver.onSegments(() => link.beat()), moves.settle()];
  await observer.start();
  stops.push(forgetting([states, lanes], pace, log), forgettingImages({ config, images }, log));
  stops.push(lookingAt(pools, { driver, states, log }, config.lookAtPoolsEveryMs));
  link.start();
  log.info({ hostId, peerAddress, vms: states.all().length }, 'host agent is up');

  return {
    states,
    peerAddress,
    connected: () => line.open,
    stop: async () => {
      stops.forEach((stop) => stop());
      observer.stop();
      link.stop();
      await moves.stop();
      await imageServer.close();
      await pace.stop();
      for (const { vmId } of states.all()) guests.forget(vmId);
      await driver.close();
      await journal.close();
    },
  };
};

/** What this agent keeps on its host's disk. `lanes`: as `states`, of what is not a VM. */
type Kept = {
  readonly states: VmStates;
  readonly lanes: VmStates;
  readonly journal: Journal;
  readonly identity: Identity;
  readonly images: DiskImages;
  readonly observed: ObservedStore;
};
const openKept = async (config: HostAgentConfig): Promise<Kept> => {
  const { stateDir } = config;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const own = join(stateDir, 'agent');
  return {
    states: await VmStates.open(join(own, 'vms')),
    journal: await Journal.open(join(own, 'journal')),
    lanes: await VmStates.open(join(own, 'lanes')),
    identity: new Identity(own),
    images: await DiskImages.open(diskImagesOf(config)),
    observed: await ObservedStore.open(join(own, 'observed')),
  };
};

type Linked = Kept & {
  readonly driver: HypervisorDriver;
  readonly facts: () => ReturnType<typeof hostFacts>;
  readonly pools: Pools;
  readonly line: GatewayLine;
  readonly pace: Pace;
  readonly executor: Executor;
  readonly observer: Observer;
  readonly imageServer: ImageServer;
  readonly target: TargetMoves;
  readonly desk: ConsoleDesk;
  readonly log: Log;
};

/** What the control plane hears of this host, and who does what it says. */
const gatewayLink = (config: HostAgentConfig, parts: Linked): GatewayLink => {
  const { driver, states, lanes, journal, identity, facts, pools, line, pace, executor, observer, imageServer, target, desk, log } = parts;
  const { hostId, token, capacity } = config;
  const bidder = newBidder(config, { pace, line, executor });
  const tell = (frame: FromHostAgent): void => void line.send(frame);
  return new GatewayLink({
    line,
    url: config.gatewayUrl,
    reconnect: config.reconnect,
    hello: async () => {
      await identity.ready();
      const kinds = executor.kinds;
      const seen = await pools.look();
      return {
        hostId,
        agentVersion: AGENT_VERSION,
        token,
        facts: await facts(),
        vms: observer.vms(),
        kinds,
        capacity,
        segments: [...driver.segments()],
        pools: [...seen],
      };
    },
    prove: (nonce) => identity.prove(hostId, nonce),
    vms: () => observer.vms(),
    pools: () => pools.seen,
    segments: () => driver.segments(),
    segmentPeers: (vni, version, peers) => {
      driver
        .setSegmentPeers(vni, version, peers)
        .catch((err: unknown) => log.error({ err, vni }, 'the other hosts of a segment were not set; they are said again'));
    },
    keeps: () => ({ vmsGone: states.all().filter((s) => s.role === 'none').length, lanes: lanes.all().length, results: journal.size }),
    welcomed: () => {
      identity.welcomed().catch((err: unknown) => log.error({ err }, 'a welcome was not kept; the next start names this instance as well'));
      journal.unacknowledged().forEach((report) => tell({ type: 'report', report }));
      pace.again();
    },
    offered: (offer) => bidder.offered(offer),
    clock: pace.clock,
    console: (frame) => desk.take(frame),
    lost: () => desk.lost(),
    take: (frame) => {
      if (frame.type === 'task') bidder.given(frame.dispatch);
      take(frame, { executor, journal, tell, log });
    },
    // What came through the gateway came from an agent that it knows.
    answerPeer: (request) => (request.type === 'image' ? imageServer.ticket(request.image, request.digest) : target.answer(request)),
    log,
  });
};

/** As often as it matters little when: an image that was deleted takes room here, and no more. */
const forgettingImages = (from: Parameters<typeof forgetDeleted>[0], log: Log): (() => void) => {
  const timer = setInterval(() => {
    forgetDeleted(from, AbortSignal.timeout(30_000)).catch((err: unknown) =>
      log.warn({ err }, 'images that were deleted could not be looked for'),
    );
  }, from.config.lookAtImagesEveryMs).unref();
  return () => clearInterval(timer);
};

/** Between heartbeats, so that a slow file system holds none of them up: one look at a time. */
const lookingAt = (pools: Pools, parts: Parameters<typeof goOn>[0], everyMs: number): (() => void) => {
  let looking: Promise<unknown> | undefined;
  const timer = setInterval(() => {
    looking ??= pools
      .look()
      .then(() => goOn(parts, pools))
      .catch((err: unknown) => parts.log.warn({ err }, 'storage pools could not be looked at'))
      .finally(() => (looking = undefined));
  }, everyMs).unref();
  return () => clearInterval(timer);
};

/** What left this host long ago is not remembered for ever. */
const forgetting = (kept: readonly VmStates[], pace: Pace, log: Log): (() => void) => {
  const timer = setInterval(() => {
    if (!pace.knowsTime()) return;
    for (const one of kept)
      forgetLongGone(one, pace.now()).catch((err: unknown) => log.error({ err }, 'what left long ago was not forgotten; it will be'));
  }, FORGET_EVERY_MS).unref();
  return () => clearInterval(timer);
};

const now = (): number => performance.timeOrigin + performance.now();

type Taken = Extract<ToHostAgent, { type: 'task' | 'cancel' | 'report-ack' }>;
const take = (
  frame: Taken,
  { executor, journal, tell, log }: { executor: Executor; journal: Journal; tell: (frame: FromHostAgent) => void; log: Log },
): void => {
  switch (frame.type) {
    case 'task': {
      const { workflowId, task, attempt, token } = frame.dispatch;
      tell({ type: 'accepted', workflowId, task, attempt, token });
      const taken = frame.revoked ? executor.revoked(frame.dispatch) : executor.take(frame.dispatch, frame.grant, frame.leftMs);
      taken.catch((err: unknown) => log.error({ err, key: taskKey(frame.dispatch) }, 'a task could not be kept'));
      return;
    }
    case 'cancel':
      return executor.cancel(frame.workflowId, frame.task, frame.token);
    case 'report-ack':
      return void journal.acknowledge(taskKey(frame)).catch((err: unknown) => log.error({ err }, 'an acknowledgement was not kept'));
  }
};
