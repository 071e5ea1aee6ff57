import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import type { HypervisorDriver, VmStatus } from '@chrysalis/hypervisor';
import { QemuGuests } from './qemu-guests.ts';

test('however many ask a guest at once, its port has one client', async () => {
  let opened = 0;
  const driver = {
    status: async () => ({ state: 'running', running: true, migrating: false }) as VmStatus,
    openSerialPort: async () => {
      opened++;
      return new PassThrough().end(); // a guest that hangs up
    },
  } as unknown as HypervisorDriver;
  const guests = new QemuGuests(driver, {});
  expect(await Promise.all(Array.from({ length: 10 }, () => guests.answers('vm-1')))).toEqual(Array(10).fill(false));
  expect(opened).toBe(1);
});

test('an agent that could not be added to a VM that is off has nothing to be taken out; one that is plugged has', async () => {
  const shaped = (serialPorts: object[]) => ({ topology: { disks: [], serialPorts }, topologyHash: 'sha256:x' });
  const off = (serialPorts: object[]) =>
    new QemuGuests(
      {
        status: async () => ({ state: 'halted', running: false, ...shaped(serialPorts) }) as unknown as VmStatus,
        openSerialPort: () => Promise.reject(new Error('nobody listens')),
      } as unknown as HypervisorDriver,
      {},
    ).removeAgent('vm-1', 1_000);
  expect(await off([{ id: 'qga' }])).toEqual(shaped([{ id: 'qga' }]));
  await expect(off([{ id: 'qga' }, { id: 'agent' }])).rejects.toThrow('nobody listens');
});

test('a guest that does not run here is not asked', async () => {
  const driver = {
    status: async () => ({ state: 'paused', running: false, migrating: false }) as VmStatus,
    openSerialPort: () => Promise.reject(new Error('nobody may ask')),
  } as unknown as HypervisorDriver;
  expect(await new QemuGuests(driver, {}).answers('vm-1')).toBe(false);
});
