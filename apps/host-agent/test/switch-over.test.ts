import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { topologyHash, type MoveRequest, type PeerAnswer } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import fc from 'fast-check';
import { pino } from 'pino';
import { newVmState, type SourceMove } from '../src/durable/vm-state.ts';
import { VmStates } from '../src/durable/vm-states.ts';
import type { MoveDeps } from '../src/move/deps.ts';
import { SourceMoves, type TransferResult } from '../src/move/source.ts';
import { TargetMoves } from '../src/move/target.ts';
import { topology } from './fixtures.ts';
import { PairModel, type Side } from './pair-model.ts';

const silent = pino({ level: 'silent' });
const never = new Promise<never>(() => undefined);
const nap = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
/** Waits of the protocol, a hundred times faster. */
const sleep = (ms: number): Promise<void> => nap(Math.min(3, ms / 100));

/** One life of an agent: it ends at its n-th step, between any two lines, and never does another thing. */
class Life {
  dead = false;
  #steps = 0;
  constructor(
    private readonly dieAt: number | undefined,
    private readonly died: () => void,
  ) {}

  async step(): Promise<void> {
    if (!this.dead && ++this.#steps === this.dieAt) {
      this.dead = true;
      this.died();
    }
    if (this.dead) await never;
  }

  /** Every call of the driver has a step before and after it; the call itself happens whole, as a command that QEMU got does. */
  driver(driver: HypervisorDriver): HypervisorDriver {
    return new Proxy(driver, {
      get: (target, name) => {
        const member = (target as unknown as Record<PropertyKey, unknown>)[name];
        if (typeof member !== 'function' || name === 'list') return member;
        return async (...args: unknown[]) => {
          await this.step();
          const result = await (member as (...a: unknown[]) => Promise<unknown>)(...args);
          await this.step();
          return result;
        };
      },
    });
  }

  states(states: VmStates): VmStates {
    const update: VmStates['update'] = async (vmId, change) => {
      await this.step();
      const result = await states.update(vmId, change);
      await this.step();
      return result;
    };
    return new Proxy(states, {
      get: (t, name) =>
        name === 'update'
          ? update
          : typeof Reflect.get(t, name) === 'function'
            ? (Reflect.get(t, name) as () => unknown).bind(t)
            : (Reflect.get(t, name) as unknown),
    });
  }
}

type Story = {
  /** At which step each life of an agent ends; when the list is used up, it lives. */
  readonly sourceDies: readonly number[];
  readonly targetDies: readonly number[];
  /** Which messages between the agents are lost, in turn: the question, the answer, or none. */
  readonly lost: readonly ('question' | 'answer' | 'none')[];
  /** After which pause of the stream the target's process ends by itself. */
  readonly targetEnds: number | undefined;
  /** So many milliseconds after the transfer began someone tells the target to discard: too early, too late, or twice. */
  readonly discards: readonly number[];
};

class Run {
  readonly model: PairModel;
  #source!: SourceMoves;
  #target!: TargetMoves;
  #sourceDies: number[];
  #targetDies: number[];
  #lost: ('question' | 'answer' | 'none')[];
  #pauses = 0;
  result: TransferResult | undefined;
  readonly lives: Partial<Record<Side, Life>> = {};

  constructor(
    private readonly dir: string,
    private readonly story: Story,
  ) {
    this.#sourceDies = [...story.sourceDies];
    this.#targetDies = [...story.targetDies];
    this.#lost = [...story.lost];
    this.model = new PairModel(async () => {
      await nap(1);
      if (++this.#pauses === story.targetEnds) this.model.killTarget();
    });
  }

  async play(): Promise<void> {
    const first = await VmStates.open(join(this.dir, 'source'));
    await first.update('vm-1', () => ({ ...newVmState('vm-1', 't', 1), role: 'runner' }));
    await this.#begin('target');
    const prepared = await this.#insist(() =>
      this.#target.prepare({ vmId: 'vm-1', tenant: 't', epoch: 2, moveId: 'mov-1', topology, topologyHash: topologyHash(topology) }),
    );
    const move: SourceMove = {
      side: 'source', phase: 'transferring', moveId: 'mov-1', taskKey: 'k', newEpoch: 2, targetHost: 'target', peerAddress: 'x',
      migrationAddress: prepared.migrationAddress, peerToken: prepared.peerToken, method: 'pre-copy', downtimeLimitMs: 300, maxBandwidthMiBps: 1,
      startedAt: new Date().toISOString(), deadlineAt: new Date(Date.now() + 10_000).toISOString(),
    }; // prettier-ignore
    await this.#begin('source');
    const discarded = this.story.discards.map((ms) =>
      nap(ms)
        .then(() => this.#target.discard('vm-1', 'mov-1'))
        .catch(() => undefined),
    );
    // The gateway delivers the task to each life of the agent until one of them reports.
    this.result = await this.#insist(() => this.#source.transfer('vm-1', move));
    if (!this.result.ok) await this.#insist(() => this.#target.discard('vm-1', 'mov-1'));
    await Promise.race([Promise.all(discarded), nap(60)]); // one that a life took with it never ends
    await nap(5);
  }

  /** Asks each life of the agents until one answers. */
  async #insist<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < 12; attempt++) {
      const answer = await Promise.race([ask().then((value) => ({ value })), this.#anyDeath(), nap(1_500)]);
      if (answer && typeof answer === 'object' && 'value' in answer) return answer.value;
      await nap(4);
    }
    throw new Error('limbo: nobody answers');
  }

  #deaths: (() => void)[] = [];
  #anyDeath(): Promise<void> {
    return new Promise((done) => this.#deaths.push(done));
  }

  async #begin(side: Side): Promise<void> {
    const dieAt = (side === 'source' ? this.#sourceDies : this.#targetDies).shift();
    const life = new Life(dieAt, () => {
      void nap(3)
        .then(() => this.#begin(side))
        .then(() => this.#deaths.splice(0).forEach((d) => d()));
    });
    const states = await VmStates.open(join(this.dir, side));
    const deps: MoveDeps = {
      driver: life.driver(this.model.driver(side)),
      states: life.states(states),
      log: silent,
      now: Date.now,
      sleep: async (ms) => (await life.step(), sleep(ms)),
      at: () => life.step(),
    };
    this.lives[side] = life;
    if (side === 'target') {
      this.#target = new TargetMoves({
        ...deps,
        hostId: 'target',
        patienceMs: 60_000,
        leave: (vmId) => deps.driver.destroy(vmId, { deleteVolumes: false }),
      });
      if (states.get('vm-1')) void this.#target.settle('vm-1').catch(() => undefined);
      return;
    }
    this.#source = new SourceMoves({ ...deps, askPeer: (_, request) => this.#carry(request, life), maxPauseMs: 1_000 });
    if (states.get('vm-1')?.move) void this.#source.settle('vm-1').catch(() => undefined);
  }

  async #carry(request: MoveRequest, life: Life): Promise<PeerAnswer> {
    await life.step();
    const lost = this.#lost.shift() ?? 'none';
    if (lost === 'question') throw new Error('lost');
    const answer = await Promise.race([this.#target.answer(request), nap(30).then(() => Promise.reject(new Error('late')))]);
    await life.step();
    if (lost === 'answer') throw new Error('lost');
    return answer;
  }

  /** What must hold whatever happened. */
  verdict(): string[] {
    const { source, target } = this.model.processes;
    const faults = [...this.model.breaches];
    const running = [source, target].filter((p) => p.state === 'running').length;
    if (this.model.ranOnTarget && source.state === 'running') faults.push('taken back to the source after it ran on the target');
    const endedThere = this.model.ranOnTarget && target.state === 'gone';
    if (running !== 1 && !endedThere) faults.push(`${running} run: ${source.state}, ${target.state}`);
    if (this.result?.ok && target.state !== 'running' && !endedThere) faults.push(`said to have moved, but ${target.state}`);
    if (this.result && !this.result.ok && source.state !== 'running') faults.push(`said to have stayed, but ${source.state}`);
    return faults;
  }
}

const deaths = fc.array(fc.integer({ min: 1, max: 24 }), { maxLength: 3 });
const stories: fc.Arbitrary<Story> = fc.record({
  sourceDies: deaths,
  targetDies: deaths,
  lost: fc.array(fc.constantFrom('question' as const, 'answer' as const, 'none' as const), { maxLength: 6 }),
  targetEnds: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  discards: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 4 }),
});

const play = async (story: Story): Promise<Run> => {
  const dir = await mkdtemp(join(tmpdir(), 'chrysalis-pair-'));
  try {
    const run = new Run(dir, story);
    await run.play();
    return run;
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
};

test('nothing goes wrong: the guest moves', async () => {
  const run = await play({ sourceDies: [], targetDies: [], lost: [], targetEnds: undefined, discards: [] });
  expect(run.result).toMatchObject({ ok: true });
  expect(run.verdict()).toEqual([]);
});

test('an agent that dies at any one step, of either side: exactly one runs, and what is said is so', async () => {
  for (let step = 1; step <= 24; step++)
    for (const side of ['source', 'target'] as const)
      for (const lost of [[], ['none', 'question'], ['none', 'answer']] as const) {
        const story: Story = {
          sourceDies: side === 'source' ? [step] : [],
          targetDies: side === 'target' ? [step] : [],
          lost: [...lost],
          targetEnds: undefined,
          discards: [],
        };
        const run = await play(story);
        expect([side, step, lost, run.verdict()]).toEqual([side, step, lost, []]);
      }
}, 120_000);

test('the target’s process ends at any moment: the source runs on', async () => {
  for (const targetEnds of [1, 2, 3]) {
    const run = await play({ sourceDies: [], targetDies: [], lost: [], targetEnds, discards: [] });
    expect([targetEnds, run.verdict()]).toEqual([targetEnds, []]);
    expect(run.result).toMatchObject({ ok: false });
  }
});

test('any number of deaths, lost messages and a lost target', async () => {
  await fc.assert(
    fc.asyncProperty(stories, async (story) => {
      expect((await play(story)).verdict()).toEqual([]);
    }),
    { numRuns: 120, endOnFailure: true },
  );
}, 120_000);
