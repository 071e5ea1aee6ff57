import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createQcow2, sealed } from '@chrysalis/testing/qcow2';
import { settles, type Claim } from '../claim.ts';
import { digestOf, upload } from './guests.ts';
import type { VmView } from '../../fleet/story.ts';
import type { Lab } from './lab.ts';
import { refusal } from './look.ts';

/** How many files of this content each host has in its store of disks. */
const storedAt = (lab: Lab, digest: string): number[] =>
  lab.run.hosts.agents.map(({ stateDir }) => {
    const store = path.join(stateDir, 'images');
    return readdirSync(store).filter((f) => f.endsWith('.img') && digestOf(readFileSync(path.join(store, f))) === digest).length;
  });

/** Disks that no host may open: made by `qemu-img`, each with what is wrong with it. */
const hostile: Readonly<Record<string, { readonly options: readonly string[]; readonly size: string; readonly code: string }>> = {
  'a backing file': { options: ['-b', '/etc/passwd', '-F', 'raw'], size: '1M', code: 'image-file.unsafe' },
  'a data file elsewhere': { options: ['-o', 'data_file=elsewhere.raw'], size: '1M', code: 'image-file.unsafe' },
  encryption: { options: sealed, size: '1M', code: 'image-file.unsafe' },
  '1 TiB in a few KiB': { options: [], size: '1T', code: 'image-file.too_large' },
};
const made = (options: readonly string[], size: string): Buffer => {
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-hostile-'));
  try {
    createQcow2('disk', size, options, dir);
    return readFileSync(path.join(dir, 'disk'));
  } finally {
    rmSync(dir, { recursive: true });
  }
};

/** To the other host, live. */
const moved = async (lab: Lab, vm: VmView): Promise<{ ended: string; vm: VmView }> => {
  const plan = await lab.api.post('/v1/migration-plans', { body: { vmIds: [vm.vmId], to: 'tiny' } });
  const { operation } = await lab.api.post('/v1/migrations', { body: { planId: plan.planId } });
  const { state: ended } = await lab.ended(String(operation));
  return {
    ended,
    vm: await lab.until(
      'its new host',
      () => lab.vm(vm.vmId),
      (v) => v.hostId !== vm.hostId,
    ),
  };
};

const byUefi: Claim['see'] = async (lab) => {
  const vm = await lab.running('uefi');
  const counted = async (n: number): Promise<number> => {
    const look = async (): Promise<number> => lab.outside.bootsByVariables(await lab.vm(vm.vmId));
    return lab.until(`boot ${n} of a guest of UEFI`, look, (seen) => seen >= n, 60_000);
  };
  const boots = [await counted(1)];
  const taps = lab.outside.taps(vm);
  const there = await moved(lab, vm);
  await lab.act(vm.vmId, 'reset');
  boots.push(await counted(2));
  await lab.act(vm.vmId, 'stop', { force: true, timeoutMs: 1_000 });
  await lab.act(vm.vmId, 'start');
  boots.push(await counted(3));
  const flashes = lab.outside.processes(vm).map((q) => q.argv.some((a) => a.includes('pflash0=')));
  const [before, gone] = [[...taps, ...lab.outside.taps(vm)], await lab.remove(vm.vmId)];
  lab.forget(vm.vmId);
  const left = await lab.leftOf(vm, before);
  const observed = { move: there.ended, boots, flashes, gone: gone.state, left };
  return { expected: { move: 'succeeded', boots: [1, 2, 3], flashes: [true], gone: 'succeeded', left: [] }, observed };
};

export const imageClaims: readonly Claim[] = [
  {
    name: 'hostile disks are refused with a code, and none is in the depot: a backing file, a file elsewhere, encryption, 1 TiB in a few KiB',
    see: async (lab) => {
      const before = lab.depot();
      const expected = { ...Object.fromEntries(Object.entries(hostile).map(([what, { code }]) => [what, code])), left: [] };
      const observed: Record<string, unknown> = {};
      for (const [what, { options, size }] of Object.entries(hostile)) {
        const said = await refusal(upload(lab.api, made(options, size), 'qcow2'));
        observed[what] = (said as { refused: string }).refused;
      }
      return { expected, observed: { ...observed, left: lab.depot().filter((f) => !before.includes(f)) } };
    },
  },
  {
    name: 'a VM of an image of kind kernel boots, and its guest serves',
    see: async (lab) => {
      const vm = await lab.running('linux');
      const expected = {
        ...{ state: 'running', observed: 'running', qemus: 1, cpus: ['running'], withKernel: true, taps: 2, serves: true },
        host: lab.host.hostId,
      };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        const qemus = lab.outside.processes(vm);
        return {
          ...{ state, observed, qemus: qemus.length, cpus: await lab.outside.cpus(vm) },
          ...{ withKernel: qemus.every((q) => q.argv.includes('-kernel')), taps: lab.outside.taps(vm).length },
          ...{ serves: (await lab.outside.asks(vm)) !== undefined, host: vm.hostId },
        };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'a VM of an image of kind disk boots: uploaded in pieces, fetched by its host once, and a copy of its own',
    see: async (lab) => {
      const vm = await lab.running('tiny');
      const { digest, pieces, state: depot } = lab.images.find((i) => i.image === 'tiny')!;
      const expected = {
        ...{ pieces: 2, depot: 'whole', stored: [1, 0], state: 'running', observed: 'running', boots: [1], withKernel: false, disks: 1 },
      };
      const look = async () => {
        const { state, observed } = await lab.shown(vm.vmId);
        const withKernel = lab.outside.processes(vm).some((q) => q.argv.includes('-kernel'));
        return {
          ...{ pieces, depot, stored: storedAt(lab, digest), state, observed, boots: await lab.outside.boots(vm), withKernel },
          disks: lab.outside.disks(vm).length,
        };
      };
      return { vm, ...(await settles(expected, look)) };
    },
  },
  {
    name: 'a VM that boots by UEFI has its variables after a reset at the target of a move and after a stop, and they go with it',
    see: byUefi,
  },
];
