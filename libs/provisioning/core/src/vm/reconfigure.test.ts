import { describe, expect, test } from '@jest/globals';
import { contractOf, MOST_LABELS, type VmLabelChanges } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import { vmDecider, type KnownVm, type VmEvent } from '../index.ts';
import { p, runningVm, vmId } from '../test/running-vm.ts';

const there = runningVm('2026-01-01T00:00:00.000Z');
const type = `${p}reconfigured.v1` as const;
const ask = (labels?: VmLabelChanges, name?: string) =>
  ({ type: 'reconfigure', vmId, ...(name === undefined ? {} : { name }), ...(labels ? { labels } : {}) }) as const;
const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']));

describe('what a VM is called, and its labels', () => {
  test('what is named changes, what is not stays, null takes away', () => {
    const labelled: VmEvent = { type, data: { vmId, labels: { team: 'web', old: 'yes' } } };
    const after = given(vmDecider, [...there, labelled])
      .when(ask({ old: null, tier: '2' }, 'shop'))
      .then([{ type, data: { vmId, name: 'shop', labels: { team: 'web', tier: '2' } } }]);
    expect(after).toMatchObject({ name: 'shop', labels: { team: 'web', tier: '2' }, status: 'running' });
  });

  test('what is so already is no event; one that is gone or was never is not changed', () => {
    given(vmDecider, there)
      .when(ask({ ghost: null }, 'web'))
      .thenNothing();
    given(vmDecider, there).when(ask()).thenNothing();
    given(vmDecider, [...there, { type: `${p}deleted.v1`, data: { vmId } }])
      .when(ask(undefined, 'shop'))
      .thenRejected('vm.not_ready');
    given(vmDecider, []).when(ask(undefined, 'shop')).thenRejected('vm.unknown');
  });

  test('also while it moves', () => {
    const small = { name: 'small', version: 1 };
    const move: VmEvent = {
      type: `${p}move-begun.v1`,
      data: { vmId, moveId: 'm', fromHost: 'a', toHost: 'b', fromType: small, toType: small },
    };
    given(vmDecider, [...there, move])
      .when(ask(undefined, 'shop'))
      .then([{ type, data: { vmId, name: 'shop' } }]);
  });

  test('no more labels than there may be, however they come together', () => {
    const full: VmEvent = { type, data: { vmId, labels: many(MOST_LABELS) } };
    given(vmDecider, [...there, full])
      .when(ask({ more: 'v' }))
      .thenRejected('vm.labels_full', { count: MOST_LABELS + 1 });
    given(vmDecider, [...there, full])
      .when(ask({ more: 'v', k0: null }))
      .then([{ type, data: { vmId, labels: (({ k0: _, ...rest }) => ({ ...rest, more: 'v' }))(many(MOST_LABELS)) } }]);
  });

  test('whatever is asked, one after another: the last word on each label stands, and each event fits its contract', () => {
    const changes = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'x/y'), fc.option(fc.constantFrom('1', '2', ''), { nil: null }));
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 6 }), (asked) => {
        const events: VmEvent[] = [...there];
        for (const labels of asked) {
          const { decision } = given(vmDecider, events).when(ask(labels));
          if (!decision.ok) throw new Error(decision.rejection.code);
          for (const e of decision.events) expect(contractOf.get(e.type)!.schema.safeParse(e.data).success).toBe(true);
          events.push(...decision.events);
        }
        const last = Object.entries(Object.assign({}, ...asked) as VmLabelChanges).filter(([, v]) => v !== null);
        expect((given(vmDecider, events).state() as KnownVm).labels).toEqual(Object.fromEntries(last));
      }),
    );
  });
});
