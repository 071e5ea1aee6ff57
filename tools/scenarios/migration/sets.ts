import type { BodyOf } from '@chrysalis/api-client';
import type { MigrationView, VmView } from '../../fleet/story.ts';
import type { Claim, Seen } from '../claim.ts';
import { sending, slowly } from './faults.ts';
import type { MoveLab, Shape, Traveller } from './lab.ts';

const names = ['set-1', 'set-2', 'set-3'] as const;
type How = Omit<BodyOf<'post', '/v1/migrations'>, 'planId'>;
type Begun = { readonly migrationId: string; readonly ts: readonly Traveller[]; readonly before: readonly Shape[]; readonly vm: VmView };
type Expected = Readonly<{
  state: string;
  cause?: string;
  counts: object;
  /** By VM, in order: whether it is on the other host now. */
  moved: readonly boolean[];
}>;

/** Three VMs on one host, on their way to the other one by a template that takes seconds for each. `how` is asked when they are there. */
const begin = async (moves: MoveLab, how: How | (() => How)): Promise<Begun> => {
  const ts: Traveller[] = [];
  for (const name of names) ts.push(await moves.traveller(name));
  await together(moves, ts);
  const before = await Promise.all(ts.map((t) => moves.shape(t)));
  const vm = await moves.shown(ts[0]!.vmId);
  const template = await slowly(moves, ts[0]!);
  const plan = await moves.lab.api.post('/v1/migration-plans', { body: { template, vmIds: ts.map((t) => t.vmId) } });
  const { migrationId } = await moves.lab.api.post('/v1/migrations', {
    body: { planId: plan.planId, ...(typeof how === 'function' ? how() : how) },
  });
  return { migrationId, ts, before, vm };
};

/** On the host of most of them: a scenario before this one may have left them apart. */
const together = async (moves: MoveLab, ts: readonly Traveller[]): Promise<void> => {
  const hosts = await Promise.all(ts.map(async (t) => (await moves.shown(t.vmId)).hostId));
  const most = hosts.filter((h) => h === moves.old).length * 2 > hosts.length ? moves.old : moves.new;
  for (const [i, t] of ts.entries()) {
    if (hosts[i] === most) continue;
    const back = await moves.ended(await moves.begin(await moves.byOption(t, { to: 'small', move: true }), [t.vmId]));
    if (back.state !== 'succeeded') throw new Error(`${t.vmId} did not come back: ${JSON.stringify(back.cause)}`);
  }
};

/** What the control plane says of the set, and what guests and hosts say themselves. */
const compared = async (moves: MoveLab, { ts, before, vm }: Begun, ended: MigrationView, expected: Expected): Promise<Seen> => {
  const { cause, moved, ...rest } = expected;
  const after = await Promise.all(
    ts.map(async (t, i) => moves.shape(t, moved[i] ? ended.planned.find((p) => p.vmId === t.vmId)!.toHost : before[i]!.host)),
  );
  const views = await Promise.all(ts.map((t) => moves.shown(t.vmId)));
  const same = (x: Shape): object => ({ bootId: x.bootId, vcpus: x.vcpus, memoryMiB: x.memoryMiB, nics: x.nics });
  return {
    expected: { ...rest, cause, moved, guests: before.map(same), qemus: [1, 1, 1] },
    observed: {
      ...{ state: ended.state, cause: ended.cause?.code, counts: ended.counts },
      moved: views.map((v, i) => v.hostId !== before[i]!.host),
      guests: after.map(same),
      qemus: views.map((v) => moves.lab.outside.processes(v).length),
    },
    vm,
  };
};

const also = (seen: Seen, expected: object, observed: object): Seen => ({
  ...seen,
  expected: { ...seen.expected, ...expected },
  observed: { ...seen.observed, ...observed },
});

/** So many of its moves were under way at once at most, by when each began and ended. */
const atOnce = ({ moves }: MigrationView): number => {
  const ends = moves.map((m) => [Date.parse(m.startedAt), Date.parse(m.endedAt!)] as const);
  return Math.max(...ends.map(([at]) => ends.filter(([from, to]) => from <= at && at < to).length));
};
const spans = ({ moves }: MigrationView, vmId: string): readonly [begun: number, ended: number] => {
  const m = moves.find((x) => x.vmId === vmId)!;
  return [Date.parse(m.startedAt), Date.parse(m.endedAt!)];
};

const firstDies = (moves: MoveLab, { vm }: Begun): Promise<unknown> =>
  sending(moves, vm).then(({ target }) => process.kill(Number(target.pid), 'SIGKILL'));

export const setClaims: readonly Claim<MoveLab>[] = [
  {
    name: 'a set of three with a canary: no other begins before it has succeeded, then both at once',
    see: async (moves) => {
      const begun = await begin(moves, { concurrency: 3, policy: { canary: 1 } });
      const ended = await moves.ended(begun.migrationId);
      const seen = await compared(moves, begun, ended, {
        state: 'succeeded',
        counts: { succeeded: 3, undone: 0, failed: 0, notBegun: 0 },
        moved: [true, true, true],
      });
      const [canary, ...others] = begun.ts.map((t) => spans(ended, t.vmId));
      const behind = others.every(([from]) => from >= canary![1]);
      return also(seen, { behind: true, atOnce: 2 }, { behind, atOnce: atOnce(ended) });
    },
  },
  {
    name: 'a canary whose target dies stops its set, which has a budget left: it is undone, the others never begin',
    see: async (moves) => {
      const begun = await begin(moves, { concurrency: 3, policy: { canary: 1, maxFailures: 3 } });
      await firstDies(moves, begun);
      return compared(moves, begun, await moves.ended(begun.migrationId), {
        state: 'undone',
        cause: 'migration.canary_failed',
        counts: { succeeded: 0, undone: 1, failed: 0, notBegun: 2 },
        moved: [false, false, false],
      });
    },
  },
  {
    name: 'a budget that holds one failure: the first one’s target dies, the other two move',
    see: async (moves) => {
      const begun = await begin(moves, { policy: { maxFailures: 2 } });
      await firstDies(moves, begun);
      return compared(moves, begun, await moves.ended(begun.migrationId), {
        state: 'failed',
        cause: 'hypervisor.migration_failed',
        counts: { succeeded: 2, undone: 1, failed: 0, notBegun: 0 },
        moved: [false, true, true],
      });
    },
  },
  {
    name: 'three at once, but two into a host: no more than two are under way',
    see: async (moves) => {
      const begun = await begin(moves, { concurrency: 3, policy: { limits: { perTarget: 2 } } });
      const ended = await moves.ended(begun.migrationId);
      const seen = await compared(moves, begun, ended, {
        state: 'succeeded',
        counts: { succeeded: 3, undone: 0, failed: 0, notBegun: 0 },
        moved: [true, true, true],
      });
      return also(seen, { atOnce: 2 }, { atOnce: atOnce(ended) });
    },
  },
  {
    name: 'a set whose window is to come: nothing begins before, and all of it moves then',
    see: async (moves) => {
      let from = '';
      const begun = await begin(moves, () => {
        from = new Date(Date.now() + 10_000).toISOString();
        const until = new Date(Date.now() + 600_000).toISOString();
        return { concurrency: 3, policy: { windows: [{ from, until }] } };
      });
      const waits = await moves.lab.api.get('/v1/migrations/{id}', { path: { id: begun.migrationId } });
      const ended = await moves.ended(begun.migrationId);
      const seen = await compared(moves, begun, ended, {
        state: 'succeeded',
        counts: { succeeded: 3, undone: 0, failed: 0, notBegun: 0 },
        moved: [true, true, true],
      });
      const early = ended.moves.filter((m) => Date.parse(m.startedAt) < Date.parse(from)).length;
      return also(seen, { next: from, early: 0 }, { next: waits.window?.next?.from, early });
    },
  },
  {
    name: 'paused in the middle of its first move: that one ends, no other begins, and resumed the others follow',
    see: async (moves) => {
      const begun = await begin(moves, {});
      const id = begun.migrationId;
      const get = () => moves.lab.api.get('/v1/migrations/{id}', { path: { id } });
      await moves.lab.api.post('/v1/migrations/{id}/pause', { path: { id }, body: { reason: 'to look' } });
      const paused = await moves.lab.until('its first move to end', get, (m) => m.moves.every((x) => x.endedAt !== undefined), 120_000);
      await moves.lab.api.post('/v1/migrations/{id}/resume', { path: { id }, body: {} });
      const resumedAt = Date.now();
      const ended = await moves.ended(id);
      const seen = await compared(moves, begun, ended, {
        state: 'succeeded',
        counts: { succeeded: 3, undone: 0, failed: 0, notBegun: 0 },
        moved: [true, true, true],
      });
      const later = begun.ts.slice(1).every((t) => spans(ended, t.vmId)[0] >= resumedAt - 2_000);
      return also(
        seen,
        { paused: 'paused', begunByThen: 1, later: true },
        { paused: paused.state, begunByThen: paused.moves.length, later },
      );
    },
  },
];
