import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { MigrationTemplate } from '@chrysalis/api-client';
import type { VmView } from '../../fleet/story.ts';
import { starterTypes } from '../../run/starter.ts';
import type { Claim, Seen } from '../claim.ts';
import type { MoveLab, Traveller, Trip } from './lab.ts';
import { allWell, wellbeing } from './shapes.ts';

const exec = promisify(execFile);
type Spec = MigrationTemplate['spec'];
type Step = Spec['hotPlug'][number];
type Middle = NonNullable<Spec['midMigration']>;

const script = (name: string, text: string): Step => ({ kind: 'guest-script', name, script: text, timeoutMs: 2_000 });
const isPlug = (s: Step): boolean => s.kind === 'plug-cpus' || s.kind === 'plug-memory';

/** What an option leads to, with all that it plugs afterwards plugged in the middle, and what is done there besides. */
const inTheMiddle = async (
  moves: MoveLab,
  t: Traveller,
  to: string,
  middle: Partial<Middle>,
  post: readonly Step[] = [],
): Promise<string> => {
  const ref = await moves.byOption(t, { to, move: true });
  const { spec } = await moves.lab.api.get('/v1/migration-templates/{name}', { path: { name: ref.split('@')[0]! } });
  return moves.template({
    spec: {
      ...spec,
      hotPlug: spec.hotPlug.filter((s) => !isPlug(s)),
      midMigration: { withinMs: 5_000, running: [], ...middle, stopped: [...spec.hotPlug.filter(isPlug), ...(middle.stopped ?? [])] },
      postMigration: [...spec.postMigration, ...post],
    },
  });
};

const stepsOf = ({ ended }: Trip): Record<string, string> => Object.fromEntries(ended.moves[0]!.steps.map((s) => [s.name, s.state]));
const kindsOf = ({ ended }: Trip): string[] => ended.moves[0]!.steps.map((s) => s.kind);
const away = (moves: MoveLab, vm: VmView): string => (vm.hostId === moves.old ? moves.new : moves.old);
const toldOf = ({ ended }: Trip) => ({ state: ended.state, ...(ended.cause ? { cause: ended.cause.code } : {}) });

/** Which bridge each of its taps is on, in the namespace that its one QEMU is in. */
const bridges = async (moves: MoveLab, vm: VmView): Promise<string[]> => {
  const taps = moves.lab.outside.taps(vm);
  const of = moves.lab.run.fabric.hosts.map(async ({ inside }) => {
    const [command, ...args] = inside(['ip', '-j', 'link']);
    return JSON.parse((await exec(command!, args)).stdout) as { ifname: string; master?: string }[];
  });
  const links = (await Promise.all(of)).flat();
  return taps.map((tap) => links.find((l) => l.ifname === tap)?.master ?? 'none');
};

const claim = (name: string, see: (moves: MoveLab, t: Traveller, vm: VmView) => Promise<Omit<Seen, 'vm'>>): Claim<MoveLab> => ({
  name: `in the middle of a move ${name}`,
  see: async (moves) => {
    const t = await moves.traveller('middle');
    const vm = await moves.shown(t.vmId);
    return { ...(await see(moves, t, vm)), vm };
  },
});

export const midMigrationClaims: readonly Claim<MoveLab>[] = [
  claim('what cannot be plugged in time undoes it, and nobody has noticed', async (moves, t, vm) => {
    const trip = await moves.trip(t, await inTheMiddle(moves, t, 'large', { withinMs: 1 }));
    return {
      expected: { state: 'undone', cause: 'host.mid_migration_failed', shape: trip.before, qemus: 1, ...allWell },
      observed: { ...toldOf(trip), shape: trip.after, qemus: moves.lab.outside.processes(vm).length, ...wellbeing(trip) },
    };
  }),
  claim('a CPU and memory are plugged while it stands still at the target, and the guest has them', async (moves, t, vm) => {
    const trip = await moves.trip(t, await inTheMiddle(moves, t, 'large', {}));
    return {
      expected: {
        ...{ state: 'succeeded', plugsAfterwards: 0, qemus: 1, ...allWell },
        shape: { ...trip.before, type: 'large@1', host: away(moves, vm), vcpus: 2, memoryMiB: trip.before.memoryMiB + 512, nics: 1 },
      },
      observed: {
        ...{ ...toldOf(trip), plugsAfterwards: kindsOf(trip).filter((k) => k === 'host.plug').length },
        ...{ qemus: moves.lab.outside.processes(vm).length, ...wellbeing(trip), shape: trip.after },
      },
    };
  }),
  claim('the guest links and looks anew after its first instruction, and before its place is announced', async (moves, t, vm) => {
    const running = [script('relink', 'echo 1 > /sys/bus/pci/rescan && echo done > /tmp/relinked')];
    const post = [script('look', 'grep -q done /tmp/relinked')];
    const trip = await moves.trip(t, await inTheMiddle(moves, t, 'large', { running }, post));
    const { relink, announce, look } = stepsOf(trip);
    return {
      expected: {
        ...{ state: 'succeeded', relink: 'succeeded', announce: 'succeeded', look: 'succeeded', qemus: 1, ...allWell },
        shape: { ...trip.before, host: away(moves, vm) },
      },
      observed: {
        ...{ ...toldOf(trip), relink, announce, look, qemus: moves.lab.outside.processes(vm).length, ...wellbeing(trip) },
        shape: trip.after,
      },
    };
  }),
  {
    name: 'in the middle of a move a NIC is put on another network, with its hardware and its address',
    see: async (moves): Promise<Seen> => {
      const t = await moves.traveller('rewired');
      const vm = await moves.shown(t.vmId);
      const { small } = starterTypes;
      const nics = small.nics.map((n) => (n.id === 'legacy' ? { ...n, network: 'front' } : n));
      await moves.lab.api.post('/v1/vm-types', { body: { name: 'crossed', spec: { ...small, nics } } });
      const ref = await moves.byOption(t, { to: 'small', move: true });
      const { spec } = await moves.lab.api.get('/v1/migration-templates/{name}', { path: { name: ref.split('@')[0]! } });
      const stopped = [{ kind: 'rewire-nic' as const, name: 'rewire-legacy', nic: 'legacy', network: 'front' }];
      const options = { ...spec.options, targetType: { name: 'crossed', version: 1 } };
      const template = await moves.template({ spec: { ...spec, options, midMigration: { withinMs: 2_000, stopped, running: [] } } });
      const macs = vm.topology.nics.map((n) => n.mac);
      const [before, trip] = [await bridges(moves, vm), await moves.trip(t, template)];
      const [front] = before;
      const now = await moves.lab.vm(t.vmId);
      return {
        expected: {
          ...{ state: 'succeeded', shape: { ...trip.before, type: 'crossed@1', host: away(moves, vm) }, macs },
          ...{ networks: ['front', 'front'], apart: true, bridges: [front, front], qemus: 1, ...allWell },
        },
        observed: {
          ...{ ...toldOf(trip), shape: trip.after, macs: now.topology!.nics.map((n) => n.mac) },
          ...{ networks: now.topology!.nics.map((n) => n.network), apart: before[0] !== before[1], bridges: await bridges(moves, vm) },
          ...{ qemus: moves.lab.outside.processes(vm).length, ...wellbeing(trip) },
        },
        vm,
      };
    },
  },
];
