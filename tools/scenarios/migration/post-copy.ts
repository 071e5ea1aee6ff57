import { setTimeout as sleep } from 'node:timers/promises';
import type { VmView } from '../../fleet/story.ts';
import type { Claim, Seen } from '../claim.ts';
import { openShell } from '../provisioning/in-guest.ts';
import type { ActionOptions } from '../provisioning/lab.ts';
import { after, cut, slowly, writer } from './faults.ts';
import type { MoveLab, Traveller } from './lab.ts';

type Ended = { readonly state: string; readonly cause?: string | undefined };
const moved: Ended = { state: 'succeeded' };

const gone = async (moves: MoveLab, vm: VmView): Promise<void> =>
  void (await moves.lab.until('its guest to have gone', () => moves.lab.vm(vm.vmId), (now) => now.hostId !== vm.hostId)); // prettier-ignore

const writes = new WeakSet<Traveller>();
/** It writes three times as fast as it is sent, so that pre-copy does not move it: guests.ts shows that. */
const writing = async (moves: MoveLab): Promise<{ t: Traveller; vm: VmView; template: string }> => {
  const t = await moves.traveller('late');
  const vm = await moves.shown(t.vmId);
  if (!writes.has(t)) await (await openShell(moves.lab, vm))(writer);
  writes.add(t);
  return { t, vm, template: await slowly(moves, t, {}, 'post-copy') };
};

/** Its guest is at the target, and memory of it is at the source: how long it waits for that is the link's. `served`: its users' connections outlast it. */
const behindTheSwitch = (name: string, act: (moves: MoveLab, vm: VmView) => Promise<unknown>, served = true): Claim<MoveLab> => ({
  name: `post-copy: ${name}`,
  see: async (moves): Promise<Seen> => {
    const { t, vm, template } = await writing(moves);
    let ends = 0;
    const meanwhile = async (): Promise<void> => {
      await gone(moves, vm);
      ends = moves.lab.outside.processes(vm).length;
      await act(moves, vm);
    };
    const trip = await moves.trip(t, template, meanwhile, { standsStill: true });
    const { expected, observed } = after(moves, vm, trip, moved, false);
    const clients = served ? {} : { errors: undefined, connections: undefined };
    return { expected: { ...expected, ...clients, ends: 2 }, observed: { ...observed, ...clients, ends }, vm };
  },
});

const awayOf = (moves: MoveLab, vm: VmView): string => (vm.hostId === moves.old ? moves.new : moves.old);
const netnsOf = (moves: MoveLab, hostId: string): string => moves.lab.run.fabric.hosts.find((h) => h.name === hostId)!.netns!;

/** Somebody dies at a moment of the switch, once. */
const killedAt = (point: string, which: 'source' | 'target', said: string): Claim<MoveLab> => ({
  name: `post-copy: kill -9 of the ${which}’s host agent ${said}: the guest goes on at the target`,
  see: async (moves) => {
    const { t, vm, template } = await writing(moves);
    const agent = moves.agentOf(which === 'source' ? vm.hostId : awayOf(moves, vm));
    const { killed, done } = await moves.lab.killedAt(agent, point, { vmId: vm.vmId }, () => moves.trip(t, template));
    const seen = after(moves, vm, done, moved, false);
    return { ...seen, expected: { killed: true, ...seen.expected }, observed: { killed, ...seen.observed } };
  },
});

const migration = ({ lab }: MoveLab, id: string) => lab.api.get('/v1/migrations/{id}', { path: { id } });

/** What a lost guest's move can't do is left out, which lets go of the VM. */
const letGo = async (moves: MoveLab, id: string): Promise<void> => {
  const { workflowId } = (await migration(moves, id)).moves[0]!;
  for (const task of ['verify-guest', 'await-memory'])
    await moves.lab.api.post('/v1/workflows/{id}/changes', {
      path: { id: workflowId },
      body: { change: { type: 'skip-task', task }, reason: 'its guest is lost' },
    });
  await moves.lab.until('the VM to be in no move', () => migration(moves, id), (m) => m.moves[0]?.state === 'succeeded', 60_000); // prettier-ignore
};

/** Its power is taken, and it begins anew. */
const beginAnew = async ({ lab }: MoveLab, t: Traveller): Promise<void> => {
  const done = async (action: 'stop' | 'start', options: ActionOptions): Promise<void> => {
    const ended = await lab.act(t.vmId, action, options);
    if (ended?.state !== 'succeeded') throw new Error(`${action}: ${JSON.stringify(ended?.cause)}`);
  };
  await done('stop', { force: true });
  await done('start', {});
  writes.delete(t);
};

/** Nobody has what was left there, and the move says so. Its disks are there, and an operator has it begin anew. */
const lost: Claim<MoveLab> = {
  name: 'post-copy: the source’s QEMU is killed behind the switch: the move stops and says that it is lost, and it begins anew at the target',
  see: async (moves) => {
    const { t, vm, template } = await writing(moves);
    const { bootId, ...before } = await moves.shape(t);
    const [source] = moves.lab.outside.processes(vm);
    const id = await moves.begin(template, [t.vmId]);
    await gone(moves, vm);
    process.kill(source!.pid, 'SIGKILL');
    const { state, cause, moves: [move] } = await moves.ended(id); // prettier-ignore
    await letGo(moves, id);
    await beginAnew(moves, t);
    const host = awayOf(moves, vm);
    const { bootId: anew, ...now } = await moves.shape(t, host);
    return {
      expected: { state: 'failed', stands: 'stopped', cause: 'host.post_copy_lost', shape: { ...before, host }, anew: true, qemus: 1 },
      observed: {
        ...{ state, stands: move?.workflowState, cause: cause?.code, shape: now, anew: anew !== bootId },
        qemus: moves.lab.outside.processes(vm).length,
      },
      vm: await moves.shown(t.vmId),
    };
  },
};

export const postCopyClaims: readonly Claim<MoveLab>[] = [
  behindTheSwitch(
    'a guest that writes its memory faster than the link, which no pre-copy moves, goes from QEMU 7.2 to 10.0',
    async () => undefined,
  ),
  behindTheSwitch('and back, from QEMU 10.0 to 7.2', async () => undefined),
  behindTheSwitch(
    'the way is cut behind the switch for 12 s: what is left goes on, and the guest is whole, served or not meanwhile',
    async (moves, vm) => cut(moves, netnsOf(moves, vm.hostId), 'both ways', 12_000),
    false,
  ), // TCP's own probes end a connection after 11 s
  behindTheSwitch('kill -9 of both host agents behind the switch: what is left goes on', async (moves, vm) => {
    await moves.agentOf(vm.hostId).kill();
    await moves.agentOf(awayOf(moves, vm)).kill();
    await sleep(100);
  }),
  killedAt('host:transfer:completed', 'source', 'between the switch and the fence'),
  killedAt('host:receipt:recorded', 'target', 'between the receipt and the first instruction'),
  lost,
];
