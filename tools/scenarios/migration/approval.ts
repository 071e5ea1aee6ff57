import type { Migration } from '@chrysalis/api-client';
import type { VmView } from '../../fleet/story.ts';
import type { Claim, Seen } from '../claim.ts';
import { after, slowly } from './faults.ts';
import type { MoveLab, Traveller } from './lab.ts';

type Approval = { readonly withinMs: number; readonly onTimeout: 'abort' | 'switch' };
type Does = {
  readonly name: string;
  readonly approval?: Approval;
  readonly bandwidth?: number;
  /** Its source's agent is away when its stream may end: the guest stands still until it is back. */
  readonly agentAway?: true;
  /** Once it waits, with its migration. */
  readonly act?: (moves: MoveLab, id: string, vm: VmView) => Promise<unknown>;
  readonly expected: { readonly state: string; readonly cause?: string; readonly verdict: string; readonly by?: string };
};

const AN_HOUR = { withinMs: 3_600_000, onTimeout: 'abort' } as const;
const seen = (moves: MoveLab, id: string): Promise<Migration> => moves.lab.api.get('/v1/migrations/{id}', { path: { id } });
const approvalOf = (m: Migration) => m.moves[0]?.approval;
const say = (moves: MoveLab, id: string, verb: 'approve' | 'reject') =>
  verb === 'approve'
    ? moves.lab.api.post('/v1/migrations/{id}/approve', { path: { id }, body: {} })
    : moves.lab.api.post('/v1/migrations/{id}/reject', { path: { id }, body: { reason: 'not today' } });

/** Nothing has come to its end, and the guest runs where it was: an idle one has sent all of it by then, and is called off. */
const waits = (moves: MoveLab, id: string): Promise<Migration> =>
  moves.lab.until(
    'somebody to be asked',
    () => seen(moves, id),
    (m) => approvalOf(m)?.waitsFor !== undefined && approvalOf(m)!.verdict === undefined,
  );

const template = (moves: MoveLab, t: Traveller, { approval = AN_HOUR, bandwidth = 1_000 }: Does): Promise<string> =>
  slowly(moves, t, { approval, maxBandwidthMiBps: bandwidth });

const claim = (does: Does): Claim<MoveLab> => ({
  name: `a move that waits for an approval ${does.name}`,
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('asked');
    const vm = await moves.shown(t.vmId);
    let ranWhileItWaited = '';
    const trip = await moves.trip(t, await template(moves, t, does), async (id) => {
      const { moves: [move] } = await waits(moves, id); // prettier-ignore
      ranWhileItWaited = `${move!.state} on ${(await moves.lab.vm(t.vmId)).hostId}`;
      await does.act?.(moves, id, vm);
    });
    const { state, cause, verdict, by } = does.expected;
    const a = approvalOf(trip.ended);
    const what = after(moves, vm, trip, { state, cause }, does.agentAway !== true);
    return {
      ...what,
      expected: { ...what.expected, verdict, by, ranWhileItWaited: `running on ${vm.hostId}` },
      observed: {
        ...what.observed,
        ...(trip.ended.cause?.code === cause ? {} : { told: trip.ended.cause?.message }),
        verdict: a?.verdict,
        by: a?.by?.split(':')[0],
        ranWhileItWaited,
      },
    };
  },
});

/** Its guest had nothing more to be sent: the stream was called off, and with it the QEMU at the target. */
const calledOff = async (moves: MoveLab, vm: VmView): Promise<void> => {
  await moves.lab.until('the stream to be called off', async () => moves.lab.outside.processes(vm).length, (n) => n === 1); // prettier-ignore
};
const kill = (pid: number | undefined): void => void process.kill(pid!, 'SIGKILL');
const refusedWith = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'accepted',
    (e: { code?: string }) => e.code,
  );
const approved = { state: 'succeeded', verdict: 'approved', by: 'user' } as const;

export const approvalClaims: readonly Claim<MoveLab>[] = [
  claim({
    name: 'and gets it while its memory is sent switches over with that stream',
    bandwidth: 16,
    act: (moves, id) => say(moves, id, 'approve'),
    expected: approved,
  }),
  claim({
    name: 'and gets it when it had nothing more to send is sent anew; said twice it is no news, and the other word comes too late',
    act: async (moves, id, vm) => {
      await calledOff(moves, vm);
      await say(moves, id, 'approve');
      await say(moves, id, 'approve');
      const late = await refusedWith(say(moves, id, 'reject'));
      if (late !== 'migration.approval_settled') throw new Error(`a word that comes too late: ${String(late)}`);
    },
    expected: approved,
  }),
  claim({
    name: 'and is rejected is undone',
    act: async (moves, id, vm) => (await calledOff(moves, vm), say(moves, id, 'reject')),
    expected: { state: 'undone', cause: 'migration.approval_rejected', verdict: 'rejected', by: 'user' },
  }),
  claim({
    name: 'and is rejected while its memory is sent is undone',
    bandwidth: 16,
    act: (moves, id) => say(moves, id, 'reject'),
    expected: { state: 'undone', cause: 'migration.approval_rejected', verdict: 'rejected', by: 'user' },
  }),
  claim({
    name: 'that nobody gives in time is undone, where its template says so',
    approval: { withinMs: 8_000, onTimeout: 'abort' },
    expected: { state: 'undone', cause: 'migration.approval_timed_out', verdict: 'timed-out' },
  }),
  claim({
    name: 'that nobody gives in time switches over, where its template says so',
    approval: { withinMs: 8_000, onTimeout: 'switch' },
    expected: { state: 'succeeded', verdict: 'timed-out' },
  }),
  claim({
    name: 'and is cancelled is undone, and nobody is asked any more',
    act: (moves, id) => moves.lab.api.post('/v1/migrations/{id}/cancel', { path: { id }, body: { reason: 'not now' } }),
    expected: { state: 'undone', cause: 'workflow.cancelled', verdict: 'moot' },
  }),
  claim({
    name: 'loses nothing by a kill -9 of its source’s agent: approved afterwards, it switches over',
    act: async (moves, id, vm) => {
      await calledOff(moves, vm);
      moves.agentOf(vm.hostId).kill();
      await say(moves, id, 'approve');
    },
    expected: approved,
  }),
  claim({
    name: 'loses nothing by a kill -9 of its source’s agent while its memory is sent',
    agentAway: true,
    bandwidth: 48, // at 16 it stalled in two runs of three: what its guest writes then has not been looked for
    act: async (moves, id, vm) => {
      moves.agentOf(vm.hostId).kill();
      await say(moves, id, 'approve');
    },
    expected: approved,
  }),
  claim({
    name: 'loses nothing by a kill -9 of its target’s agent, of the gateway and of the workflow service',
    act: async (moves, id, vm) => {
      await calledOff(moves, vm);
      moves.agentOf(vm.hostId === moves.old ? moves.new : moves.old).kill();
      for (const name of ['agent-gateway', 'workflow'] as const) kill(moves.lab.run.platform.pids()[name]);
      await say(moves, id, 'approve');
    },
    expected: approved,
  }),
  {
    name: 'a restart that waits for an approval and is rejected has stopped nothing',
    see: async (moves): Promise<Seen> => {
      const t = await moves.traveller('asked');
      const vm = await moves.shown(t.vmId);
      const ref = await moves.byOption(t, { to: vm.type.name, move: true, method: 'restart' });
      const { spec } = await moves.lab.api.get('/v1/migration-templates/{name}', { path: { name: ref.split('@')[0]! } });
      const asking = await moves.template({ spec: { ...spec, options: { ...spec.options, approval: AN_HOUR } } });
      const trip = await moves.trip(t, asking, async (id) => (await waits(moves, id), say(moves, id, 'reject')));
      return after(moves, vm, trip, { state: 'undone', cause: 'migration.approval_rejected' });
    },
  },
];
