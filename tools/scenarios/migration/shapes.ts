import type { Claim, Seen } from '../claim.ts';
import type { MoveLab, Shape, Trip } from './lab.ts';

type Type = 'small' | 'large';
type Leg = {
  readonly name: string;
  readonly to: Type;
  /** To the other host. */
  readonly over: boolean;
  readonly newResources?: 'expose' | 'hide';
  /** What the guest has then, where it is not what its type has. */
  readonly shows?: Partial<Shape>;
  /** MiB that its guest has more, or less, than before. */
  readonly memory: number;
};
const ofType: Readonly<Record<Type, Partial<Shape>>> = { small: { vcpus: 1, nics: 2 }, large: { vcpus: 2, nics: 1 } };

/** That nobody who uses the guest's service has seen anything. */
export const allWell = { errors: 0, connections: 1, gapUnder1s: true };
export const wellbeing = ({ service }: Trip): typeof allWell => ({
  errors: service.errors,
  connections: service.connections,
  gapUnder1s: service.longestGapMs < 1000,
});

const leg = ({ name, to, over, newResources = 'expose', shows = {}, memory }: Leg): Claim<MoveLab> => ({
  name,
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('walker');
    const vm = await moves.shown(t.vmId);
    const away = vm.hostId === moves.old ? moves.new : moves.old;
    const pids = (): string => moves.lab.outside.processes(vm).map((q) => q.pid).join(); // prettier-ignore
    const begun = pids();
    const trip = await moves.trip(t, await moves.byOption(t, { to, move: over, newResources }));
    const host = over ? away : vm.hostId;
    const memoryMiB = trip.before.memoryMiB + memory;
    return {
      expected: {
        state: 'succeeded',
        shape: { ...trip.before, ...ofType[to], memoryMiB, ...shows, type: `${to}@1`, host },
        ...{ sameQemu: !over, qemus: 1, ...allWell },
      },
      observed: {
        state: trip.ended.state,
        ...(trip.ended.cause ? { cause: trip.ended.cause } : {}),
        shape: trip.after,
        ...{ sameQemu: pids() === begun, qemus: moves.lab.outside.processes(vm).length, ...wellbeing(trip) },
      },
      vm,
    };
  },
});

/** One VM, a shape of a move after the other: each begins as another one ended. It is born small, on QEMU 7.2. */
export const shapeClaims: readonly Claim<MoveLab>[] = [
  leg({ name: 'moved only, from QEMU 7.2 to 10.0', to: 'small', over: true, memory: 0 }),
  leg({ name: 'moved only, back from QEMU 10.0 to 7.2', to: 'small', over: true, memory: 0 }),
  leg({ name: 'grown only, on QEMU 7.2', to: 'large', over: false, memory: 512 }),
  leg({ name: 'shrunk only, on QEMU 7.2', to: 'small', over: false, memory: -512 }),
  leg({ name: 'grown and moved, from QEMU 7.2 to 10.0', to: 'large', over: true, memory: 512 }),
  leg({ name: 'moved only while it is large, back to QEMU 7.2', to: 'large', over: true, memory: 0 }),
  leg({ name: 'shrunk and moved, from QEMU 7.2 to 10.0', to: 'small', over: true, memory: -512 }),
  leg({ name: 'grown only, on QEMU 10.0', to: 'large', over: false, memory: 512 }),
  leg({ name: 'shrunk only, on QEMU 10.0', to: 'small', over: false, memory: -512 }),
  leg({ name: 'grown and moved, from QEMU 10.0 to 7.2', to: 'large', over: true, memory: 512 }),
  leg({ name: 'shrunk and moved, the second time, to QEMU 10.0', to: 'small', over: true, memory: -512 }),
  leg({
    name: 'hide: moved to hardware of large, and its guest is shown what it had',
    to: 'large',
    over: true,
    newResources: 'hide',
    shows: { vcpus: 1 },
    memory: 0,
  }),
  leg({ name: 'expose: what was hidden is shown to the guest, while it runs', to: 'large', over: false, memory: 512 }),
];
