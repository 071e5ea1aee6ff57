import { settles, type Claim } from '../claim.ts';
import { acted, pidsOf, refusal, sameQemu, served } from './look.ts';

/** A guest that begins anew in the QEMU that it had. One that was asked to has written what it had; one that was reset need not have. */
const beginsAnew =
  (action: 'reboot' | 'reset', asked: object): Claim['see'] =>
  async (lab) => {
    const vm = await lab.running('linux');
    const before = { pids: pidsOf(lab, vm), guest: await served(lab, vm) };
    const done = await acted(lab, vm, action);
    const guest = await served(lab, vm);
    const expected = { ended: 'succeeded', state: 'running', observed: 'running', sameQemu: true, anotherBoot: true, ...asked };
    const look = async () => {
      const { state, observed } = await lab.shown(vm.vmId);
      const how = (await lab.vm(vm.vmId)).lastAction?.how;
      const dataKept = guest !== undefined && before.guest !== undefined && guest.requests > before.guest.requests;
      return {
        ...{ ...done, state, observed, sameQemu: sameQemu(before.pids, pidsOf(lab, vm)) },
        anotherBoot: guest !== undefined && before.guest !== undefined && guest.bootId !== before.guest.bootId,
        ...(action === 'reboot' ? { how, dataKept } : {}),
      };
    };
    return { vm, ...(await settles(expected, look)) };
  };

export const lifecycleClaims: readonly Claim[] = [
  {
    name: 'pause: the CPUs stand still on the host, and the guest answers nobody',
    see: async (lab) => {
      const vm = await lab.running('linux');
      const done = await acted(lab, vm, 'pause');
      const expected = { ended: 'succeeded', state: 'paused', observed: 'paused', cause: 'vm.stopped', cpus: ['paused'], serves: false };
      const look = async () => ({
        ...{ ...done, ...(await lab.shown(vm.vmId)), cpus: await lab.outside.cpus(vm) },
        serves: (await lab.outside.asks(vm)) !== undefined,
      });
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'what does not fit is refused with what would, and nothing changes: a reboot of a VM that is paused',
    see: async (lab) => {
      const vm = await lab.running('linux');
      await lab.act(vm.vmId, 'pause');
      const events = await lab.events(vm.vmId);
      const said = await refusal(lab.act(vm.vmId, 'reboot'));
      const observed = { ...said, cpus: await lab.outside.cpus(vm), newEvents: (await lab.events(vm.vmId)).length - events.length };
      return {
        vm,
        expected: {
          refused: 'vm.action_not_possible',
          status: 409,
          fits: ['resume'],
          instead: `vm resume ${vm.vmId}`,
          cpus: ['paused'],
          newEvents: 0,
        },
        observed,
      };
    },
  },
  {
    name: 'resume: the same boot of the same process goes on',
    see: async (lab) => {
      const vm = await lab.running('linux');
      const before = { pids: pidsOf(lab, vm), guest: await served(lab, vm) };
      await lab.act(vm.vmId, 'pause');
      const done = await acted(lab, vm, 'resume');
      const guest = await served(lab, vm);
      const expected = {
        ended: 'succeeded',
        state: 'running',
        observed: 'running',
        cpus: ['running'],
        sameQemu: true,
        sameBoot: true,
        ran: true,
      };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        return {
          ...{ ...done, state, observed, cpus: await lab.outside.cpus(vm) },
          sameQemu: sameQemu(before.pids, pidsOf(lab, vm)),
          sameBoot: guest !== undefined && guest.bootId === before.guest?.bootId,
          ran: guest !== undefined && guest.uptimeSeconds > (before.guest?.uptimeSeconds ?? Infinity),
        };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'reboot: by the guest’s agent, in the QEMU that it had, with its data',
    see: beginsAnew('reboot', { how: 'guest-agent', dataKept: true }),
  },
  { name: 'reset: the guest boots anew in the QEMU that it had', see: beginsAnew('reset', {}) },
  {
    name: 'stop: the guest’s agent shuts it down; process and taps go, disks and hold stay',
    see: async (lab) => {
      const vm = await lab.running('linux');
      const before = { taps: lab.outside.taps(vm), disks: lab.outside.disks(vm) };
      const done = await acted(lab, vm, 'stop');
      const expected = {
        ...{ ended: 'succeeded', how: 'guest-agent', state: 'stopped', observed: 'shut-down', cause: 'vm.off_as_told' },
        ...{ qemus: 0, tapsBefore: 2, taps: 0, disks: before.disks, holds: 1 },
      };
      const look = async () => {
        const links = await lab.outside.links();
        return {
          ...{ ...done, how: (await lab.vm(vm.vmId)).lastAction?.how, ...(await lab.shown(vm.vmId)) },
          ...{ qemus: pidsOf(lab, vm).length, tapsBefore: before.taps.length },
          taps: links.filter((l) => before.taps.some((t) => l.endsWith(` ${t}`))).length,
          ...{ disks: lab.outside.disks(vm), holds: await lab.holdsOf(vm.vmId) },
        };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'start: what was stopped comes up in a new process, with its address and its data',
    see: async (lab) => {
      const vm = await lab.stopped('linux');
      const before = lab.outside.answered(vm);
      const off = pidsOf(lab, vm).length;
      const done = await acted(lab, vm, 'start');
      const guest = await served(lab, vm);
      const expected = { off: 0, ended: 'succeeded', state: 'running', observed: 'running', qemus: 1, anotherBoot: true, dataKept: true };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        return {
          ...{ off, ...done, state, observed, qemus: pidsOf(lab, vm).length },
          anotherBoot: guest !== undefined && before !== undefined && guest.bootId !== before.bootId,
          dataKept: guest !== undefined && before !== undefined && guest.requests > before.requests,
        };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'stop of a guest that hears nobody ends in its time with a code, and the guest runs on',
    see: async (lab) => {
      const vm = await lab.running('tiny');
      const boots = await lab.outside.boots(vm);
      const done = await acted(lab, vm, 'stop', { timeoutMs: 1_000 });
      const expected = { ended: 'undone', code: 'host.guest_stays', state: 'running', observed: 'running', cpus: ['running'], boots };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        return { ...done, state, observed, cpus: await lab.outside.cpus(vm), boots: await lab.outside.boots(vm) };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'stop --force takes the power of a guest that hears nobody, and its next start boots from its own disk once more',
    see: async (lab) => {
      const vm = await lab.running('tiny');
      const boots = await lab.until(
        'its boots',
        () => lab.outside.boots(vm),
        (b) => b.length > 0,
      );
      const stop = await acted(lab, vm, 'stop', { force: true, timeoutMs: 1_000 });
      const { lastAction } = await lab.until(
        'the stop to be shown',
        () => lab.vm(vm.vmId),
        (v) => v.state === 'stopped',
      );
      const off = pidsOf(lab, vm).length;
      const start = await acted(lab, vm, 'start');
      const expected = {
        ...{ stop: { ended: 'succeeded' }, how: 'power-off', off: 0, start: { ended: 'succeeded' } },
        ...{ state: 'running', observed: 'running', boots: [...boots, boots.length + 1] },
      };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        return { stop, how: lastAction?.how, off, start, state, observed, boots: await lab.outside.boots(vm) };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
];
