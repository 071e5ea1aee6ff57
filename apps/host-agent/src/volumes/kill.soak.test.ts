import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { diskSerial, hostTasks, volumeFile, volumeHostTasks as tasks, type TaskContract } from '@chrysalis/contracts';
import { digest } from '../test/fixtures.ts';
import { Fleet } from '../test/fleet.ts';

const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 512, max: 1024 },
  disks: [],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const image = { name: 'linux', version: 1, digest: digest('a'), cmdline: '' };

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.open();
  await fleet.host({ hostId: 'h1', driver: 'simulated' });
});
afterAll(() => fleet.stop());

test.each(['before', 'after'])('an agent killed %s each task of a volume has done it when it is back', async (side) => {
  const id = `volume-${randomUUID()}`;
  const file = { pool: 'shared', volume: volumeFile(id) };
  const disk = { id, serial: diskSerial(id), sizeMiB: 16, format: 'qcow2', readOnly: false, ...file };
  const on = { vmId: `vm-killed-${side}`, epoch: 1 };
  await fleet.must(hostTasks.bootVm, 'h1', {
    ...on,
    uuid: randomUUID(),
    tenant: 'acme',
    spec,
    image,
    nics: [],
    pool: 'shared',
    waitForGuest: true,
  });
  const all: [TaskContract, Record<string, unknown>][] = [
    [tasks.createVolume, { ...file, sizeMiB: 16 }],
    [tasks.attachVolume, { ...on, disk }],
    [tasks.growAttachedVolume, { ...on, disk: id, sizeMiB: 32 }],
    [tasks.detachVolume, { ...on, disk: id, force: false }],
    [tasks.growVolume, { ...file, sizeMiB: 64 }],
    [tasks.deleteVolume, file],
  ];
  for (const [contract, input] of all) {
    fleet.fail({ [`task:${contract.kind}:${side}`]: { action: 'exit', where: { hostId: 'h1' } } });
    const task = await fleet.begin(contract, 'h1', input);
    await fleet.ended('h1');
    fleet.fail({});
    await fleet.start('h1');
    expect(await fleet.reported(task)).toMatchObject({ ok: true });
  }
});
