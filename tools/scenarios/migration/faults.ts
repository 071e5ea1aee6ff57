import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { MigrationOption } from '@chrysalis/api-client';
import type { QemuProcess } from '../../fleet/processes.ts';
import type { VmView } from '../../fleet/story.ts';
import type { Claim, Seen } from '../claim.ts';
import type { MoveLab, Traveller, Trip } from './lab.ts';
import { wellbeing } from './shapes.ts';

const exec = promisify(execFile);
/** Slow enough that something can happen in its middle: the small guest has about 100 MiB that are not zero. */
const SLOW_MIBPS = 16;

/** In a guest: about three times what is let through, so that no pass over its memory is ever smaller than the one before. */
export const writer = `mkdir -p /tmp/dirty && mount -t tmpfs none /tmp/dirty
cat > /tmp/dirty/run <<'X'
while :; do for i in 1 2 3; do dd if=/dev/urandom of=/tmp/dirty/$i bs=1M count=24 conv=notrunc; done; done
X
setsid sh /tmp/dirty/run < /dev/null > /dev/null 2>&1 & echo $! > /tmp/dirty/pid`;

type Ended = { readonly state: string; readonly cause?: string | undefined };
const interrupted: Ended = { state: 'undone', cause: 'host.transfer_interrupted' };
/** It is where its migration's end says, once, as the guest that it was; whoever uses it was not harmed. */
export const after = (moves: MoveLab, vm: VmView, trip: Trip, expected: Ended, gapUnder1s = true): Seen => {
  const there = expected.state === 'succeeded';
  const away = vm.hostId === moves.old ? moves.new : moves.old;
  const { gapUnder1s: seen, ...rest } = wellbeing(trip);
  return {
    expected: {
      ...{ state: expected.state, cause: expected.cause },
      shape: { ...trip.before, host: there ? away : vm.hostId },
      ...{ qemus: 1, errors: 0, connections: 1, ...(gapUnder1s ? { gapUnder1s } : {}) },
    },
    observed: {
      ...{ state: trip.ended.state, cause: trip.ended.cause?.code },
      shape: trip.after,
      ...{ qemus: moves.lab.outside.processes(vm).length, ...rest, ...(gapUnder1s ? { gapUnder1s: seen } : {}) },
    },
    vm,
  };
};

/** A move of the same type to the other host, at a pace that leaves time. */
export const slowly = async (
  moves: MoveLab,
  t: Traveller,
  options: object = {},
  method: MigrationOption['method'] = 'pre-copy',
): Promise<string> => {
  const ref = await moves.byOption(t, { to: (await moves.shown(t.vmId)).type.name, move: true, method });
  const { spec } = await moves.lab.api.get('/v1/migration-templates/{name}', { path: { name: ref.split('@')[0]! } });
  return moves.template({ spec: { ...spec, options: { ...spec.options, maxBandwidthMiBps: SLOW_MIBPS, ...options } } });
};

/** The QEMU that waits at the target, once the source's sends to it. */
export const sending = async (moves: MoveLab, vm: VmView): Promise<{ source: QemuProcess; target: QemuProcess }> => {
  const [source] = moves.lab.outside.processes(vm);
  const other = (): QemuProcess | undefined =>
    moves.lab.outside.processes(vm).find((q) => q.pid !== source!.pid && q.netns !== source!.netns);
  await moves.lab.until('the target to wait', async () => other(), Boolean);
  await sleep(1_500); // about 20 MiB on their way
  return { source: source!, target: other()! };
};

const midTransfer = (
  name: string,
  expected: Ended,
  act: (moves: MoveLab, vm: VmView, qemus: { source: QemuProcess; target: QemuProcess }, migrationId: string) => Promise<unknown>,
): Claim<MoveLab> => ({
  name: `in mid-transfer ${name}`,
  see: async (moves) => {
    const t = await moves.traveller('victim');
    const vm = await moves.shown(t.vmId);
    const template = await slowly(moves, t);
    const trip = await moves.trip(t, template, async (id) => act(moves, vm, await sending(moves, vm), id));
    return after(moves, vm, trip, expected);
  },
});

/** Somebody dies at a moment of the switch-over, once. */
const killedAt = (point: string, which: 'source' | 'target', said: string, expected: Ended): Claim<MoveLab> => ({
  name: `kill -9 of the ${which}'s host agent ${said}`,
  see: async (moves) => {
    const t = await moves.traveller('victim');
    const vm = await moves.shown(t.vmId);
    const away = vm.hostId === moves.old ? moves.new : moves.old;
    const agent = moves.agentOf(which === 'source' ? vm.hostId : away);
    const template = await moves.byOption(t, { to: vm.type.name, move: true });
    const { killed, done } = await moves.lab.killedAt(agent, point, { vmId: vm.vmId }, () => moves.trip(t, template));
    const seen = after(moves, vm, done, expected, false);
    return { ...seen, expected: { killed: true, ...seen.expected }, observed: { killed, ...seen.observed } };
  },
});

const kill = (pid: number | undefined): void => void process.kill(pid!, 'SIGKILL');
const service = (name: 'agent-gateway' | 'workflow' | 'provisioning'): Claim<MoveLab> =>
  midTransfer(`kill -9 of ${name}: the move goes on`, { state: 'succeeded' }, async ({ lab }) => kill(lab.run.platform.pids()[name]));

/** What the target's host sends, or all, is lost for a while; its agent's line to the control plane as well. */
export const cut = async ({ lab }: MoveLab, netns: string, how: 'both ways' | 'one way', ms: number): Promise<void> => {
  const host = lab.run.fabric.hosts.find((h) => h.netns === netns)!;
  const inHost = ([command, ...args]: readonly string[]) => {
    const [c, ...a] = host.inside([command!, ...args]);
    return exec(c!, a);
  };
  if (how === 'both ways') await inHost(['ip', 'link', 'set', 'up0', 'down']);
  else await inHost(['nft', 'add table ip cut; add chain ip cut out { type filter hook output priority 0; policy drop; }']);
  await sleep(ms);
  if (how === 'both ways') await inHost(['ip', 'link', 'set', 'up0', 'up']);
  else await inHost(['nft', 'delete table ip cut']);
};
const nameOfNetns = async (pid: number): Promise<string> => (await exec('ip', ['netns', 'identify', String(pid)])).stdout.trim();

export const faultClaims: readonly Claim<MoveLab>[] = [
  midTransfer('the target’s QEMU is killed: undone, and nobody has noticed', { state: 'undone', cause: 'hypervisor.migration_failed' }, async (_, __, { target }) => kill(target.pid)), // prettier-ignore
  midTransfer('it is cancelled: undone, and nobody has noticed', { state: 'undone', cause: 'workflow.cancelled' }, ({ lab }, _, __, id) =>
    lab.api.post('/v1/migrations/{id}/cancel', { path: { id }, body: { reason: 'not now' } }),
  ),
  midTransfer('kill -9 of the source’s host agent: undone, and nobody has noticed', interrupted, async (moves, vm) => moves.agentOf(vm.hostId).kill()), // prettier-ignore
  midTransfer('kill -9 of the target’s host agent: the move goes on', { state: 'succeeded' }, async (moves, vm) =>
    moves.agentOf(vm.hostId === moves.old ? moves.new : moves.old).kill(),
  ),
  service('agent-gateway'),
  service('workflow'),
  service('provisioning'),
  ...(['both ways', 'one way'] as const).map((how) =>
    midTransfer(`the target’s link is cut ${how} for 5 s: the move goes on`, { state: 'succeeded' }, async (moves, _, { target }) =>
      cut(moves, await nameOfNetns(target.pid), how, 5_000),
    ),
  ),
  midTransfer(
    'the target’s link is cut both ways until the transfer has stalled: undone, and nobody has noticed',
    { state: 'undone', cause: 'hypervisor.migration_stalled' },
    async (moves, _, { target }) => cut(moves, await nameOfNetns(target.pid), 'both ways', 45_000),
  ),
  killedAt('host:prepare:recorded', 'target', 'before its QEMU is started', { state: 'succeeded' }),
  killedAt('host:transfer:probed', 'source', 'before the transfer begins', interrupted),
  killedAt('host:transfer:completed', 'source', 'between the stream and the fence', interrupted),
  killedAt('host:transfer:fenced', 'source', 'behind the fence', { state: 'succeeded' }),
  killedAt('host:receipt:recorded', 'target', 'between the receipt and the first instruction', { state: 'succeeded' }),
  killedAt('host:receipt:resumed', 'target', 'behind the first instruction', { state: 'succeeded' }),
  killedAt('host:transfer:answered', 'source', 'before it tells that the target runs', { state: 'succeeded' }),
];
