import { setTimeout as sleep } from 'node:timers/promises';
import type { HypervisorDriver, MigrationProgress } from '@chrysalis/hypervisor';
import { failpoint } from '@chrysalis/service-kit/failpoint';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { HostAgentConfig } from '../config.ts';
import { ConsoleHistory } from '../console/history.ts';
import type { SourceMove } from '../durable/vm-state.ts';
import type { VmStates } from '../durable/vm-states.ts';
import type { GatewayLine } from '../gateway-line.ts';
import { removeFromHost } from './remove-from-host.ts';
import type { AskPeer, MoveDeps } from './deps.ts';
import { listenForPeers, PeerLinks } from './peer-link.ts';
import { SourceMoves } from './source.ts';
import { TargetMoves, unannounced } from './target.ts';

export type Moves = {
  readonly source: SourceMoves;
  readonly target: TargetMoves;
  readonly history: ConsoleHistory;
  /** Where other hosts' agents ask this one. */
  readonly peerAddress: string;
  /** Takes up what an earlier life of this agent left in the middle, and from now on ends what waits too long. Waits for nobody; answers its stop. */
  settle(): () => void;
  stop(): Promise<void>;
};
type Given = {
  readonly driver: HypervisorDriver;
  readonly states: VmStates;
  readonly line: GatewayLine;
  /** The guest of a VM runs elsewhere now. */
  readonly moved: (vmId: string, toHost: string) => void;
  readonly now: () => number;
  readonly log: Log;
};

/** Both halves of the switch-over, and the ways between this host's agent and the others'. */
export const openMoves = async (config: HostAgentConfig, { driver, states, line, moved, now, log }: Given): Promise<Moves> => {
  const { hostId, address, peerPort } = config;
  const at: MoveDeps['at'] = (point, context) => failpoint(`host:${point}`, { ...context, hostId });
  const deps: MoveDeps = { driver, states, log, now, sleep: (ms) => sleep(ms), at };
  const peers = new PeerLinks();
  const askPeer: AskPeer = async ({ peerAddress, host }, request, timeoutMs) => {
    try {
      await failpoint('host:peer-link', { hostId, type: request.type });
      return await peers.ask(peerAddress, request, timeoutMs);
    } catch (direct) {
      return line.askPeer(host, request, timeoutMs).catch(() => Promise.reject(direct as Error));
    }
  };
  const history = new ConsoleHistory({ driver, askPeer, log });
  const gaveAway = (vmId: string, move: SourceMove): void => {
    history.send(vmId, move);
    moved(vmId, move.targetHost);
  };
  const sends = (vmId: string, { moveId }: SourceMove, progress: MigrationProgress): void =>
    void line.send({ type: 'progress', vmId, moveId, ...progress });
  const source = new SourceMoves({ ...deps, askPeer, maxPauseMs: config.maxPauseMs, stallMs: config.stallMs, gaveAway, sends });
  const target = new TargetMoves({
    ...deps,
    hostId,
    patienceMs: config.targetPatienceMs,
    removeFromHost: (vmId, made) => removeFromHost(driver, config.pools, vmId, made),
  });
  const server = await listenForPeers({ host: address, port: peerPort }, (request) => target.answer(request));
  return {
    source,
    target,
    history,
    peerAddress: server.address,
    settle: () => {
      settle(states, source, target, log);
      const sweep = setInterval(() => sweepTargets(states, target, log), SWEEP_MS);
      return () => clearInterval(sweep);
    },
    stop: async () => {
      peers.close();
      await server.close();
    },
  };
};

const SWEEP_MS = 1_000;

const ended: ReadonlySet<SourceMove['phase']> = new Set(['resumed', 'returned', 'lost']);

const settle = (states: VmStates, source: SourceMoves, target: TargetMoves, log: Log): void => {
  for (const { vmId, move } of states.all()) {
    const failed = (err: unknown): void => log.error({ vmId, err }, 'a move could not be settled');
    if (move?.side === 'source' && !ended.has(move.phase)) source.settle(vmId).catch(failed);
    if (move?.side === 'target') target.settle(vmId).catch(failed);
  }
};

const sweepTargets = (states: VmStates, target: TargetMoves, log: Log): void => {
  for (const { vmId, move, role } of states.all())
    if (move?.side === 'target' && role !== 'none' && (move.phase !== 'running' || !move.resumedAt || unannounced(move)))
      target.settle(vmId).catch((err: unknown) => log.error({ vmId, err }, 'a target could not be settled'));
};
