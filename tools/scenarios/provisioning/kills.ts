import { settles, type Claim } from '../claim.ts';
import { pidsOf } from './look.ts';

type Who = 'host agent' | 'provisioning';
type Moment = { readonly point: string; readonly where?: Readonly<Record<string, string>>; readonly said: string };

const named = (who: Who, when: string): string => `killed-${who === 'provisioning' ? 'provisioning' : 'agent'}-${when}`;

/** A VM is asked for, and at a moment of its making somebody dies: the one VM that was asked for is there, once. */
const create = (who: Who, { point, where = {}, said }: Moment, name: string): Claim => ({
  name: `kill -9 of ${who} in the middle of a create (${said}): one VM, made once`,
  see: async (lab) => {
    const { killed, done } = await lab.killedAt(who, point, where, () => lab.create('tiny', { name }));
    lab.share(name, done.vmId);
    const vm = await lab.vm(done.vmId);
    const expected = {
      killed: true,
      ended: 'succeeded',
      vms: 1,
      state: 'running',
      observed: 'running',
      qemus: 1,
      boots: [1],
      disks: 1,
      holds: 1,
      addresses: 1,
    };
    const look = async () => {
      const { state, observed } = await lab.shown(vm.vmId);
      const { rows } = await lab.db.query("select 1 from provisioning.vms where view ->> 'name' = $1", [name]);
      return {
        ...{ killed, ended: done.end.state, vms: rows.length, state, observed, qemus: lab.outside.qemusOf(vm.vmId).length },
        ...{ boots: await lab.outside.boots(await lab.vm(vm.vmId)), disks: lab.outside.disks(vm).length },
        ...{ holds: await lab.holdsOf(vm.vmId), addresses: await lab.addressesOf(vm.vmId) },
      };
    };
    return { vm, ...(await settles(expected, look)) };
  },
});

/** The stop is done once its killed part is there again; the VM keeps what it is to keep, and can be started. */
const stop = (who: Who, { point, where = {}, said }: Moment, name: string): Claim => ({
  name: `kill -9 of ${who} in the middle of a stop (${said}): off, as told, and able to start`,
  see: async (lab) => {
    const vm = await lab.running('tiny', name);
    const boots = await lab.until(
      'its boots',
      () => lab.outside.boots(vm),
      (b) => b.length > 0,
    );
    const { killed, done } = await lab.killedAt(who, point, where, () => lab.act(vm.vmId, 'stop', { force: true, timeoutMs: 1_000 }));
    const off = { state: 'stopped', observed: 'shut-down', cause: 'vm.off_as_told', qemus: 0, disks: 1, holds: 1 };
    const expected = { killed: true, ended: 'succeeded', off, again: 'succeeded', boots: [...boots, boots.length + 1] };
    const seen = await settles(off, async () => ({
      ...{ ...(await lab.shown(vm.vmId)), qemus: pidsOf(lab, vm).length },
      ...{ disks: lab.outside.disks(vm).length, holds: await lab.holdsOf(vm.vmId) },
    }));
    const again = await lab.act(vm.vmId, 'start');
    const look = async () => ({ killed, ended: done?.state, off: seen.observed, again: again?.state, boots: await lab.outside.boots(vm) });
    return { vm, ...(await settles(expected, look)) };
  },
});

/** What was asked to go is gone, with all that was its own. */
const remove = (who: Who, { point, where = {}, said }: Moment, name: string): Claim => ({
  name: `kill -9 of ${who} in the middle of a delete (${said}): nothing of the VM is left`,
  see: async (lab) => {
    const vm = await lab.running('tiny', name);
    const taps = lab.outside.taps(vm);
    const there = (await lab.leftOf(vm, taps)).length > 0;
    const { killed, done } = await lab.killedAt(who, point, where, () => lab.remove(vm.vmId));
    lab.forget(vm.vmId);
    const expected = { there: true, killed: true, ended: 'succeeded', state: 'deleted', left: [] };
    const look = async () => ({ there, killed, ended: done.state, state: await lab.stateOf(vm.vmId), left: await lab.leftOf(vm, taps) });
    return { vm, ...(await settles(expected, look)) };
  },
});

const agent = named('host agent', 'tiny');
const service = named('provisioning', 'tiny');

export const killClaims: readonly Claim[] = [
  create('host agent', { point: 'task:host.boot-vm:before', said: 'before its QEMU is started' }, named('host agent', 'early')),
  create('host agent', { point: 'task:host.boot-vm:after', said: 'it runs, and nobody has been told' }, agent),
  stop('host agent', { point: 'task:host.stop-vm:after', said: 'it is off, and nobody has been told' }, agent),
  remove('host agent', { point: 'task:host.destroy-vm:after', said: 'it is gone, and nobody has been told' }, agent),
  create(
    'provisioning',
    { point: 'vm:appended', where: { command: 'request' }, said: 'asked for, and not committed' },
    named('provisioning', 'early'),
  ),
  create('provisioning', { point: 'task:vm.record-boot:before', said: 'it runs, and is not recorded' }, service),
  stop('provisioning', { point: 'task:vm.record-action:after', said: 'it is off; the record is not committed' }, service),
  remove('provisioning', { point: 'task:vm.record-deleted:after', said: 'it is gone; the record is not committed' }, service),
];
