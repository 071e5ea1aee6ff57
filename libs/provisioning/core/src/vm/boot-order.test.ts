import { describe, expect, test } from '@jest/globals';
import {
  bootingFrom,
  bootOrderOf,
  diskSerial,
  pendingOf,
  plugged,
  topologyHash,
  vcpusOf,
  type Nic,
  type Topology,
} from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import { bareTopology } from '@chrysalis/testing/topology';
import fc from 'fast-check';
import { vmDecider, type VmEvent } from '../index.ts';
import { image, p, runningVm, uuid, vmId } from '../test/running-vm.ts';

const disk = (id: string, port: number): Topology['disks'][number] => ({ id, port, serial: diskSerial(id), sizeMiB: 16, format: 'qcow2', pool: 'shared', volume: `${id}.qcow2`, readOnly: false }); // prettier-ignore
const nic: Nic = { id: 'front', port: 5, mac: '52:54:00:00:10:01', network: 'front' };
const diskImage = { ...image, cmdline: '', disk: { format: 'raw' as const, sizeMiB: 16 } };
const disks = [disk('root', 0), disk('data', 1), { ...disk('chrysalis.seed', 2), readOnly: true }];
const bios = bareTopology({ uuid, image: diskImage, disks, nics: [nic] });
const uefi = { ...bios, uefi: { pool: 'shared', volume: 'vm-1.uefi.fd' } };

const spec = { vcpus: { now: vcpusOf(bios), max: 4 } };
const type = `${p}reconfigured.v1` as const;
const order = (...bootOrder: string[]) => ({ type: 'reconfigure', vmId, bootOrder }) as const;
const vm = (topology: Topology): VmEvent[] => [
  ...runningVm('2026-01-01T00:00:00.000Z').map((e) => (e.type === `${p}requested.v1` ? { ...e, data: { ...e.data, image: topology.image } } : e) as VmEvent),
  { type: `${p}topology-changed.v1`, data: { vmId, topology, topologyHash: topologyHash(topology), reason: 'test' } },
]; // prettier-ignore
const said = (...bootOrder: string[]): VmEvent => ({ type, data: { vmId, bootOrder } });

describe('what a VM boots from', () => {
  test('is what it has, and changes once; none named is as its image has it', () => {
    given(vmDecider, vm(bios)).when(order('data', 'root')).then([said('data', 'root')]); // prettier-ignore
    given(vmDecider, [...vm(bios), said('data')]).when(order('data')).thenNothing(); // prettier-ignore
    given(vmDecider, vm(bios)).when(order()).thenNothing();
    given(vmDecider, [...vm(bios), said('data')]).when(order()).then([said()]); // prettier-ignore
    given(vmDecider, vm(uefi)).when(order('front', 'root')).then([said('front', 'root')]); // prettier-ignore
  });

  test('is not what it has not, nor what its firmware cannot; a kernel boots from no device', () => {
    given(vmDecider, vm(bios)).when(order('root', 'ghost')).thenRejected('vm.boot_device_unknown', { device: 'ghost' });
    given(vmDecider, vm(bios)).when(order('chrysalis.seed')).thenRejected('vm.boot_device_unknown');
    given(vmDecider, vm(bios)).when(order('front')).thenRejected('vm.boot_device_unfit');
    given(vmDecider, runningVm('2026-01-01T00:00:00.000Z')).when(order('data')).thenRejected('vm.boots_kernel');
    given(vmDecider, vm(bios).slice(0, 2)).when(order('data')).thenRejected('vm.not_ready');
  });
});

test('pending is what its next start has and this life has not; started so there is none, and a device that is gone is passed over', () => {
  const ids = ['root', 'data', 'front', 'ghost'];
  fc.assert(
    fc.property(fc.array(fc.uniqueArray(fc.constantFrom(...ids)), { maxLength: 5 }), fc.constantFrom(bios, uefi), (orders, first) => {
      let topology: Topology = first;
      for (const bootOrder of orders) {
        const pending = pendingOf({ bootOrder, topology, spec }, false);
        const next = bootingFrom(topology, bootOrder);
        expect(pending).toHaveLength(topologyHash(next) === topologyHash(topology) ? 0 : pending.length);
        expect(pending.map((one) => [one.what, one.next])).toEqual(pending.length ? [['boot-order', bootOrderOf(next).join(',')]] : []);
        expect(pending.length > 0).toBe(bootOrderOf(next).join() !== bootOrderOf(topology).join());
        expect([pendingOf({ bootOrder, topology, spec }, true), pendingOf({ topology, spec }, false), pendingOf({ bootOrder, topology: next, spec }, false)]).toEqual([[], [], []]); // prettier-ignore
        expect(bootOrderOf(next).every((id) => [...next.disks, ...next.nics].some((d) => d.id === id))).toBe(true);
        topology = next;
      }
    }),
  );
});

test('CPUs that its type lacks are pending while it runs, beside its boot order, and not of a type that has them all', () => {
  const topology = plugged(bios, { kind: 'cpu', id: 'cpu1', coreId: 1 });
  const now = vcpusOf(topology);
  const of = (vcpus: number, off = false) => pendingOf({ topology, spec: { vcpus: { now: vcpus, max: 4 } } }, off);
  expect(of(now - 1)).toMatchObject([{ what: 'vcpus', now: `${now}, 1 of them offline`, next: `${now - 1}` }]);
  expect([of(now), of(now + 1), of(now - 1, true)]).toEqual([[], [], []]);
  expect(pendingOf({ topology, bootOrder: ['data'], spec: { vcpus: { now: now - 1, max: 4 } } }, false)).toHaveLength(2);
});
