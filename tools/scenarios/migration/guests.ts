import type { Claim, Seen } from '../claim.ts';
import { openShell } from '../provisioning/in-guest.ts';
import type { MoveLab, Traveller } from './lab.ts';
import { sending, slowly, writer } from './faults.ts';

type Does = {
  readonly name: string;
  /** Done in the guest; none: its QEMU is killed. */
  readonly script?: string;
  /** Before the move, and not in its middle. */
  readonly before?: true;
  readonly maxBandwidthMiBps?: number;
  readonly expected: Readonly<Record<string, unknown>>;
};

/** What its guest does to itself is no fault of the move: it is where it says, as what it then is, and the cause is named. */
const guestDoes = ({ name, script, before, maxBandwidthMiBps, expected }: Does): Claim<MoveLab> => ({
  name: `a guest that ${name}`,
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller(`guest-${name.split(' ', 1)[0]}`);
    const vm = await moves.shown(t.vmId);
    const template = await slowly(moves, t, maxBandwidthMiBps ? { maxBandwidthMiBps } : {});
    const first = await moves.shape(t);
    const shell = await openShell(moves.lab, vm);
    if (before) await shell(script!);
    const id = await moves.begin(template, [t.vmId]);
    if (!before) {
      const { source } = await sending(moves, vm);
      if (script)
        await shell(script, 2_000).catch(() => undefined); // it has no time to answer
      else process.kill(source.pid, 'SIGKILL');
    }
    const ended = await moves.ended(id);
    const seen = await then(moves, t, first);
    await moves.end(t); // one that writes its memory for ever takes a CPU from all that come after
    return { expected, observed: { ...seen, state: ended.state, cause: ended.cause?.code } };
  },
});

const then = async (moves: MoveLab, t: Traveller, first: { bootId: string; host: string }): Promise<object> => {
  const vm = await moves.shown(t.vmId);
  const qemus = moves.lab.outside.processes(vm).length;
  if (qemus === 0) {
    const off = await moves.lab.until('it to be seen off', () => moves.lab.vm(t.vmId), (x) => x.observed?.state !== 'running'); // prettier-ignore
    return { qemus, observed: off.observed?.state, moved: off.hostId !== first.host };
  }
  const { bootId, host } = await moves.shape(t);
  return { qemus, observed: vm.observed?.state, moved: host !== first.host, sameBoot: bootId === first.bootId };
};

export const guestClaims: readonly Claim<MoveLab>[] = [
  guestDoes({
    name: 'writes its memory faster than the link: undone, and the cause is that',
    script: writer,
    before: true,
    maxBandwidthMiBps: 8,
    expected: { qemus: 1, observed: 'running', moved: false, sameBoot: true, state: 'undone', cause: 'hypervisor.migration_stalled' },
  }),
  guestDoes({
    name: 'reboots in mid-transfer: it is moved, and has another boot',
    script: 'reboot -f',
    expected: { qemus: 1, observed: 'running', moved: true, sameBoot: false, state: 'succeeded', cause: undefined },
  }),
  guestDoes({
    name: 'shuts down in mid-transfer: undone, and it is off where it was',
    script: 'poweroff -f',
    expected: { qemus: 0, observed: 'shut-down', moved: false, state: 'undone', cause: 'vm.shut_down' },
  }),
  guestDoes({
    name: 'loses its QEMU in mid-transfer: undone, and it is off where it was',
    expected: { qemus: 0, observed: 'gone', moved: false, state: 'undone', cause: 'host.guest_lost' },
  }),
];
