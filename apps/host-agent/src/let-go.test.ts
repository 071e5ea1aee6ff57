import { randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { diskSerial, hostTasks, volumeFile, volumeHostTasks, type TaskContract, type TaskDispatch } from '@chrysalis/contracts';
import { SimulatedDriver, SimulatedWorld, VirtualClock, type BootSpec } from '@chrysalis/hypervisor';
import { causeOf } from './execution/cause.ts';
import { nicHandlers } from './nics.ts';
import type { HandlerContext } from './tasks/handler-context.ts';
import { digest } from './test/fixtures.ts';
import { volumeHandlers } from './volumes/tasks.ts';

const vmId = 'vm-silent';
const on = { vmId, epoch: 1 };
const GUEST_MS = 60_000;
const networkId = `network-${randomUUID()}`;
const volumeId = `volume-${randomUUID()}`;
const segment = { vni: 4_096, subnet: '10.7.0.0/24', address: '10.7.0.2', mtu: 1_450, allow: [] };
const nic = { id: networkId, network: networkId, mac: '52:54:00:01:10:01', segment };
const disk = { id: volumeId, serial: diskSerial(volumeId), sizeMiB: 16, format: 'qcow2', pool: 'shared', volume: volumeFile(volumeId), readOnly: false }; // prettier-ignore

/** A running VM with a NIC and a volume, on a host whose clock is virtual. */
const host = async () => {
  const clock = new VirtualClock();
  const driver = new SimulatedDriver({ host: 'a', world: new SimulatedWorld({ clock, seed: 1, newBootId: randomUUID }) });
  const spec = { vcpus: { now: 1, max: 2 }, memoryMiB: { now: 512, max: 1024 }, disks: [], nics: [], cpuModel: 'Westmere', requiredTraits: [] }; // prettier-ignore
  const image = { name: 'linux', version: 1, digest: digest('a'), cmdline: '' };
  await driver.boot({ vmId, uuid: randomUUID(), tenant: 'acme', spec, image, nics: [], pool: 'shared' } as BootSpec);
  await driver.createVolume({ pool: 'shared', volume: disk.volume, format: 'qcow2', sizeMiB: 16, signal: new AbortController().signal });
  const guests = { macs: async () => undefined, disks: async () => undefined, diskUse: async () => undefined };
  const context = { driver, guests, now: () => clock.now() } as unknown as HandlerContext;
  const handlers = [...nicHandlers(context), ...volumeHandlers(context, async () => undefined)];
  const run = async (contract: TaskContract, input: object, action: TaskDispatch['action'] = 'run') =>
    handlers
      .find((h) => h.contract.kind === contract.kind)!
      .run({ ...on, ...input } as never, {
        ...{ dispatch: { action } as TaskDispatch, key: 'k', signal: new AbortController().signal },
        deadlineAt: clock.now() + GUEST_MS,
      });
  await driver.plug(vmId, { kind: 'nic', ...nic, port: 1 });
  await driver.plug(vmId, { kind: 'disk', ...(disk as object), port: 2 } as Parameters<typeof driver.plug>[1]);
  return { clock, driver, run };
};

test.each([
  ['a NIC', hostTasks.detachNic, { nic: networkId }],
  ['a volume', volumeHostTasks.detachVolume, { disk: volumeId, force: true }],
])('a guest that does not let go of %s is asked once by a run, and again by an undo', async (_, contract, input) => {
  const { clock, driver, run } = await host();
  driver.simulatedGuest(vmId).behave({ unplug: 'silent' });
  const began = clock.now();
  const failed = async (action: TaskDispatch['action']) =>
    run(contract, input, action).then(
      () => undefined,
      (error: unknown) => causeOf(error),
    );
  expect(await failed('run')).toMatchObject({ code: 'hypervisor.unplug_timeout', retriable: false, detail: { deadlineMs: 59_000 } });
  expect(clock.now() - began).toBe(59_000);
  expect(await failed('compensate')).toMatchObject({ code: 'hypervisor.unplug_timeout', retriable: true });
  driver.simulatedGuest(vmId).behave({ unplug: 'refuses' });
  expect(await failed('run')).toMatchObject({ code: 'hypervisor.unplug_refused', retriable: false });
  // It let go after all: the next try goes through, and one more has nothing to do.
  driver.simulatedGuest(vmId).behave({ unplug: 'agrees' });
  for (const __ of [1, 2]) await run(contract, input);
  const { topology } = await driver.status(vmId);
  expect([...topology.nics, ...topology.disks].map((d) => d.id)).toEqual([contract === hostTasks.detachNic ? volumeId : networkId]);
});
