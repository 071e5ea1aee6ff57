import { describe, expect, test } from '@jest/globals';
import { desiredBy, ObservedState, vmActions, type Desired, type VmAction, type VmActionOptions } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import { actionTable, deleteVm, fittingActions, vmDecider, type KnownVm, type Sighting, type VmCommand, type VmEvent } from '../index.ts';
import { asked, p, runningVm, shaped, small, vmId } from '../test/running-vm.ts';

const at = '2026-01-01T00:00:00.000Z';
const running = runningVm(at);
const move = { moveId: 'mov-1', fromHost: 'a', toHost: 'b', fromType: small, toType: small };
const begin: VmCommand = { type: 'begin-move', vmId, ...move };
const remove: VmCommand = { type: 'request-deletion', vmId, request: asked('op-9', 'stop') };
const want = (action: VmAction, options: VmActionOptions = {}, op = `op-${action}`) =>
  ({ type: 'request-action', vmId, action, options, request: asked(op, action, options) }) as const satisfies VmCommand;
const requested = (action: VmAction, options: VmActionOptions = {}, op = `op-${action}`): VmEvent => ({
  type: `${p}action-requested.v1`,
  data: { vmId, action, options, request: asked(op, action, options) },
});
const done = (action: VmAction, op = `op-${action}`): VmEvent => ({
  type: `${p}action-ended.v1`,
  data: { vmId, workflowId: op, action, outcome: 'succeeded', at },
});
const brought = (to: Desired): VmEvent[] => {
  if (to === 'running') return running;
  const action = to === 'stopped' ? 'stop' : 'pause';
  return [...running, requested(action, {}, 'op-1'), done(action, 'op-1')];
};
const vm = (events: readonly VmEvent[]) => given(vmDecider, events);

describe('an action', () => {
  test.each(vmActions.flatMap((action) => (['running', 'stopped', 'paused'] as const).map((as) => [action, as] as const)))(
    '%s of a VM that is %s',
    (action, as) => {
      const told = vm(brought(as)).when(want(action));
      switch (actionTable[action][as]) {
        case 'already':
          return void told.thenNothing();
        case 'refused':
          return void told.thenRejected('vm.action_not_possible', { action, state: as, fits: fittingActions(as) });
        case 'fits':
          expect(told.then([requested(action)])).toMatchObject({ status: as, desired: desiredBy[action] });
          expect(vm([...brought(as), requested(action)]).when({ type: 'record-action', vmId, workflowId: `op-${action}`, at }).then([done(action)])).toMatchObject({ status: desiredBy[action], desired: desiredBy[action] }); // prettier-ignore
      }
    },
  );

  test('locks the VM: no move, no deletion, no other action; the same again stays with the first', () => {
    const stopping = [...running, requested('stop')];
    vm(stopping).when(begin).thenRejected('vm.in_action', { action: 'stop', operation: 'op-stop' });
    vm(stopping).when(remove).thenRejected('vm.in_action');
    vm(stopping).when(want('pause')).thenRejected('vm.in_action');
    vm(stopping)
      .when(want('stop', { force: true }))
      .thenRejected('vm.in_action');
    vm(stopping)
      .when(want('stop', {}, 'op-again'))
      .thenNothing();
  });

  test('is refused in a move, and before the VM is there or once it is to go', () => {
    vm([...running, { type: `${p}move-begun.v1`, data: { vmId, ...move } }])
      .when(want('stop'))
      .thenRejected('vm.in_move');
    vm([]).when(want('stop')).thenRejected('vm.unknown');
    vm(running.slice(0, 2)).when(want('start')).thenRejected('vm.not_ready', { state: 'placed' });
    vm([...running, { type: `${p}deletion-requested.v1`, data: { vmId, request: asked('op-9', 'stop') } }])
      .when(want('stop'))
      .thenRejected('vm.not_ready', { state: 'deleting' });
  });

  test('a failed one gives the VM back as it was; what an earlier one says late is nothing', () => {
    const cause = { code: 'host.guest_stays', message: 'no' };
    const fail: VmCommand = { type: 'fail-action', vmId, workflowId: 'op-stop', cause };
    const failed: VmEvent = {
      type: `${p}action-ended.v1`,
      data: { vmId, workflowId: 'op-stop', action: 'stop', outcome: 'failed', cause },
    };
    const stopping = [...running, requested('stop')];
    expect(vm(stopping).when(fail).then([failed])).toMatchObject({ status: 'running', desired: 'running', cause });
    vm([...stopping, failed])
      .when(fail)
      .thenNothing();
    vm([...stopping, failed])
      .when({ type: 'record-action', vmId, workflowId: 'op-stop', at })
      .thenNothing();
    vm([...stopping, failed])
      .when(begin)
      .then([{ type: `${p}move-begun.v1`, data: { vmId, ...move } }]);
  });

  test('nobody’s word is taken for what a VM came up with', () => {
    const starting = [...brought('stopped'), requested('start')];
    const record: VmCommand = { type: 'record-action', vmId, workflowId: 'op-start', at, ...shaped };
    vm(starting)
      .when({ ...record, topologyHash: `sha256:${'0'.repeat(64)}` })
      .thenRejected('vm.topology_mismatch');
    const state = vm(starting).when(record).then([{ type: `${p}action-ended.v1`, data: { vmId, workflowId: 'op-start', action: 'start', outcome: 'succeeded', at, ...shaped } }]); // prettier-ignore
    expect(state).toMatchObject({ status: 'running', bootedAt: at });
  });
});

test.each(['stopped', 'paused'] as const)('a VM that is %s is not moved, and may be deleted; a failed deletion leaves it so', (as) => {
  vm(brought(as)).when(begin).thenRejected('vm.halted', { state: as });
  const removing: VmEvent = { type: `${p}deletion-requested.v1`, data: { vmId, request: asked('op-9', 'stop') } };
  vm(brought(as)).when(remove).then([removing]);
  const cause = { code: 'host.unreachable', message: 'no' };
  const kept = vm([...brought(as), removing]).when({ type: 'fail-deletion', vmId, workflowId: 'op-9', cause });
  expect(kept.then([{ type: `${p}deletion-failed.v1`, data: { vmId, workflowId: 'op-9', cause } }])).toMatchObject({ status: as });
});

test('one that is meant to run and went off by itself is started by force', () => {
  vm(running).when(want('start')).thenNothing();
  vm(running)
    .when(want('start', { force: true }))
    .then([requested('start', { force: true })]);
});

const seenAs = (state: ObservedState, since = '2026-01-01T00:05:00.000Z', hostId = 'a', epoch = 1): { seen: Sighting } => ({
  seen: { hostId, epoch, observed: { state, since } },
});
const desires = ['running', 'stopped', 'paused'] as const;

describe.each(ObservedState.options)('of a VM that its host sees %s', (state) => {
  const off = state === 'shut-down' || state === 'gone' || state === 'panicked';
  test.each(vmActions.flatMap((action) => desires.flatMap((as) => [true, false].map((force) => [action, as, force] as const))))(
    '%s of one that is to be %s (force: %s)',
    (action, as, force) => {
      const command = want(action, force ? { force } : {});
      const told = vm(brought(as)).when({ ...command, ...seenAs(state) });
      if (action === 'resume' && as === 'running' && (state === 'paused' || state === 'io-error'))
        return void told.then([requested(action, force ? { force } : {})]);
      // Not off, or as it is to be: what is wanted decides.
      if (!off || as === 'stopped') return expect(told.decision).toEqual(vm(brought(as)).when(command).decision) as void;
      if (action === 'start' || action === 'stop') return void told.then([requested(action, force ? { force } : {})]);
      told.thenRejected('vm.action_not_possible', {
        action,
        state: as,
        observed: state,
        fits: ['start', 'stop'],
        instead: `vm start ${vmId}`,
      });
    },
  );
});

test('seen off by another host, at an epoch before, or before it was booted, is not off', () => {
  for (const said of [seenAs('gone', undefined, 'b'), seenAs('gone', undefined, 'a', 0), seenAs('gone', at)]) {
    vm(running)
      .when({ ...want('start'), ...said })
      .thenNothing();
    vm(running)
      .when({ ...want('pause'), ...said })
      .then([requested('pause')]);
  }
});

test.each(desires.flatMap((as) => vmActions.map((action) => [action, as] as const)))(
  'where %s of one that is %s is refused, the command that is told in its place is not',
  (action, as) => {
    for (const state of [undefined, ...ObservedState.options]) {
      const said = state ? seenAs(state) : {};
      const refused = vmDecider.decide({ ...want(action), ...said }, fold(vmDecider.evolve, vmDecider.initial, brought(as)));
      if (refused.ok) continue;
      const [, verb, id, force] = (refused.rejection as { instead: string }).instead.split(' ');
      expect(id).toBe(vmId);
      const told = want(verb as VmAction, force ? { force: true } : {});
      vm(brought(as))
        .when({ ...told, ...said })
        .then([requested(verb as VmAction, force ? { force: true } : {})]);
    }
  },
);

test('a paused guest hears nobody: it is stopped only by force', () => {
  vm(brought('paused'))
    .when(want('stop'))
    .thenRejected('vm.action_not_possible', { fits: ['resume'] });
  vm(brought('paused'))
    .when(want('stop', { force: true }))
    .then([requested('stop', { force: true })]);
});

const op = fc.constantFrom('op-1', 'op-2', 'op-3');
const cause = { code: 'host.fault', message: 'no' };
const commands: fc.Arbitrary<VmCommand> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constantFrom(...vmActions), fc.boolean(), op).map(([a, force, o]) => want(a, { force }, o)) },
  { weight: 2, arbitrary: op.map((workflowId): VmCommand => ({ type: 'record-action', vmId, workflowId, at })) },
  op.map((workflowId): VmCommand => ({ type: 'fail-action', vmId, workflowId, cause })),
  fc.constant(begin),
  fc.constant<VmCommand>({ type: 'end-move', vmId, moveId: 'mov-1', outcome: 'undone' }),
  fc.constant<VmCommand>({ ...remove, request: { ...asked('op-9', 'stop'), definition: deleteVm({ onHost: true }) } }),
  fc.constant<VmCommand>({ type: 'fail-deletion', vmId, workflowId: 'op-9', cause }),
  fc.constant<VmCommand>({ type: 'fail-provisioning', vmId, cause }),
);

test('for any run of commands: said twice is as said once, one thing at a time, and never locked for ever', () => {
  fc.assert(
    fc.property(fc.array(commands, { maxLength: 40 }), (run) => {
      let state = fold(vmDecider.evolve, vmDecider.initial, running) as KnownVm;
      for (const command of run) {
        const decision = vmDecider.decide(command, state);
        if (!decision.ok) continue;
        const next = fold(vmDecider.evolve, state, decision.events) as KnownVm;
        expect(vmDecider.decide(command, next)).toEqual({ ok: true, events: [] });
        expect([next.move, next.action, next.deletion].filter(Boolean).length).toBeLessThanOrEqual(1);
        if (next.move) expect([next.status, next.desired]).toEqual(['running', 'running']);
        if (!next.action && ['running', 'stopped', 'paused'].includes(next.status)) expect(next.desired).toBe(next.status);
        if (state.action && next.action) expect(next.action).toEqual(state.action);
        state = next;
      }
      // Every workflow comes to an end, and its end gives the VM back.
      const { action } = state;
      if (!action) return;
      const end = vmDecider.decide({ type: 'fail-action', vmId, workflowId: action.workflowId, cause }, state);
      expect(end.ok && fold(vmDecider.evolve, state, end.events)).toMatchObject({ status: action.before, desired: action.before });
    }),
    { numRuns: 1000 },
  );
});
