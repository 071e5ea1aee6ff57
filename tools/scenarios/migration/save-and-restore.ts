import { existsSync, openSync, readdirSync, readSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { smallPoolOf } from '../../fleet/run.ts';
import type { VmView } from '../../fleet/story.ts';
import type { Claim, Seen } from '../claim.ts';
import { after, sending } from './faults.ts';
import type { MoveLab, Traveller, Trip } from './lab.ts';

type Type = 'small' | 'large';
type Ended = { readonly state: string; readonly cause?: string | undefined };
const went: Ended = { state: 'succeeded' };
const interrupted: Ended = { state: 'undone', cause: 'host.transfer_interrupted' };
/** Slow enough that something can happen in the middle of the save. */
const SLOW_MIBPS = 16;

const poolOf = (moves: MoveLab, name: string): string =>
  name === 'small' ? smallPoolOf(moves.lab.run.dir) : path.join(moves.lab.run.dir, 'shared-pool');
const filesIn = (moves: MoveLab, pool: string, vmId: string): string[] =>
  readdirSync(poolOf(moves, pool)).filter((file) => file.startsWith(vmId) && file.endsWith('.save'));
/** Room of moves in any pool: none is left when they have ended. */
const heldByMoves = async (moves: MoveLab): Promise<string[]> => {
  const { items } = await moves.lab.api.get('/v1/pools');
  const all = await Promise.all(items.map((p) => moves.lab.api.get('/v1/pools/{id}', { path: { id: p.poolId } })));
  return all.flatMap((p) => (p.holds ?? []).flatMap((h) => (h.consumer.kind === 'move' ? [`${h.consumer.id} in ${p.name}`] : [])));
};

const byFile = async (moves: MoveLab, t: Traveller, to: Type, options: object = {}): Promise<string> => {
  const ref = await moves.byOption(t, { to, move: true, method: 'save-and-restore' });
  const { spec } = await moves.lab.api.get('/v1/migration-templates/{name}', { path: { name: ref.split('@')[0]! } });
  return moves.template({ spec: { ...spec, options: { ...spec.options, ...options } } });
};

/** Beside what every move is judged by: nothing of it is left in its pool, nor held there. */
const judged = async (moves: MoveLab, seen: Seen, pool = 'shared'): Promise<Seen> => ({
  ...seen,
  expected: { ...seen.expected, files: [], held: [] },
  observed: { ...seen.observed, files: filesIn(moves, pool, seen.vm!.vmId), held: await heldByMoves(moves) },
});

const ofType: Readonly<Record<Type, { vcpus: number; nics: number }>> = { small: { vcpus: 1, nics: 2 }, large: { vcpus: 2, nics: 1 } };

/** The guest and its users' connections are as they were; how long nobody was served was forecast, and is told. */
const saved = (name: string, to: Type): Claim<MoveLab> => ({
  name: `save-and-restore: ${name}`,
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('frozen');
    const vm = await moves.shown(t.vmId);
    const template = await byFile(moves, t, to);
    const plan = await moves.lab.api.post('/v1/migration-plans', { body: { template, vmIds: [t.vmId] } });
    const { interruption, standsStill } = plan.moves[0]!;
    const trip = await moves.trip(t, template, undefined, { standsStill: true });
    const seen = await judged(moves, after(moves, vm, trip, went, false));
    const downtimeMs = trip.ended.moves[0]!.figures?.downtimeMs ?? 0;
    const [forecast] = trip.ended.planned;
    return {
      expected: {
        ...seen.expected,
        shape: { ...trip.before, ...ofType[to], type: `${to}@1`, host: forecast!.toHost, memoryMiB: trip.after.memoryMiB },
        ...{ interruption: 'save-and-restore', pool: 'shared', told: true, nearForecast: true },
      },
      observed: {
        ...seen.observed,
        ...{ interruption, pool: standsStill?.pool, told: forecast!.standsStillSeconds === standsStill?.seconds },
        nearForecast: downtimeMs > 0 && downtimeMs < 3_000 * (standsStill?.seconds ?? 0),
      },
      vm,
    };
  },
});

/** More than there is: else nobody would be let to save to it what does not fit. */
const promised = async ({ lab }: MoveLab): Promise<void> => {
  const { poolId } = await lab.poolNamed('small');
  await lab.api.patch('/v1/pools/{id}', { path: { id: poolId }, body: { ratioPerMille: 40_000, reason: 'a scenario' } });
};

type During = (moves: MoveLab, vm: VmView, move: () => Promise<Trip>) => Promise<Trip>;
type Where = { readonly options?: object; readonly traveller?: string; readonly pool?: string };
const fault = (name: string, expected: Ended, during: During, { options = {}, traveller = 'frozen', pool = 'shared' }: Where = {}): Claim<MoveLab> => ({
  name: `save-and-restore: ${name}`,
  see: async (moves): Promise<Seen> => {
    if (pool === 'small') await promised(moves);
    const t = await moves.traveller(traveller, pool === 'shared' ? {} : { pool });
    const vm = await moves.shown(t.vmId);
    const template = await byFile(moves, t, vm.type.name as Type, options);
    const trip = await during(moves, vm, () => moves.trip(t, template, undefined, { standsStill: true }));
    return judged(moves, after(moves, vm, trip, expected, false), pool);
  },
}); // prettier-ignore

const killedAt = (point: string, which: 'source' | 'target', said: string, expected: Ended): Claim<MoveLab> =>
  fault(`kill -9 of the ${which}’s host agent ${said}`, expected, async (moves, vm, move) => {
    const away = vm.hostId === moves.old ? moves.new : moves.old;
    const agent = moves.agentOf(which === 'source' ? vm.hostId : away);
    const { killed, done } = await moves.lab.killedAt(agent, point, { vmId: vm.vmId }, move);
    if (!killed) throw new Error(`nobody came by ${point}`);
    return done;
  });

const inTheSave = (name: string, expected: Ended, act: (moves: MoveLab, vm: VmView, pids: { source: number; target: number }) => void) =>
  fault(
    `in the middle of the save ${name}`,
    expected,
    async (moves, vm, move) => {
      const moving = move();
      moving.catch(() => undefined);
      const { source, target } = await sending(moves, vm);
      act(moves, vm, { source: source.pid, target: target.pid });
      return moving;
    },
    { options: { maxBandwidthMiBps: SLOW_MIBPS } },
  );

/** One bit of it, once it is whole on the disk, and before the target has looked at it. */
const flipped: During = async (moves, vm, move) => {
  writeFileSync(moves.lab.failpoints, JSON.stringify({ 'host:target:restore': { action: 'delay', ms: 3_000, where: { vmId: vm.vmId } } }));
  const moving = move();
  moving.catch(() => undefined);
  const [file] = await moves.lab.until('the file of its state', async () => filesIn(moves, 'shared', vm.vmId), (f) => f.length > 0); // prettier-ignore
  await sleep(2_000); // it is written in less, and the target looks at it in a second more
  const at = path.join(poolOf(moves, 'shared'), file!);
  if (existsSync(at)) flip(at, 1_000_000);
  writeFileSync(moves.lab.failpoints, '{}');
  return moving;
};
const flip = (file: string, at: number): void => {
  const [fd, byte] = [openSync(file, 'r+'), Buffer.alloc(1)];
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.from([byte[0]! ^ 1]), 0, 1, at);
};

const killQemu = (pid: number): void => void process.kill(pid, 'SIGKILL');

export const saveClaims: readonly Claim<MoveLab>[] = [
  saved('from QEMU 7.2 to 10.0, and larger there', 'large'),
  saved('and back from QEMU 10.0 to 7.2, as small as it was', 'small'),
  inTheSave('kill -9 of the source’s host agent: undone, and it goes on where it was', interrupted, (moves, vm) =>
    moves.agentOf(vm.hostId).kill(),
  ),
  inTheSave('the target’s QEMU is killed: undone, and it goes on where it was', { state: 'undone', cause: 'host.target_lost' }, (_, __, { target }) => killQemu(target)), // prettier-ignore
  killedAt('host:transfer:saved', 'source', 'when all of it is in the file: undone, it goes on where it was', interrupted),
  killedAt('host:transfer:restoring', 'source', 'when that is written down: undone, it goes on where it was', interrupted),
  killedAt('host:target:restore', 'target', 'before it is restored: the move goes on', went),
  killedAt('host:target:restored', 'target', 'when it is restored: the move goes on', went),
  killedAt('host:transfer:fenced', 'source', 'behind the fence: the move goes on', went),
  fault('its file is changed before it is restored: refused, and it goes on where it was', { state: 'undone', cause: 'hypervisor.save_corrupt' }, flipped), // prettier-ignore
  fault(
    'the source’s QEMU is lost when all of it is in the file: it goes on at the target, as it was',
    went,
    async (moves, vm, move) => {
      const source = moves.lab.outside.processes(vm)[0]!.pid;
      const agent = moves.agentOf(vm.hostId);
      const { done } = await moves.lab.killedAt(agent, 'host:transfer:restoring', { vmId: vm.vmId }, async () => {
        const moving = move();
        moving.catch(() => undefined);
        const pid = agent.pid();
        while (existsSync(`/proc/${pid}`)) await sleep(5);
        killQemu(source);
        return moving;
      });
      return done;
    },
  ), // prettier-ignore
  fault(
    'its pool is full in the middle of the save: undone, and it goes on where it was',
    { state: 'undone', cause: 'hypervisor.save_failed' },
    (_, __, move) => move(),
    { traveller: 'cramped', pool: 'small' },
  ),
];
