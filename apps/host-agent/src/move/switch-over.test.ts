import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bareTopology } from '@chrysalis/testing';
import { topologyHash, type MoveRequest, type PeerAnswer } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import fc from 'fast-check';
import { pino } from 'pino';
import { newVmState, type SourceMove } from '../durable/vm-state.ts';
import { writeDurably } from '../durable/files.ts';
import { VmStates } from '../durable/vm-states.ts';
import type { MoveDeps } from './deps.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { SourceMoves, type TransferResult } from './source.ts';
import { TargetMoves } from './target.ts';
import { PairModel, type Side } from '../test/pair-model.ts';

const topology = bareTopology();

const silent = pino({ level: 'silent' });
const never = new Promise<never>(() => undefined);
const nap = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
/** Waits of the protocol, a hundred times faster. */
const sleep = (ms: number): Promise<void> => nap(Math.min(3, ms / 100));

/** So that waits by the clock are as much faster. */
const begun = Date.now();
const hasted = (): number => begun + (Date.now() - begun) * 20;

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
        if (typeof member !== 'function' || name === 'list' || name === 'onLifecycle') return member;
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

/** A write of a VM's state: done, failed with nothing there, or there all the same (its name is on the disk, the sync failed). */
type Write = 'done' | 'failed' | 'half';
type Story = {
  /** At which step each life of an agent ends; when the list is used up, it lives. */
  readonly sourceDies: readonly number[];
  readonly targetDies: readonly number[];
  /** Whose first death takes its QEMU along: the host loses power. */
  readonly power: readonly Side[];
  readonly writes: Readonly<Record<Side, readonly Write[]>>;
  /** Which messages between the agents are lost, in turn: the question, the answer, or none. */
  readonly lost: readonly ('question' | 'answer' | 'none')[];
  /** After which pause of the stream the target's process ends by itself. */
  readonly targetEnds: number | undefined;
  /** A device is to be plugged at the target while the guest stands still, and its place announced when somebody says so; it may be refused. */
  readonly middle: 'none' | 'done' | 'refused';
  /** So many milliseconds after the transfer began someone tells the target to discard: too early, too late, or twice. */
  readonly discards: readonly number[];
  /** The guest shuts down at the source, and begins anew at the target. */
  readonly cold?: boolean;
  /** The guest goes by a file; `corrupt`: which is another than was written. */
  readonly saved?: 'whole' | 'corrupt';
  /** It goes before all of its memory, whose way is cut so often. */
  readonly late?: { readonly cuts: number };
  /** Of a cold move: the target cannot start it, or the guest ignores that it is asked, or goes off late. */
  readonly refuses?: 'start' | 'shut-down';
  /** Somebody has to approve of it, and says so after some milliseconds; of an idle guest the stream is called off before. */
  readonly asked?: { readonly approved: boolean; readonly afterMs: number; readonly idle: boolean };
};

class Run {
  readonly model: PairModel;
  #source!: SourceMoves;
  #target!: TargetMoves;
  #sourceDies: number[];
  #targetDies: number[];
  #lost: ('question' | 'answer' | 'none')[];
  readonly #writes: Record<Side, Write[]>;
  readonly #power: Set<Side>;
  /** The stream was in when the source lost power: the target had the whole guest. */
  loadedAtPowerLoss = false;
  /** It was in its file, and the source's agent had written that down. */
  savedAtPowerLoss = false;
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
    this.#writes = { source: [...story.writes.source], target: [...story.writes.target] };
    this.#power = new Set(story.power);
    this.#middle =
      story.middle === 'none' || story.cold || story.late
        ? {}
        : { stopped: { devices: [{ kind: 'cpu', id: 'cpu1', coreId: 1 }], withinMs: 200 }, announceWithinMs: 5 };
    this.model = new PairModel(async () => {
      await nap(1);
      if (++this.#pauses === story.targetEnds) this.model.kill('target');
    });
  }

  readonly #middle: Pick<Parameters<TargetMoves['prepare']>[0], 'stopped' | 'announceWithinMs'>;
  async play(): Promise<void> {
    this.model.refusesPlugs = this.story.middle === 'refused';
    const first = await VmStates.open(join(this.dir, 'source'));
    await first.update('vm-1', () => ({ ...newVmState('vm-1', 't', 1), role: 'runner' }));
    await this.#begin('target');
    const { cold = false, saved, late } = this.story;
    const method = cold ? 'restart' : late ? 'post-copy' : saved ? 'save-and-restore' : 'pre-copy';
    this.model.corrupt = saved === 'corrupt';
    this.model.refusesStart = this.story.refuses === 'start';
    this.model.cuts = late?.cuts ?? 0;
    const prepared = await this.#insist(() =>
      this.#target.prepare({
        vmId: 'vm-1',
        tenant: 't',
        epoch: 2,
        moveId: 'mov-1',
        topology,
        topologyHash: topologyHash(topology),
        cold,
        ...(this.story.saved ? { restores: { withinMs: 20_000 } } : {}),
        postCopy: late !== undefined,
        ...this.#middle,
        ...(this.story.asked ? { approvalWithinMs: 1_000_000 } : {}),
      }),
    ).catch((error: unknown) => (error instanceof TaskFailure ? undefined : Promise.reject(error as Error)));
    if (!prepared) return; // the target gave up before the source was asked
    const move: SourceMove = {
      side: 'source', phase: 'transferring', moveId: 'mov-1', taskKey: 'k', newEpoch: 2, targetHost: 'target', peerAddress: 'x',
      migrationAddress: prepared.migrationAddress, peerToken: prepared.peerToken, method, downtimeLimitMs: 300, maxBandwidthMiBps: 1,
      startedAt: new Date().toISOString(), deadlineAt: new Date(hasted() + 20_000).toISOString(),
      ...(saved ? { saveTo: { pool: 'shared' } } : {}),
      ...(cold ? { offBy: new Date(hasted() + 200).toISOString() } : {}),
      ...(this.#middle.stopped ? { stoppedWithinMs: 4_000 } : {}),
      ...(late ? { postCopy: { afterPasses: 1 } } : {}),
      ...(this.story.asked ? { held: true } : {}),
    }; // prettier-ignore
    await this.#begin('source');
    const discarded = this.story.discards.map((ms) =>
      nap(ms)
        .then(() => this.#target.discard('vm-1', 'mov-1'))
        .catch(() => undefined),
    );
    const { asked } = this.story;
    this.model.idle = asked?.idle === true;
    // Told until it is on the disk, as a task is that has no report.
    const told = asked && nap(asked.afterMs).then(() => this.#insist(() => this.#source.verdicts.settle('vm-1', verdictOf(asked))));
    // The gateway delivers the task to each life of the agent until one of them reports.
    this.result = await this.#insist(() => this.#source.transfer('vm-1', move, cold ? { shutDown: () => this.#shutDown() } : {}));
    await told;
    if (late && this.result.ok) await this.#followed();
    if (!this.result.ok) await this.#insist(() => this.#target.discard('vm-1', 'mov-1'));
    await Promise.race([Promise.all(discarded), nap(60)]); // one that a life took with it never ends
    await nap(5);
  }

  toldOfCut: string | undefined;
  /** Its source has sent the rest, or knows that nobody can. */
  async #followed(): Promise<void> {
    if (this.model.cuts === Infinity) {
      const cut = this.#source.awaitMemory('vm-1', 'mov-1', 5_000);
      this.toldOfCut = await cut.then(() => undefined, (error: unknown) => (error as TaskFailure).code); // prettier-ignore
      this.model.cuts = 0;
      await this.#source.awaitMemory('vm-1', 'mov-1', 5_000);
    }
    const ended = (): boolean => ['resumed', 'lost'].includes(this.#states.source?.get('vm-1')?.move?.phase ?? '');
    for (let i = 0; i < 2_000 && !ended(); i++) await nap(3);
    if (!ended()) throw new Error(`limbo: the rest is ${this.model.rest}: ${JSON.stringify(this.story)}`);
  }

  /** Of a post-copy: one of its two processes ended with its memory at both. */
  get lostOnItsWay(): boolean {
    const { source, target } = this.model.processes;
    const rest = ['switching', 'sending', 'cut'].includes(this.model.rest);
    return rest && [source.state, target.state].some((s) => s === 'gone' || s === 'none');
  }
  get #endedHere(): boolean {
    const { source, target } = this.model.processes;
    const gone = ['gone', 'none', 'prepared'].includes(target.state);
    const lostPower = this.story.power.includes('source') && source.state === 'gone' && gone;
    return this.lostOnItsWay || (lostPower && (!this.story.cold || this.#overAtSource()));
  }

  /** As the guest does it, at its own time; its process ends in the driver of the life that asked. */
  async #shutDown(): Promise<void> {
    const life = this.lives.source!;
    const driver = life.driver(this.model.driver('source'));
    await life.step();
    if (this.story.refuses === 'shut-down') throw new TaskFailure('host.guest_stays', 'it stays');
    if (this.model.processes.source.state === 'running') this.model.set('source', 'gone');
    await driver.halt('vm-1');
  }

  /** Asks each life of the agents until one answers. */
  async #insist<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < 12; attempt++) {
      const asked = ask().then(
        (value) => ({ value }),
        (error: unknown) => (error instanceof TaskFailure ? Promise.reject(error) : undefined), // a write that failed: it is asked again
      );
      const answer = await Promise.race([asked, this.#anyDeath(), nap(1_500)]);
      if (answer && typeof answer === 'object' && 'value' in answer) return answer.value;
      await nap(4);
    }
    const { source, target } = this.model.processes;
    const moves = [this.#states.source?.get('vm-1')?.move, this.#states.target?.get('vm-1')?.move];
    throw new Error(`limbo: nobody answers: ${JSON.stringify({ story: this.story, source, target, moves })}`);
  }

  #over = false;
  readonly #nextLives: Promise<void>[] = [];
  /** Who dies from now on stays dead, and who is about to live again has its folder until then. */
  async end(): Promise<void> {
    this.#over = true;
    this.model.over = true;
    await Promise.all(this.#nextLives);
  }

  #deaths: (() => void)[] = [];
  #anyDeath(): Promise<void> {
    return new Promise((done) => this.#deaths.push(done));
  }

  async #begin(side: Side): Promise<void> {
    const dieAt = (side === 'source' ? this.#sourceDies : this.#targetDies).shift();
    const life = new Life(dieAt, () => {
      this.#losePower(side);
      this.#writes[side] = [];
      if (this.#over) return;
      const next = nap(3).then(() => this.#begin(side));
      this.#nextLives.push(next.then(() => this.#deaths.splice(0).forEach((d) => d())));
    });
    const states = await VmStates.open(join(this.dir, side), async (path, text) => {
      const write = this.#writes[side].shift() ?? 'done';
      if (write === 'failed') throw new Error('no space');
      await writeDurably(path, text);
      await life.step();
      if (write === 'half') throw new Error('not synced');
    });
    this.#states[side] = states;
    const deps: MoveDeps = {
      driver: life.driver(this.model.driver(side)),
      states: life.states(states),
      log: silent,
      now: hasted,
      sleep: async (ms) => (await life.step(), sleep(ms)),
      at: () => life.step(),
    };
    this.lives[side] = life;
    if (side === 'target') {
      this.#target = new TargetMoves({
        ...deps,
        hostId: 'target',
        patienceMs: 600_000,
        removeFromHost: (vmId) => deps.driver.destroy(vmId, { deleteVolumes: false }),
      });
      if (states.get('vm-1')) void this.#target.settle('vm-1').catch(() => undefined);
      return;
    }
    this.#source = new SourceMoves({ ...deps, askPeer: (_, request) => this.#carry(request, life), maxPauseMs: 1_000, stallMs: 30_000 });
    if (states.get('vm-1')?.move) void this.#source.settle('vm-1').catch(() => undefined);
  }

  readonly #states: Partial<Record<Side, VmStates>> = {};

  #losePower(side: Side): void {
    if (!this.#power.delete(side)) return;
    const move = this.#states.source?.get('vm-1')?.move;
    if (side === 'source') this.savedAtPowerLoss = move?.side === 'source' && move.saved !== undefined;
    if (side === 'source') this.loadedAtPowerLoss = this.model.processes.target.state === 'paused';
    this.model.kill(side);
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
    const move = this.#states.target?.get('vm-1')?.move;
    const wentThere = this.model.ranOnTarget || (move?.side === 'target' && move.phase === 'running');
    if (wentThere && source.state === 'running') faults.push('on the source after it may have run on the target');
    const endedThere = wentThere && this.#overAtTarget();
    const endedHere = this.#endedHere;
    const running = [source, target].filter((p) => p.state === 'running').length;
    if (running !== 1 && !endedThere && !endedHere) faults.push(`${running} run: ${source.state}, ${target.state}`);
    if (this.#middle.stopped && this.story.middle === 'done' && this.model.ranOnTarget && !this.model.plugged)
      faults.push('ran without what it was to be given');
    return [...faults, ...this.#untrue(endedHere, endedThere)];
  }

  /** One that begins anew may have been begun by a life of the agent that died in it; where it cannot be begun again it is off, and there. */
  #overAtTarget(): boolean {
    const { state } = this.model.processes.target;
    return state === 'gone' || (this.story.cold === true && this.story.refuses === 'start' && state === 'prepared');
  }

  /** The move had ended: what becomes of its guest is nobody's business any more. */
  #overAtSource(): boolean {
    const move = this.#states.source?.get('vm-1')?.move;
    return move?.side === 'source' && move.phase === 'returned';
  }

  /** What was said, beside what is. */
  #untrue(endedHere: boolean, endedThere: boolean): string[] {
    const { source, target } = this.model.processes;
    if (!this.result) return [];
    if (this.result.ok) return target.state === 'running' || endedThere ? [] : [`said to have moved, but ${target.state}`];
    if (this.lostOnItsWay && source.state !== 'running' && !isTold(this.result.cause.code))
      return [`lost, and told as ${this.result.cause.code}`];
    return source.state === 'running' || endedHere ? [] : [`said to have stayed, but ${source.state}`];
  }
}

/** That the guest is nowhere. */
const isTold = (code: string): boolean => code === 'host.post_copy_lost' || code === 'host.guest_lost';
const rejected = { code: 'migration.approval_rejected', message: 'no' };
const verdictOf = ({ approved }: NonNullable<Story['asked']>) => ({ moveId: 'mov-1', approved, ...(approved ? {} : { cause: rejected }) });

const deaths = fc.array(fc.integer({ min: 1, max: 24 }), { maxLength: 3 });
const writes = fc.array(fc.constantFrom<Write>('done', 'done', 'half', 'failed'), { maxLength: 8 });
const stories: fc.Arbitrary<Story> = fc.record({
  sourceDies: deaths,
  targetDies: deaths,
  power: fc.subarray<Side>(['source', 'target']),
  writes: fc.record({ source: writes, target: writes }),
  lost: fc.array(fc.constantFrom('question' as const, 'answer' as const, 'none' as const), { maxLength: 6 }),
  middle: fc.constantFrom('none' as const, 'done' as const, 'refused' as const),
  targetEnds: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  discards: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 4 }),
});

const calm: Story = {
  sourceDies: [],
  targetDies: [],
  power: [],
  writes: { source: [], target: [] },
  lost: [],
  targetEnds: undefined,
  middle: 'none',
  discards: [],
};

const play = async (story: Story): Promise<Run> => {
  const dir = await mkdtemp(join(tmpdir(), 'chrysalis-pair-'));
  const run = new Run(dir, story);
  try {
    await run.play();
    return run;
  } finally {
    await run.end();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
};

const LOST = [[], ['none', 'question'], ['none', 'answer']] as const;
const dies = (side: Side, step: number): Partial<Story> => (side === 'source' ? { sourceDies: [step] } : { targetDies: [step] });

test('nothing goes wrong: the guest moves', async () => {
  const run = await play(calm);
  expect(run.result).toMatchObject({ ok: true });
  expect(run.verdict()).toEqual([]);
});

test('an agent that dies at any one step, of either side: exactly one runs, and what is said is so', async () => {
  for (let step = 1; step <= 24; step++)
    for (const side of ['source', 'target'] as const)
      for (const lost of LOST) {
        const run = await play({ ...calm, ...dies(side, step), lost });
        expect([side, step, lost, run.verdict()]).toEqual([side, step, lost, []]);
      }
});

test('what is done in the middle is done before the guest runs, and its place is announced, said or not', async () => {
  const run = await play({ ...calm, middle: 'done' });
  expect(run.result).toMatchObject({ ok: true });
  expect([run.verdict(), run.model.plugged]).toEqual([[], true]);
  for (let i = 0; i < 100 && !run.model.announced; i++) await nap(5);
  expect(run.model.announced).toBe(true);
});

test('what cannot be done in the middle undoes the move: the guest runs on at its source', async () => {
  const run = await play({ ...calm, middle: 'refused' });
  expect(run.result).toMatchObject({
    ok: false,
    cause: { code: 'host.mid_migration_failed', message: 'no room (hypervisor.qmp_refused)' },
  });
  expect([run.verdict(), run.model.processes.source.state]).toEqual([[], 'running']);
});

test('an agent that dies at any one step of a move with work in the middle, of either side', async () => {
  for (const middle of ['done', 'refused'] as const)
    for (let step = 1; step <= 30; step++)
      for (const side of ['source', 'target'] as const) {
        const run = await play({ ...calm, ...dies(side, step), middle });
        expect([middle, side, step, run.verdict()]).toEqual([middle, side, step, []]);
      }
});

test('a host that loses power at any one step: what ran at the target never runs at the source, and a guest that is whole there is kept', async () => {
  for (let step = 1; step <= 24; step++)
    for (const side of ['source', 'target'] as const)
      for (const lost of [[], ['none', 'answer']] as const) {
        const run = await play({ ...calm, ...dies(side, step), power: [side], lost });
        expect([side, step, lost, run.verdict()]).toEqual([side, step, lost, []]);
        if (run.loadedAtPowerLoss) expect([step, run.result]).toMatchObject([step, { ok: true }]);
        if (run.result?.ok === false && run.model.processes.source.state === 'gone')
          expect([step, run.result.cause.code]).toEqual([step, 'host.guest_lost']);
      }
});

const brokenDisks: Story[] = (['source', 'target'] as const).flatMap((side) =>
  (['half', 'failed'] as const).flatMap((write) =>
    [0, 1, 2].flatMap((n) => {
      const bad: Write[] = [...Array<Write>(n).fill('done'), write, ...Array<Write>(8).fill('failed')];
      const writes = { source: [], target: [], [side]: bad };
      return [8, 16, 24].map((step): Story => ({ ...calm, ...dies(side, step), writes }));
    }),
  ),
);

test('a disk that refuses from any write on, which may be there all the same, until its agent starts anew or it is well again', async () => {
  for (const story of brokenDisks) {
    const run = await play(story);
    expect([story, run.verdict()]).toEqual([story, []]);
  }
});

test('the target’s process ends at any moment: the source runs on', async () => {
  for (const targetEnds of [1, 2, 3]) {
    const run = await play({ ...calm, targetEnds });
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
});

describe('a post-copy', () => {
  const late: Story = { ...calm, late: { cuts: 0 } };

  test('nothing goes wrong: the guest moves, and all of its memory follows, over every cut', async () => {
    for (const cuts of [0, 1, 4]) {
      const run = await play({ ...late, late: { cuts } });
      expect([cuts, run.result, run.model.rest]).toMatchObject([cuts, { ok: true }, 'whole']);
      expect(run.verdict()).toEqual([]);
    }
  });

  test('one that is cut off for longer than it may is told so, and what is sent then goes on', async () => {
    const run = await play({ ...late, late: { cuts: Infinity } });
    expect([run.toldOfCut, run.model.rest, run.verdict()]).toEqual(['host.post_copy_cut', 'whole', []]);
  });

  test('an agent that dies at any one step, of either side: the guest is never called back once it has gone, and all of it arrives', async () => {
    for (let step = 1; step <= 36; step++)
      for (const side of ['source', 'target'] as const)
        for (const lost of LOST) {
          const run = await play({ ...late, ...dies(side, step), lost, late: { cuts: 1 } });
          expect([side, step, lost, run.verdict()]).toEqual([side, step, lost, []]);
          if (run.result?.ok) expect([side, step, lost, run.model.rest]).toEqual([side, step, lost, 'whole']);
        }
  });

  test('a host that loses power at any one step: never two, and a guest that is nowhere is told as lost', async () => {
    for (let step = 1; step <= 36; step++)
      for (const side of ['source', 'target'] as const) {
        const run = await play({ ...late, ...dies(side, step), power: [side], late: { cuts: 1 } });
        expect([side, step, run.verdict()]).toEqual([side, step, []]);
      }
  });

  test('any number of deaths, cuts, lost messages, disks that refuse, discards and a lost target', async () => {
    await fc.assert(
      fc.asyncProperty(stories, fc.integer({ min: 0, max: 3 }), async (story, cuts) => {
        expect((await play({ ...story, late: { cuts } })).verdict()).toEqual([]);
      }),
      { numRuns: 120, endOnFailure: true },
    );
  });
});

describe('a cold move', () => {
  const cold: Story = { ...calm, cold: true };

  test('nothing goes wrong: the guest is over at the source, and begins anew at the target', async () => {
    const run = await play(cold);
    expect(run.result).toMatchObject({ ok: true });
    expect(run.verdict()).toEqual([]);
    expect(run.model.processes).toMatchObject({ source: { state: 'halted' }, target: { state: 'running' } });
  });

  test('a guest that stays, and a target that cannot start it: it runs at the source, started again where it was over', async () => {
    for (const [refuses, code] of [
      ['shut-down', 'host.guest_stays'],
      ['start', 'host.target_lost'],
    ] as const) {
      const run = await play({ ...cold, refuses });
      expect([refuses, run.verdict()]).toEqual([refuses, []]);
      expect(run.result).toMatchObject({ ok: false, cause: { code } });
    }
  });

  test('an agent that dies at any one step, of either side, its host’s power with it or not: exactly one runs, and what is said is so', async () => {
    for (let step = 1; step <= 24; step++)
      for (const side of ['source', 'target'] as const)
        for (const lost of LOST)
          for (const power of [[], [side]]) {
            const run = await play({ ...cold, ...dies(side, step), lost, power });
            expect([side, step, lost, power, run.verdict()]).toEqual([side, step, lost, power, []]);
          }
  });

  test('any number of deaths, lost messages, disks that refuse, and a target that cannot start it', async () => {
    const any = fc.tuple(stories, fc.constantFrom('start' as const, 'shut-down' as const, undefined));
    await fc.assert(
      fc.asyncProperty(any, async ([story, refuses]) => {
        const run = await play({ ...story, cold: true, targetEnds: undefined, ...(refuses ? { refuses } : {}) });
        expect(run.verdict()).toEqual([]);
      }),
      { numRuns: 120, endOnFailure: true },
    );
  });
});

describe('a move by a file', () => {
  const saved: Story = { ...calm, saved: 'whole' };

  test('nothing goes wrong: the guest stands still until it goes on at the target, and its file is gone', async () => {
    for (const middle of ['none', 'done'] as const) {
      const run = await play({ ...saved, middle });
      expect([middle, run.result]).toMatchObject([middle, { ok: true }]);
      expect([run.verdict(), run.model.file]).toEqual([[], undefined]);
      expect(run.model.processes).toMatchObject({ source: { state: 'postmigrate' }, target: { state: 'running' } });
    }
  });

  test('a file that is another than was written, and a target that ends: the guest goes on at the source, and the file is gone', async () => {
    for (const [over, code] of [[{ saved: 'corrupt' }, 'hypervisor.save_corrupt'], [{ targetEnds: 3 }, 'host.target_lost']] as const) {
      const run = await play({ ...saved, ...over });
      expect([over, run.verdict(), run.model.processes.source.state, run.model.file]).toEqual([over, [], 'running', undefined]);
      expect(run.result).toMatchObject({ ok: false, cause: { code } });
    }
  }); // prettier-ignore

  test('an agent that dies at any one step, of either side, its host’s power with it or not: exactly one runs, and nothing older than its disks', async () => {
    const sides = ['source', 'target'] as const;
    const deathsOf = sides.flatMap((side) => LOST.flatMap((lost) => [[], [side]].map((power) => ({ side, lost, power }))));
    for (let step = 1; step <= 32; step++)
      for (const death of deathsOf) {
        const run = await play({ ...saved, ...dies(death.side, step), lost: death.lost, power: death.power });
        expect([step, death, run.verdict()]).toEqual([step, death, []]);
        if (run.result) expect([step, death, run.model.file]).toEqual([step, death, undefined]);
      }
  });

  test('a source that loses its power when its guest is in the file: it goes on at the target', async () => {
    let went = 0;
    for (let step = 1; step <= 32; step++) {
      const run = await play({ ...saved, ...dies('source', step), power: ['source'] });
      if (run.savedAtPowerLoss) expect([step, run.result]).toMatchObject([step, { ok: true }]);
      if (run.savedAtPowerLoss) went++;
    }
    expect(went).toBeGreaterThan(3);
  });

  test('any number of deaths, lost messages, disks that refuse, and a file that is another', async () => {
    const any = fc.tuple(stories, fc.constantFrom('whole' as const, 'whole' as const, 'corrupt' as const));
    await fc.assert(
      fc.asyncProperty(any, async ([story, is]) => {
        expect((await play({ ...story, saved: is })).verdict()).toEqual([]);
      }),
      { numRuns: 120, endOnFailure: true },
    );
  });
});

describe('a move that somebody has to approve of', () => {
  const asked = (approved: boolean, idle: boolean, afterMs = 20): Story => ({ ...calm, asked: { approved, idle, afterMs } });
  const both = [true, false] as const;

  test('approved, it moves, and its target was prepared anew where the guest had nothing to send; rejected, it stays', async () => {
    for (const idle of both)
      for (const afterMs of [0, 2, 20]) {
        const moved = await play(asked(true, idle, afterMs));
        expect([idle, afterMs, moved.result, moved.verdict()]).toEqual([idle, afterMs, expect.objectContaining({ ok: true }), []]);
        const stayed = await play(asked(false, idle, afterMs));
        expect([idle, afterMs, stayed.result]).toMatchObject([idle, afterMs, { ok: false, cause: { code: rejected.code } }]);
        expect([stayed.verdict(), stayed.model.processes.source.state]).toEqual([[], 'running']);
      }
  });

  test('an agent that dies at any one step, of either side: it is approved all the same, and exactly one runs', async () => {
    for (const idle of both)
      for (let step = 1; step <= 40; step++)
        for (const side of ['source', 'target'] as const) {
          const run = await play({ ...asked(true, idle, 12), ...dies(side, step) });
          // A target that is away when it is asked whether it waits, before anything is sent, is the end of any move.
          const away = run.result?.ok === false && run.result.cause.code === 'host.peer_unreachable' && side === 'target';
          const [ok, because] = [run.result?.ok, run.result?.ok === false ? run.result.cause : undefined];
          expect([idle, side, step, run.verdict(), ok, because]).toEqual([idle, side, step, [], !away, away ? because : undefined]);
        }
  });

  test('any number of deaths, lost messages, disks that refuse, and a lost target', async () => {
    const any = fc.tuple(stories, fc.boolean(), fc.boolean(), fc.integer({ min: 0, max: 40 }));
    await fc.assert(
      fc.asyncProperty(any, async ([story, approved, idle, afterMs]) => {
        expect((await play({ ...story, asked: { approved, idle, afterMs } })).verdict()).toEqual([]);
      }),
      { numRuns: 120, endOnFailure: true },
    );
  });
});
