import { describe, expect, test } from '@jest/globals';
import type { GrantClaims } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing';
import fc from 'fast-check';
import { grantDecider, type GrantEvent, type UseGrant } from './grant.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const claims: GrantClaims = {
  jti: 'g-1',
  iss: 'acme',
  iat: 1_000,
  exp: 2_000,
  vms: ['vm-1'],
  packages: [digest],
  uses: 2,
  actions: ['add-agent'],
};
const registered: GrantEvent = {
  type: 'chrysalis.agent-gateway.grant.registered.v1',
  data: { grantId: 'g-1', tenant: 'acme', claims, jws: 'x' },
};
const at = new Date(1_500_000).toISOString();
const used = (taskKey: string, use: number): GrantEvent => ({
  type: 'chrysalis.agent-gateway.grant.used.v1',
  data: { grantId: 'g-1', vmId: 'vm-1', use, taskKey, at },
});
const revoked: GrantEvent = { type: 'chrysalis.agent-gateway.grant.revoked.v1', data: { grantId: 'g-1', reason: 'r' } };
const use = (change: Partial<UseGrant> = {}): UseGrant => ({
  do: 'use',
  vmId: 'vm-1',
  tenant: 'acme',
  action: 'add-agent',
  package: digest,
  taskKey: 't1',
  at,
  undo: false,
  ...change,
});

describe('a grant', () => {
  test('is registered once', () => {
    given(grantDecider).when({ do: 'register', claims, jws: 'x' }).then([registered]);
    given(grantDecider, [registered]).when({ do: 'register', claims, jws: 'x' }).thenNothing();
    given(grantDecider, [registered])
      .when({ do: 'register', claims: { ...claims, uses: 9 }, jws: 'y' })
      .thenRejected('grant.conflict');
    given(grantDecider, [registered, revoked]).when({ do: 'register', claims, jws: 'x' }).thenRejected('grant.revoked');
  });
  test('is used once a task', () => {
    given(grantDecider, [registered])
      .when(use())
      .then([used('t1', 1)]);
    given(grantDecider, [registered, used('t1', 1)])
      .when(use())
      .thenNothing();
    given(grantDecider, [registered, used('t1', 1)])
      .when(use({ taskKey: 't2' }))
      .then([used('t2', 2)]);
    given(grantDecider, [registered, used('t1', 1), used('t2', 2)])
      .when(use({ taskKey: 't3' }))
      .thenRejected('grant.exhausted');
  });
  test('allows nothing else', () => {
    given(grantDecider).when(use()).thenRejected('grant.unknown');
    for (const [change, code] of [
      [{ vmId: 'vm-2' }, 'grant.vm_not_named'],
      [{ tenant: 'other' }, 'grant.foreign_tenant'],
      [{ action: 'run-script' }, 'grant.action_not_named'],
      [{ package: `sha256:${'b'.repeat(64)}` }, 'grant.package_not_named'],
      [{ at: new Date(2_000_000).toISOString() }, 'grant.expired'],
    ] as const)
      given(grantDecider, [registered]).when(use(change)).thenRejected(code);
    given(grantDecider, [registered, revoked]).when(use()).thenRejected('grant.revoked');
  });
  test('never stands in the way of an undo, unless revoked', () => {
    const late = { undo: true, at: new Date(9_000_000).toISOString(), taskKey: 't9' };
    given(grantDecider, [registered, used('t1', 1), used('t2', 2)])
      .when(use(late))
      .thenNothing();
    given(grantDecider, [registered, revoked]).when(use(late)).thenRejected('grant.revoked');
  });
  test('is never used more often than it says, whatever comes', () => {
    const command = fc.record({ taskKey: fc.constantFrom('a', 'b', 'c', 'd'), undo: fc.boolean(), vmId: fc.constantFrom('vm-1', 'vm-2') });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30 }), fc.integer({ min: 1, max: 3 }), (commands, uses) => {
        let events: GrantEvent[] = [{ ...registered, data: { ...registered.data, claims: { ...claims, uses } } } as GrantEvent];
        for (const c of commands) {
          const decision = grantDecider.decide(use(c), fold(grantDecider.evolve, grantDecider.initial, events));
          if (decision.ok) events = [...events, ...decision.events];
        }
        const keys = events.slice(1).map((e) => (e.data as { taskKey: string }).taskKey);
        expect(keys.length).toBeLessThanOrEqual(uses);
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });
});
