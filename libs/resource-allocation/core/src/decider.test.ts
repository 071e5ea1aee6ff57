import { describe, expect, test } from '@jest/globals';
import { resources, type Amounts, type HostFacts, type HostState } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { capacityOf } from '@chrysalis/placement';
import fc from 'fast-check';
import { given } from '@chrysalis/testing/decider';
import { Fleet, heldInAll, hostDecider, moveConsumer, vmConsumer, type Host, type HostCommand, type HostEvent } from './index.ts';

const whole = (total: number, max = 1_000_000) => ({ total, reserved: 0, ratioPerMille: 1000, min: 1, max, step: 1 });
const facts = (over: Partial<HostFacts> = {}): HostFacts => ({
  hostId: 'h1',
  address: '192.0.2.1:1',
  place: { site: 's', room: 'r', rack: 'k' },
  driver: 'simulated',
  accelerator: 'none',
  hypervisorVersion: '1',
  cpuModels: ['Westmere'],
  machineTypes: ['pc-q35-7.2'],
  traits: [],
  storagePools: ['local'],
  networks: ['front'],
  inventory: { vcpu: whole(4), memoryMiB: whole(4096), diskMiB: whole(10_000, 5000) },
  ...over,
});
const registered: HostEvent = { type: 'chrysalis.resource-allocation.host.registered.v1', data: { facts: facts() } };
const small: Amounts = { vcpu: 1, memoryMiB: 512, diskMiB: 1000 };
const large: Amounts = { vcpu: 2, memoryMiB: 1024, diskMiB: 2000 };
const held = (consumer: { kind: 'vm' | 'move'; id: string }, vmId: string, amounts: Amounts): HostEvent => ({
  type: 'chrysalis.resource-allocation.allocation.held.v1',
  data: { hostId: 'h1', consumer, vmId, amounts },
});
const inState = (to: HostState): HostEvent => ({
  type: 'chrysalis.resource-allocation.host.state-changed.v1',
  data: { hostId: 'h1', from: 'enabled', to, reason: 'test' },
});
const holdVm = (vmId: string, amounts = small): HostCommand => ({ type: 'hold', hostId: 'h1', consumer: vmConsumer(vmId), vmId, amounts });
const holdMove = (moveId: string, vmId: string, amounts = large): HostCommand => ({
  type: 'hold',
  hostId: 'h1',
  consumer: moveConsumer(moveId),
  vmId,
  amounts,
});
const swapped = (amounts: Amounts): HostEvent => ({
  type: 'chrysalis.resource-allocation.allocation.swapped.v1',
  data: { hostId: 'h1', moveId: 'm1', vmId: 'a', amounts },
});
const swapOf = (amounts: Amounts): HostCommand => ({ type: 'swap', hostId: 'h1', moveId: 'm1', vmId: 'a', amounts });

describe('facts', () => {
  test('the first report registers, an equal one says nothing, another one changes', () => {
    given(hostDecider).when({ type: 'report-facts', facts: facts() }).then([registered]);
    given(hostDecider, [registered]).when({ type: 'report-facts', facts: facts() }).thenNothing();
    const moved = facts({ address: '192.0.2.2:1' });
    given(hostDecider, [registered])
      .when({ type: 'report-facts', facts: moved })
      .then([{ type: 'chrysalis.resource-allocation.host.facts-changed.v1', data: { facts: moved } }]);
  });
  test('facts below what is held are taken, and further holds refused', () => {
    const less = facts({ inventory: { ...facts().inventory, vcpu: whole(1) } });
    const full = [registered, held(vmConsumer('a'), 'a', large)];
    const [changed] = [{ type: 'chrysalis.resource-allocation.host.facts-changed.v1' as const, data: { facts: less } }];
    given(hostDecider, full).when({ type: 'report-facts', facts: less }).then([changed]);
    given(hostDecider, [...full, changed])
      .when(holdVm('b'))
      .thenRejected('host.capacity_exceeded', { shortages: [{ resource: 'vcpu', requested: 1, free: -1, capacity: 1 }] });
  });
});

describe('state', () => {
  test('changes once, and only on a host that is known', () => {
    given(hostDecider, [registered])
      .when({ type: 'change-state', hostId: 'h1', to: 'draining', reason: 'test' })
      .then([inState('draining')]);
    given(hostDecider, [registered, inState('lost')])
      .when({ type: 'change-state', hostId: 'h1', to: 'lost', reason: 'again' })
      .thenNothing();
    given(hostDecider).when({ type: 'change-state', hostId: 'h1', to: 'lost', reason: '' }).thenRejected('host.unknown');
  });
  test.each(['draining', 'retiring'] as const)('%s is told each time it is asked for, so that what acts on it goes again', (to) => {
    const state = (from: HostState): HostEvent => ({ type: 'chrysalis.resource-allocation.host.state-changed.v1', data: { hostId: 'h1', from, to, reason: 'test' } }); // prettier-ignore
    given(hostDecider, [registered, state('enabled')])
      .when({ type: 'change-state', hostId: 'h1', to, reason: 'test' })
      .then([state(to)]);
  });
  test.each(['cordoned', 'draining', 'lost'] as const)('%s takes no new hold, but keeps those it has', (state) => {
    const there = [registered, held(vmConsumer('a'), 'a', small), inState(state)];
    given(hostDecider, there).when(holdVm('b')).thenRejected(`host.${state}`);
    given(hostDecider, there).when(holdVm('a')).thenNothing();
  });
});

describe('hold', () => {
  test('is refused with every resource that is short', () => {
    given(hostDecider, [registered])
      .when(holdVm('a', { vcpu: 5, memoryMiB: 5000, diskMiB: 10 }))
      .thenRejected('host.capacity_exceeded', {
        shortages: [
          { resource: 'vcpu', requested: 5, free: 4, capacity: 4 },
          { resource: 'memoryMiB', requested: 5000, free: 4096, capacity: 4096 },
        ],
      });
    given(hostDecider, [registered])
      .when(holdVm('a', { ...small, diskMiB: 6000 }))
      .thenRejected('host.amount_unsupported');
    given(hostDecider).when(holdVm('a')).thenRejected('host.unknown');
  });
  test('the same again says nothing; other amounts, or another VM, conflict', () => {
    const there = [registered, held(vmConsumer('a'), 'a', small)];
    given(hostDecider, there).when(holdVm('a')).thenNothing();
    given(hostDecider, there).when(holdVm('a', large)).thenRejected('allocation.conflict', { held: small, asked: large });
    given(hostDecider, [registered, held(moveConsumer('m1'), 'a', large)])
      .when(holdMove('m1', 'b'))
      .thenRejected('allocation.conflict');
  });
  test('a move in place holds the difference, beside the VM', () => {
    const difference = { vcpu: 1, memoryMiB: 512, diskMiB: 1000 };
    const there = [registered, held(vmConsumer('a'), 'a', small)];
    given(hostDecider, there)
      .when(holdMove('m1', 'a'))
      .then([held(moveConsumer('m1'), 'a', difference)]);
    given(hostDecider, [...there, held(moveConsumer('m1'), 'a', difference)])
      .when(holdMove('m1', 'a'))
      .thenNothing();
    given(hostDecider, [...there, inState('cordoned')])
      .when(holdMove('m1', 'a'))
      .then([held(moveConsumer('m1'), 'a', difference)]);
    for (const state of ['draining', 'retiring', 'lost'] as const)
      // what is there is to leave
      given(hostDecider, [...there, inState(state)])
        .when(holdMove('m1', 'a'))
        .thenRejected(`host.${state}`);
  });
});

describe('release and swap', () => {
  test('a release ends a hold once, and is welcome where there is none', () => {
    const there = [registered, held(vmConsumer('a'), 'a', small)];
    const command: HostCommand = { type: 'release', hostId: 'h1', consumer: vmConsumer('a'), reason: 'deleted' };
    const state = given(hostDecider, there)
      .when(command)
      .then([
        {
          type: 'chrysalis.resource-allocation.allocation.released.v1',
          data: { hostId: 'h1', consumer: vmConsumer('a'), vmId: 'a', amounts: small, reason: 'deleted' },
        },
      ]);
    expect(hostDecider.decide(command, state)).toEqual({ ok: true, events: [] });
    given(hostDecider).when(command).thenNothing();
  });
  test("a swap makes the move's hold the VM's, once", () => {
    given(hostDecider, [registered, held(moveConsumer('m1'), 'a', large)])
      .when(swapOf(large))
      .then([swapped(large)]);
    given(hostDecider, [registered, held(moveConsumer('m1'), 'a', large), swapped(large)])
      .when(swapOf(large))
      .thenNothing();
    given(hostDecider, [registered]).when(swapOf(large)).thenRejected('allocation.unknown');
    given(hostDecider, [registered, held(moveConsumer('m1'), 'a', large)])
      .when(swapOf(small))
      .thenRejected('allocation.conflict');
  });
  test('in place: the difference and the old hold become one, and a smaller type gives back the rest', () => {
    const difference = { vcpu: 1, memoryMiB: 512, diskMiB: 1000 };
    const grown = given(hostDecider, [registered, held(vmConsumer('a'), 'a', small), held(moveConsumer('m1'), 'a', difference)])
      .when(swapOf(large))
      .then([swapped(large)]);
    expect(heldInAll(grown as Extract<Host, { status: 'known' }>)).toEqual(large);
    const none = { vcpu: 0, memoryMiB: 0, diskMiB: 0 };
    const shrunk = given(hostDecider, [registered, held(vmConsumer('a'), 'a', large), held(moveConsumer('m1'), 'a', none)])
      .when(swapOf(small))
      .then([swapped(small)]);
    expect(heldInAll(shrunk as Extract<Host, { status: 'known' }>)).toEqual(small);
  });
});

const amounts = fc.record({ vcpu: fc.nat(5), memoryMiB: fc.nat(5000), diskMiB: fc.nat(6000) });
const name = fc.constantFrom('a', 'b', 'c', 'd');
const commands: fc.Arbitrary<HostCommand> = fc.oneof(
  fc.record({
    type: fc.constant('hold' as const),
    hostId: fc.constant('h1'),
    consumer: fc.oneof(name.map(vmConsumer), name.map(moveConsumer)),
    vmId: name,
    amounts,
  }),
  fc.record({
    type: fc.constant('release' as const),
    hostId: fc.constant('h1'),
    consumer: fc.oneof(name.map(vmConsumer), name.map(moveConsumer)),
    reason: fc.constant('x'),
  }),
  fc.record({ type: fc.constant('swap' as const), hostId: fc.constant('h1'), moveId: name, vmId: name, amounts }),
  fc.record({
    type: fc.constant('change-state' as const),
    hostId: fc.constant('h1'),
    to: fc.constantFrom<HostState>('enabled', 'cordoned', 'draining'),
    reason: fc.constant('x'),
  }),
);

describe('for any run of commands', () => {
  test('no resource is ever over its capacity, nothing is below zero, and a command said twice is as said once', () => {
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 60 }), (run) => {
        let state = fold(hostDecider.evolve, hostDecider.initial, [registered]);
        const log: HostEvent[] = [registered];
        for (const command of run) {
          const decision = hostDecider.decide(command, state);
          if (!decision.ok) continue;
          state = fold(hostDecider.evolve, state, decision.events);
          log.push(...decision.events);
          const again = hostDecider.decide(command, state);
          const told = command.type === 'change-state' && command.to === 'draining';
          expect(again).toMatchObject({ ok: true, events: told ? [{ data: { from: 'draining', to: 'draining' } }] : [] });
          expect(fold(hostDecider.evolve, state, again.ok ? again.events : [])).toEqual(state);
          if (state.status === 'unknown') throw new Error('a registered host became unknown');
          const [sum, total] = [heldInAll(state), capacityOf(state.facts)];
          for (const r of resources) expect(sum[r] >= 0 && sum[r] <= total[r]).toBe(true);
        }
        const fleet = new Fleet();
        log.forEach((e, i) => fleet.apply('h1', i + 1, e));
        log.forEach((e, i) => fleet.apply('h1', i + 1, e)); // delivered again
        expect(fleet.views(() => undefined)[0]!.held).toEqual(state.status === 'known' && heldInAll(state));
      }),
      { numRuns: 2000 },
    );
  });
});
