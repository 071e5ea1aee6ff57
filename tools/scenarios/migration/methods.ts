import type { Claim, Seen } from '../claim.ts';
import type { MoveLab, Shape, Traveller } from './lab.ts';

type Type = 'small' | 'large';
const ofType: Readonly<Record<Type, Partial<Shape>>> = { small: { vcpus: 1, nics: 2 }, large: { vcpus: 2, nics: 1 } };
/** MiB that the type gives its guest from the boot on. */
const bootMiB: Readonly<Record<Type, number>> = { small: 512, large: 1024 };

type Begun = { readonly host: string; readonly sameBoot: boolean; readonly type: string; readonly vcpus: number; readonly nics: number };
const begun = (before: Shape, { host, type, bootId, vcpus, nics }: Shape): Begun => ({
  ...{ host, type, vcpus, nics },
  sameBoot: bootId === before.bootId,
});

const restartTo = async (moves: MoveLab, t: Traveller, to: string, options: object = {}): Promise<string> => {
  const ref = await moves.byOption(t, { to, move: true, method: 'restart' });
  const { spec } = await moves.lab.api.get('/v1/migration-templates/{name}', { path: { name: ref.split('@')[0]! } });
  return moves.template({ spec: { ...spec, options: { ...spec.options, ...options } } });
};

/** It begins anew with all of its type: what is there from the boot is neither plugged nor left over. */
const restart = (name: string, to: Type): Claim<MoveLab> => ({
  name: `restart: ${name}`,
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('sleeper');
    const vm = await moves.shown(t.vmId);
    const host = vm.hostId === moves.old ? moves.new : moves.old;
    const before = await moves.shape(t);
    const template = await restartTo(moves, t, to);
    const plan = await moves.lab.api.post('/v1/migration-plans', { body: { template, vmIds: [t.vmId] } });
    const ended = await moves.ended(await moves.begin(template, [t.vmId]));
    const after = await moves.shape(t, ended.state === 'succeeded' ? host : vm.hostId);
    const now = await moves.shown(t.vmId);
    const { vcpus, memory } = now.topology;
    return {
      expected: {
        ...{ state: 'succeeded', interruption: 'restart', qemus: 1 },
        guest: { ...begun(before, { ...before, ...ofType[to], type: `${to}@1`, host }), sameBoot: false },
        atBoot: { vcpus: ofType[to].vcpus, memoryMiB: bootMiB[to], plugged: 0 },
      },
      observed: {
        ...{ state: ended.state, ...(ended.cause ? { cause: ended.cause } : {}) },
        ...{ interruption: plan.moves[0]!.interruption, qemus: moves.lab.outside.processes(now).length },
        guest: begun(before, after),
        atBoot: { vcpus: vcpus.boot, memoryMiB: memory.bootMiB, plugged: vcpus.plugged.length + memory.dimms.length },
      },
      vm: now,
    };
  },
});

/** It is where it was, begun anew there, as nobody could say that it runs elsewhere. */
const startedAgain = (
  name: string,
  cause: string,
  options: object,
  during: (moves: MoveLab, hostId: string, vmId: string, move: () => Promise<unknown>) => Promise<unknown>,
): Claim<MoveLab> => ({
  name: `restart: ${name}`,
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('sleeper');
    const vm = await moves.shown(t.vmId);
    const before = await moves.shape(t);
    const template = await restartTo(moves, t, vm.type.name, options);
    let ended: { state: string; cause?: { code: string } | undefined } | undefined;
    await during(moves, vm.hostId, t.vmId, async () => (ended = await moves.ended(await moves.begin(template, [t.vmId]))));
    const after = await moves.shape(t, vm.hostId);
    return {
      expected: { state: 'undone', cause, qemus: 1, guest: { ...begun(before, before), sameBoot: false } },
      observed: {
        ...{ state: ended!.state, cause: ended!.cause?.code, qemus: moves.lab.outside.processes(vm).length },
        guest: begun(before, after),
      },
      vm,
    };
  },
});

export const methodClaims: readonly Claim<MoveLab>[] = [
  restart('from QEMU 7.2 to 10.0, and larger with its boot', 'large'),
  restart('back from QEMU 10.0 to 7.2, and smaller: what its boot had goes', 'small'),
  restart('the second time, to QEMU 10.0', 'small'),
  startedAgain(
    'it goes off later than it may: undone, and started again where it was',
    'host.guest_stays',
    { shutDown: { timeoutMs: 1 } },
    (_, __, ___, move) => move(),
  ),
  startedAgain(
    'kill -9 of the source’s host agent once its guest is over, before the fence: undone, and started again where it was',
    'host.transfer_interrupted',
    {},
    (moves, hostId, vmId, move) => moves.lab.killedAt(moves.agentOf(hostId), 'host:transfer:completed', { vmId }, move),
  ),
  restart('back to QEMU 7.2 after that', 'small'),
];
