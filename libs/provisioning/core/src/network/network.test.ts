import { describe, expect, test } from '@jest/globals';
import { addressOf, numberOf, rangeOf, type NetworkEvent } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import { networkDecider, type NetworkCommand } from './decider.ts';
import { initialNetwork } from './network.ts';

const n = 'chrysalis.provisioning.network.';
const networkId = 'network-0199c0de-0000-7000-8000-0000000000e1';
const data = { networkId, name: 'back', tenant: 'main', subnet: '10.7.0.0/29', vni: 4096, mtu: 1450 };
const created: NetworkEvent = { type: `${n}created.v1`, data };
const has = (vmId: string, address: string): NetworkEvent => ({ type: `${n}address-given.v1`, data: { networkId, vmId, address } });
const left = (vmId: string, address: string): NetworkEvent => ({ type: `${n}address-returned.v1`, data: { networkId, vmId, address } });
const network = (...events: NetworkEvent[]) => given(networkDecider, events);
const give = (vmId: string, address?: string): NetworkCommand => ({ type: 'give-address', networkId, vmId, address });

describe('a network', () => {
  test('is made once, with a subnet that a network can have', () => {
    network().when({ type: 'create', network: data }).then([created]);
    network(created).when({ type: 'create', network: data }).thenNothing();
    network(created)
      .when({ type: 'create', network: { ...data, subnet: '10.8.0.0/29' } })
      .thenRejected('network.conflict');
    network()
      .when({ type: 'create', network: data, other: { networkId: 'x', subnet: '10.7.0.0/16' } })
      .thenRejected('network.subnet_overlaps');
    for (const subnet of ['10.7.0.1/24', '10.0.0.0/8', '10.7.0.0/30', '127.0.0.0/24', '169.254.7.0/24', '224.0.0.0/24', '0.0.0.0/16'])
      network()
        .when({ type: 'create', network: { ...data, subnet } })
        .thenRejected('network.subnet_unusable');
  });

  test('gives an address to one VM at a time, the next that is free, and again as late as can be', () => {
    network(created)
      .when(give('a'))
      .then([has('a', '10.7.0.2')]);
    network(created, has('a', '10.7.0.2')).when(give('a')).thenNothing();
    network(created, has('a', '10.7.0.2'), left('a', '10.7.0.2'))
      .when(give('b'))
      .then([has('b', '10.7.0.3')]);
    network(created, has('a', '10.7.0.6'))
      .when(give('b'))
      .then([has('b', '10.7.0.2')]);
    const all = [2, 3, 4, 5, 6].map((i) => has(`vm-${i}`, `10.7.0.${i}`));
    network(created, ...all)
      .when(give('b'))
      .thenRejected('network.addresses_exhausted');
    network(created, ...all, left('vm-4', '10.7.0.4'))
      .when(give('b'))
      .then([has('b', '10.7.0.4')]);
  });

  test('gives the one that is asked for, where it is anybody’s to have', () => {
    network(created)
      .when(give('a', '10.7.0.5'))
      .then([has('a', '10.7.0.5')]);
    network(created).when(give('a', '10.7.1.5')).thenRejected('network.address_outside');
    for (const i of [0, 1, 7])
      network(created)
        .when(give('a', `10.7.0.${i}`))
        .thenRejected('network.address_reserved');
    network(created, has('b', '10.7.0.5')).when(give('a', '10.7.0.5')).thenRejected('network.address_taken');
    network(created, has('a', '10.7.0.5')).when(give('a', '10.7.0.5')).thenNothing();
    network(created, has('a', '10.7.0.5'), has('b', '10.7.0.4')).when(give('a', '10.7.0.4')).thenRejected('network.joined', { vmId: 'a', address: '10.7.0.5', requested: '10.7.0.4' }); // prettier-ignore
    network(created, has('a', '10.7.0.5')).when(give('a', '10.7.0.6')).thenRejected('network.joined', { address: '10.7.0.5' });
    network().when(give('a')).thenRejected('network.unknown');
  });

  test('takes an address back once, and goes when nobody has one', () => {
    network(created, has('a', '10.7.0.2'))
      .when({ type: 'return-address', networkId, vmId: 'a' })
      .then([left('a', '10.7.0.2')]);
    network(created).when({ type: 'return-address', networkId, vmId: 'a' }).thenNothing();
    const gone: NetworkEvent = { type: `${n}deleted.v1`, data: { networkId } };
    network(created, has('a', '10.7.0.2')).when({ type: 'delete', networkId }).thenRejected('network.in_use');
    network(created).when({ type: 'delete', networkId }).then([gone]);
    network(created, gone).when({ type: 'delete', networkId }).thenNothing();
    network(created, gone).when(give('a')).thenRejected('network.unknown');
    network().when({ type: 'delete', networkId }).thenRejected('network.unknown');
  });

  test('keeps an address for whichever VM, gives it to none, and does not go while one is kept', () => {
    const reserve = (addressId: string, address?: string): NetworkCommand => ({ type: 'reserve-address', networkId, addressId, address });
    const kept = (addressId: string, address: string): NetworkEvent => ({ type: `${n}address-reserved.v1`, data: { networkId, addressId, address } }); // prettier-ignore
    const released: NetworkEvent = { type: `${n}address-released.v1`, data: { networkId, addressId: 'r', address: '10.7.0.2' } };
    network(created)
      .when(reserve('r'))
      .then([kept('r', '10.7.0.2')]);
    network(created, kept('r', '10.7.0.2')).when(reserve('r')).thenNothing();
    network(created, kept('r', '10.7.0.2')).when(reserve('r', '10.7.0.3')).thenRejected('network.address_taken', { addressId: 'r' });
    network(created, kept('r', '10.7.0.2')).when(give('a', '10.7.0.2')).thenRejected('network.address_taken', { addressId: 'r' });
    network(created, has('a', '10.7.0.2')).when(reserve('r', '10.7.0.2')).thenRejected('network.address_taken', { vmId: 'a' });
    network(created).when(reserve('r', '10.7.0.1')).thenRejected('network.address_reserved');
    network(created).when(reserve('r', '10.8.0.1')).thenRejected('network.address_outside');
    network(created, kept('r', '10.7.0.2'))
      .when(give('a'))
      .then([has('a', '10.7.0.3')]);
    network(created, kept('r', '10.7.0.2')).when({ type: 'delete', networkId }).thenRejected('network.in_use', { reserved: 1, vms: 0 });
    network(created, kept('r', '10.7.0.2')).when({ type: 'release-address', networkId, addressId: 'r' }).then([released]);
    network(created).when({ type: 'release-address', networkId, addressId: 'r' }).thenNothing();
    network(created, kept('r', '10.7.0.2'), released)
      .when({ type: 'delete', networkId })
      .then([{ type: `${n}deleted.v1`, data: { networkId } }]);
  });

  test('never gives one address to two, nor one that is reserved, whatever is asked in whatever order', () => {
    const vm = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g');
    const asked = fc.oneof(
      fc.record({ vm, address: fc.option(fc.integer({ min: -2, max: 9 }), { nil: undefined }) }),
      fc.record({ vm, leaves: fc.constant(true) }),
    );
    const { first, last } = rangeOf(data.subnet);
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 40 }), (all) => {
        let state = fold(networkDecider.evolve, initialNetwork, [created]);
        const owners = new Map<string, string>();
        for (const one of all) {
          const command: NetworkCommand =
            'leaves' in one
              ? { type: 'return-address', networkId, vmId: one.vm }
              : give(one.vm, one.address === undefined ? undefined : addressOf(first + one.address));
          const decided = networkDecider.decide(command, state);
          if (!decided.ok) continue;
          state = fold(networkDecider.evolve, state, decided.events);
          for (const e of decided.events) {
            if (e.type === `${n}address-given.v1`) {
              expect(owners.has(e.data.address)).toBe(false);
              expect(numberOf(e.data.address)).toBeGreaterThan(first + 1);
              expect(numberOf(e.data.address)).toBeLessThan(last);
              owners.set(e.data.address, e.data.vmId);
            }
            if (e.type === `${n}address-returned.v1`) owners.delete(e.data.address);
          }
        }
        expect(new Set(owners.values()).size).toBe(owners.size);
      }),
    );
  });
});
