import { settles, type Claim } from '../claim.ts';
import type { Lab } from './lab.ts';
import { pidsOf, refusal, sameQemu, served } from './look.ts';

/** A start by policy waits for 10 s, and looks each half second. */
const RESTARTED_MS = 40_000;
const restarts = (events: readonly string[]): number => events.filter((e) => e === 'vm.restart-planned').length;
/** A VM that is seen off has been looked at by its policy, and nothing is planned for it. */
const leftAlone = async (lab: Lab, vmId: string): Promise<boolean> => {
  const { rows } = await lab.db.query<{ waits: boolean }>('select look_at is not null as waits from provisioning.sightings where vm = $1', [
    vmId,
  ]);
  return rows.length === 1 && !rows[0]!.waits;
};

export const endingClaims: readonly Claim[] = [
  {
    name: 'the guest panics: its kernel restarts it, which is seen and counted, in the process that it had',
    see: async (lab) => {
      const vm = await lab.running('linux');
      const before = { pids: pidsOf(lab, vm), guest: await served(lab, vm), resets: (await lab.vm(vm.vmId)).observed?.resets ?? 0 };
      const asked = Date.now();
      await lab.outside.nmi(vm);
      await lab.until(
        'another boot',
        () => lab.outside.asks(vm),
        (g) => g !== undefined && g.bootId !== before.guest?.bootId,
        60_000,
      );
      const expected = {
        state: 'running',
        observed: 'running',
        moreResets: true,
        later: true,
        sameQemu: true,
      };
      const look = async () => {
        const { state, observed } = await lab.vm(vm.vmId);
        return {
          ...{ state, observed: observed?.state, moreResets: (observed?.resets ?? 0) > before.resets },
          later: Date.parse(observed?.lastResetAt ?? '') >= asked,
          sameQemu: sameQemu(before.pids, pidsOf(lab, vm)),
        };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'the guest restarts itself: seen and counted, in the process that it had',
    see: async (lab) => {
      const vm = await lab.running('restarts');
      const pids = pidsOf(lab, vm);
      const expected = {
        state: 'running',
        observed: 'running',
        resets: 1,
        boots: [1, 2],
        sameQemu: true,
      };
      const look = async () => {
        const { state, observed } = await lab.vm(vm.vmId);
        return {
          ...{ state, observed: observed?.state, resets: observed?.resets },
          ...{ boots: await lab.outside.boots(vm), sameQemu: sameQemu(pids, pidsOf(lab, vm)) },
        };
      };
      return { vm, ...(await settles(expected, look, 30_000)) };
    },
  },
  {
    name: 'its QEMU is killed by -9 under never: seen as gone, left off, and only a start fits',
    see: async (lab) => {
      const vm = await lab.running('tiny');
      await lab.policy(vm.vmId, 'never');
      for (const pid of pidsOf(lab, vm)) process.kill(pid, 'SIGKILL');
      const expected = {
        ...{ state: 'running', observed: 'gone', cause: 'vm.gone', qemus: 0, leftAlone: true, holds: 1, disks: 1 },
        reboot: { refused: 'vm.action_not_possible', status: 409, fits: ['start', 'stop'], instead: `vm start ${vm.vmId}` },
      };
      const look = async () => ({
        ...{ ...(await lab.shown(vm.vmId)), qemus: pidsOf(lab, vm).length, leftAlone: await leftAlone(lab, vm.vmId) },
        ...{ holds: await lab.holdsOf(vm.vmId), disks: lab.outside.disks(vm).length, reboot: await refusal(lab.act(vm.vmId, 'reboot')) },
      });
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'its QEMU is killed by -9 under on-failure: planned with its cause, and started again once, from its own disk',
    see: async (lab) => {
      const vm = await lab.running('tiny');
      await lab.policy(vm.vmId, 'on-failure');
      const boots = await lab.until(
        'its boots',
        () => lab.outside.boots(vm),
        (b) => b.length > 0,
      );
      const planned = restarts(await lab.events(vm.vmId));
      for (const pid of pidsOf(lab, vm)) process.kill(pid, 'SIGKILL');
      const off = await lab.until(
        'a plan',
        () => lab.vm(vm.vmId),
        (v) => v.restart?.dueAt !== undefined,
      );
      const expected = {
        cause: 'vm.gone',
        policy: 'on-failure',
        plans: 1,
        state: 'running',
        observed: 'running',
        qemus: 1,
        boots: [...boots, boots.length + 1],
      };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        const plans = restarts(await lab.events(vm.vmId)) - planned;
        return {
          ...{ cause: off.observed?.cause?.code, policy: off.restart?.policy, plans, state, observed },
          ...{ qemus: pidsOf(lab, vm).length, boots: await lab.outside.boots(vm) },
        };
      };
      const seen = await settles(expected, look, RESTARTED_MS);
      await lab.policy(vm.vmId, 'never');
      return { vm, ...seen };
    },
  },
  {
    name: 'the guest shuts itself down under on-failure: no failure, so it stays off, with its hold and its disk',
    see: async (lab) => {
      const vm = await lab.made('goes-off', 'on-failure');
      const expected = {
        state: 'running',
        observed: 'shut-down',
        cause: 'vm.shut_down',
        qemus: 0,
        plans: 0,
        leftAlone: true,
        holds: 1,
        disks: 1,
      };
      const look = async () => ({
        ...{ ...(await lab.shown(vm.vmId)), qemus: pidsOf(lab, vm).length, plans: restarts(await lab.events(vm.vmId)) },
        ...{ leftAlone: await leftAlone(lab, vm.vmId), holds: await lab.holdsOf(vm.vmId), disks: lab.outside.disks(vm).length },
      });
      return { vm, ...(await settles(expected, look, 30_000)) };
    },
  },
  {
    name: 'the guest shut itself down, and its policy becomes always: it is started again, from its own disk',
    see: async (lab) => {
      const vm = await lab.made('goes-off', 'on-failure');
      await lab.until(
        'it to go off',
        () => lab.shown(vm.vmId),
        (s) => s.observed === 'shut-down',
      );
      await lab.policy(vm.vmId, 'always');
      const expected = { policy: 'always', plans: 1, state: 'running', observed: 'running', qemus: 1, boots: [1, 2] };
      const look = async () => {
        const { state, observed, restart } = await lab.vm(vm.vmId);
        const plans = restarts(await lab.events(vm.vmId));
        return {
          policy: restart?.policy,
          plans,
          state,
          observed: observed?.state,
          qemus: pidsOf(lab, vm).length,
          boots: await lab.outside.boots(vm),
        };
      };
      return { vm, ...(await settles(expected, look, RESTARTED_MS)) };
    },
  },
];
