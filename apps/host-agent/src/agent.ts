import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { taskKey, type FromHostAgent, type PeerAnswer, type PeerRequest, type ToHostAgent } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import { startBidding } from './bids/index.ts';
import type { HostAgentConfig } from './config.ts';
import { Journal } from './durable/journal.ts';
import { forgetLongGone } from './durable/remember.ts';
import { VmStates } from './durable/vm-states.ts';
import { Executor } from './execution/executor.ts';
import { failpoint } from '@chrysalis/service-kit/failpoint';
import { hostFacts } from './facts.ts';
import { GatewayLink } from './gateway-link.ts';
import { Identity } from './identity.ts';
import type { Guests } from './guests/guests.ts';
import type { AskHost } from './images/fetch.ts';
import { plainFiles, type ImageMaker } from './images/make.ts';
import { ImageServer } from './images/serve.ts';
import { DiskImages } from './images/store.ts';
import { removeFromHost } from './move/remove-from-host.ts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { AskPeer, MoveDeps } from './move/deps.ts';
import { listenForPeers, PeerLinks } from './move/peer-link.ts';
import { SourceMoves } from './move/source.ts';
import { TargetMoves } from './move/target.ts';
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
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
  const states = await VmStates.open(join(config.stateDir, 'agent', 'vms'));
  const journal = await Journal.open(join(config.stateDir, 'agent', 'journal'));
  const lanes = await VmStates.open(join(config.stateDir, 'agent', 'lanes'));
  const identity = new Identity(join(config.stateDir, 'agent'));
  const images = await DiskImages.open(config.diskImages ?? join(config.stateDir, 'images'));
  const observed = await ObservedStore.open(join(config.stateDir, 'agent', 'observed'));
  await driver.adopt();

  const base: MoveDeps = {
    driver,
    states,
    log,
    now,
    sleep: (ms) => sleep(ms),
    at: (point, context) => failpoint(`host:${point}`, { ...context, hostId: config.hostId }),
  };
  const peers = new PeerLinks();
  const askPeer: AskPeer = async ({ peerAddress, host }, request, timeoutMs) => {
    try {
      await failpoint('host:peer-link', { hostId: config.hostId, type: request.type });
      return await peers.ask(peerAddress, request, timeoutMs);
    } catch (direct) {
      return link.askPeer(host, request, timeoutMs).catch(() => Promise.reject(direct as Error));
    }
  };
  const source = new SourceMoves({ ...base, askPeer, maxPauseMs: config.maxPauseMs, stallMs: config.stallMs });
  const target = new TargetMoves({
    ...base,
    hostId: config.hostId,
    patienceMs: config.targetPatienceMs,
    removeFromHost: (vmId) => removeFromHost(driver, config.pools, vmId),
  });
  const at = (point: string, context: Record<string, string>): Promise<void> =>
    failpoint(`host:${point}`, { ...context, hostId: config.hostId });
  const imageServer = new ImageServer({ images, host: config.address, port: config.imagePort, now, log, at });
  await imageServer.listen();
  const peerServer = await listenForPeers({ host: config.address, port: config.peerPort }, (request) => target.answer(request));
  // What came through the gateway came from an agent that it knows.
  const answerPeer = (request: PeerRequest): Promise<PeerAnswer> =>
    request.type === 'image' ? imageServer.ticket(request.image, request.digest) : target.answer(request);

  const facts = (): ReturnType<typeof hostFacts> => hostFacts(driver, config);
  const tell = (frame: FromHostAgent): void => void link.send(frame);
  const context = { config, driver, states, source, target, guests, facts, peerAddress: () => peerServer.address, tell, now, log };
  const bidding = await startBidding(config, { log, now, link: () => link, executor: () => executor });
  const ask: AskHost = (host, request) => link.askPeer(host, request, 5_000);
  const executor = new Executor({
    hostId: config.hostId,
    handlers: handlers({ ...context, images, make: makeImage, ask, at }),
    states,
    lanes,
    journal,
    log,
    now,
    controlNow: bidding.now,
    begun: bidding.begun,
    measured: bidding.measured,
    failpoint,
    send: (report) => tell({ type: 'report', report }),
  });
  const observer = new Observer({ driver, states, store: observed, log, now, everyMs: config.lookEveryMs, news: () => link.beat() });
  const link = new GatewayLink({
    url: config.gatewayUrl,
    reconnect: config.reconnect,
    hello: async () => {
      await identity.ready();
      return {
        hostId: config.hostId,
        agentVersion: AGENT_VERSION,
        token: config.token,
        facts: await facts(),
        vms: observer.vms(),
        kinds: executor.kinds,
        capacity: config.capacity,
      };
    },
    prove: (nonce) => identity.prove(config.hostId, nonce),
    vms: () => observer.vms(),
    keeps: () => ({ vmsGone: states.all().filter((s) => s.role === 'none').length, lanes: lanes.all().length, results: journal.size }),
    welcomed: () => {
      identity.welcomed().catch((err: unknown) => log.error({ err }, 'a welcome was not kept; the next start names this instance as well'));
      journal.unacknowledged().forEach((report) => tell({ type: 'report', report }));
      bidding.again();
    },
    offered: bidding.offered,
    clock: bidding.clock,
    take: (frame) => {
      if (frame.type === 'task') bidding.given(frame.dispatch);
      take(frame, { executor, journal, tell, log });
    },
    answerPeer,
    log,
  });
  settle(states, source, target, log);
  const sweep = setInterval(() => sweepTargets(states, target, log), 1_000);
  await observer.start();
  const forget = setInterval(() => {
    if (bidding.knowsTime())
      for (const kept of [states, lanes])
        forgetLongGone(kept, bidding.now()).catch((err: unknown) => log.error({ err }, 'what left long ago was not forgotten; it will be'));
  }, FORGET_EVERY_MS).unref();
  link.start();
  log.info({ hostId: config.hostId, peerAddress: peerServer.address, vms: states.all().length }, 'host agent is up');

  return {
    states,
    peerAddress: peerServer.address,
    connected: () => link.connected,
    stop: async () => {
      clearInterval(sweep);
      clearInterval(forget);
      observer.stop();
      link.stop();
      peers.close();
      await peerServer.close();
      await imageServer.close();
      await bidding.stop();
      for (const { vmId } of states.all()) guests.forget(vmId);
      await driver.close();
      await journal.close();
    },
  };
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

/** What an earlier life of this agent left in the middle. It does not wait for the control plane, nor the other way round. */
const settle = (states: VmStates, source: SourceMoves, target: TargetMoves, log: Log): void => {
  for (const { vmId, move } of states.all()) {
    const failed = (err: unknown): void => log.error({ vmId, err }, 'a move could not be settled');
    if (move?.side === 'source' && move.phase !== 'resumed' && move.phase !== 'returned') source.settle(vmId).catch(failed);
    if (move?.side === 'target') target.settle(vmId).catch(failed);
  }
};

const sweepTargets = (states: VmStates, target: TargetMoves, log: Log): void => {
  for (const { vmId, move, role } of states.all())
    if (move?.side === 'target' && role !== 'none' && !(move.phase === 'running' && move.resumedAt))
      target.settle(vmId).catch((err: unknown) => log.error({ vmId, err }, 'a target could not be settled'));
};
