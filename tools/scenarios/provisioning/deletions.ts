import { settles, type Claim } from '../claim.ts';
import { changes } from './inventory.ts';
import type { Lab } from './lab.ts';

const nothing = { processes: [], links: [], files: [], holds: [], room: [], addresses: [] };

const removed = (given: string, prepare: (lab: Lab) => ReturnType<Lab['vm']>): Claim => ({
  name: `a VM that ${given} is deleted: process, taps, disks, hold and addresses go with it`,
  see: async (lab) => {
    const vm = await prepare(lab);
    const taps = lab.outside.taps(vm);
    const before = (await lab.leftOf(vm, taps)).length;
    const end = await lab.remove(vm.vmId);
    lab.forget(vm.vmId);
    const expected = { there: true, ended: 'succeeded', state: 'deleted', left: [] };
    const look = async () => ({ there: before > 0, ended: end.state, state: await lab.stateOf(vm.vmId), left: await lab.leftOf(vm, taps) });
    return { vm, ...(await settles(expected, look)) };
  },
});

export const deletionClaims: readonly Claim[] = [
  removed('runs', (lab) => lab.running('linux')),
  removed('is stopped', (lab) => lab.stopped('tiny')),
  {
    name: 'all VMs are deleted: processes, interfaces, files, ledger and addresses are as before the first',
    see: async (lab) => {
      await lab.running('tiny', 'last');
      const full = changes(lab.bare, await lab.inventory());
      const { items } = await lab.api.get('/v1/vms', { query: { limit: '500' } });
      const ends = await Promise.all(items.filter((v) => v.state !== 'deleted').map((v) => lab.remove(v.vmId)));
      items.forEach((v) => lab.forget(v.vmId));
      const grown = Object.values(full).every((kind) => kind.length > 0);
      const expected = { grown: true, failed: 0, ...nothing };
      const look = async () => ({
        grown,
        failed: ends.filter((e) => e.state !== 'succeeded').length,
        ...changes(lab.bare, await lab.inventory()),
      });
      return settles(expected, look);
    },
  },
];
