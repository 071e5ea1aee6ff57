import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { topologyHash } from '@chrysalis/contracts';
import {
  newVmState,
  SourceMoves,
  TargetMoves,
  VmStates,
  type AskPeer,
  type MoveDeps,
  type TransferResult,
} from '@chrysalis/host-agent-app/move';
import { QemuDriver, QgaClient, sweepStateDir, type MigrationProgress } from '@chrysalis/hypervisor';
import { createLog } from '@chrysalis/service-kit/log';
import { ensureGuestImage } from '../../../infra/guest/image.ts';
import { cacheDir } from '../../run/platform.ts';
import { atEnd } from '../../run/tool.ts';

const LIMITS = { downtimeLimitMs: 300, maxBandwidthMiBps: 1024 };
const MAX_PAUSE_MS = 30_000;
export type Side = 'a' | 'b';
export const otherSide = (side: Side): Side => (side === 'a' ? 'b' : 'a');
export type Transfer = { readonly result: Promise<TransferResult>; readonly progress: readonly MigrationProgress[] };

/** Two hosts, as far as a switch-over knows them: real QEMU and both halves of the host agent's move, with no control plane around. */
export class Pair {
  readonly drivers: Record<Side, QemuDriver>;
  #moves = 0;
  readonly #source: Record<Side, SourceMoves>;
  readonly #target: Record<Side, TargetMoves>;

  private constructor(
    readonly dir: string,
    private readonly states: Record<Side, VmStates>,
    private readonly image: { kernel: string; initrd: string; cmdline: string; digest: string },
  ) {
    const log = createLog('pair');
    const driver = (host: Side): QemuDriver =>
      new QemuDriver({
        stateDir: path.join(dir, host),
        address: '127.0.0.1',
        pools: { shared: { directory: path.join(dir, 'pool'), shared: true } },
        networks: { lan: { kind: 'isolated' } },
        resolveImage: async () => image,
      });
    this.drivers = { a: driver('a'), b: driver('b') };
    const deps = (host: Side): MoveDeps => ({
      driver: this.drivers[host],
      states: states[host],
      log,
      now: Date.now,
      sleep: (ms) => sleep(ms),
      at: async () => undefined,
    });
    const target = (host: Side): TargetMoves =>
      new TargetMoves({
        ...deps(host),
        hostId: host,
        patienceMs: 120_000,
        removeFromHost: (vmId) => this.drivers[host].destroy(vmId, { deleteVolumes: false }),
      });
    this.#target = { a: target('a'), b: target('b') };
    const askPeer: AskPeer = ({ host }, request) => this.#target[host as Side].answer(request);
    const source = (host: Side): SourceMoves => new SourceMoves({ ...deps(host), askPeer, maxPauseMs: MAX_PAUSE_MS, stallMs: 30_000 });
    this.#source = { a: source('a'), b: source('b') };
  }

  static async open(): Promise<Pair> {
    const dir = mkdtempSync(path.join(tmpdir(), 'chyp-'));
    mkdirSync(path.join(dir, 'pool'));
    const states = { a: await VmStates.open(path.join(dir, 'a', 'agent')), b: await VmStates.open(path.join(dir, 'b', 'agent')) };
    const pair = new Pair(dir, states, await ensureGuestImage({ cacheDir }));
    atEnd(() => pair.close());
    return pair;
  }

  async boot(host: Side, vmId: string, uuid: string): Promise<void> {
    const { cmdline, digest } = this.image;
    await this.states[host].update(vmId, () => ({ ...newVmState(vmId, 'pair', 1), role: 'runner' }));
    await this.drivers[host].boot({
      vmId,
      uuid,
      pool: 'shared',
      nics: [{ id: 'front', mac: '52:54:00:00:07:09', network: 'lan' }],
      image: { name: 'linux', version: 1, digest, cmdline },
      spec: {
        vcpus: { now: 1, max: 4 },
        memoryMiB: { now: 384, max: 1024 },
        disks: [{ id: 'data', sizeMiB: 64 }],
        nics: [{ id: 'front', network: 'lan' }],
        cpuModel: 'Westmere',
        requiredTraits: [],
      },
    });
  }

  /** What the control plane does of a move: prepare the one end, transfer at the other. */
  async move(from: Side, vmId: string, deadlineMs: number, limits = LIMITS): Promise<Transfer> {
    const [to, moveId] = [otherSide(from), `mov-${++this.#moves}`];
    const state = this.states[from].get(vmId)!;
    const epoch = state.epoch + 1;
    const { topology } = await this.drivers[from].topology(vmId);
    const prepare = { vmId, tenant: 'pair', epoch, moveId, topology, topologyHash: topologyHash(topology) };
    const { migrationAddress, peerToken } = await this.#target[to].prepare(prepare);
    const [startedAt, deadlineAt] = [Date.now(), Date.now() + deadlineMs].map((ms) => new Date(ms).toISOString()) as [string, string];
    const progress: MigrationProgress[] = [];
    const result = this.#source[from].transfer(
      vmId,
      {
        side: 'source', phase: 'transferring', moveId, taskKey: moveId, newEpoch: epoch, targetHost: to, migrationAddress,
        peerAddress: to, peerToken, method: 'pre-copy', ...limits, startedAt, deadlineAt,
      },
      { onProgress: (p) => void progress.push(p) },
    ); // prettier-ignore
    return { result, progress };
  }

  /** Its agent answers: it has booted, or goes on doing so, to the end. */
  async up(host: Side, vmId: string, withinMs: number): Promise<boolean> {
    for (const until = performance.now() + withinMs; performance.now() < until; await sleep(100)) {
      const socket = await this.drivers[host].openSerialPort(vmId, 'qga').catch(() => undefined);
      if (!socket) continue;
      const qga = new QgaClient(socket);
      const answers = await qga.sync(1_000).then(
        () => true,
        () => false,
      );
      qga.close();
      if (answers) return true;
    }
    return false;
  }

  async close(): Promise<void> {
    await Promise.all([this.drivers.a.close(), this.drivers.b.close()]);
    for (const host of ['a', 'b']) await sweepStateDir(path.join(this.dir, host));
    rmSync(this.dir, { recursive: true, force: true });
  }
}
