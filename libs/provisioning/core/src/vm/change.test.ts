import { expect, test } from '@jest/globals';
import { given } from '@chrysalis/testing/decider';
import { vmDecider, type VmCommand, type VmEvent } from '../index.ts';
import { asked, p, runningVm, shaped, small, vmId } from '../test/running-vm.ts';

const running = runningVm('2026-01-01T00:00:00.000Z');
const volumeId = 'volume-0199c0de-0000-7000-8000-0000000000d1';
const begin: VmCommand = { type: 'begin-change', vmId, change: 'attach-volume', volumeId, workflowId: 'op-1' };
const begun: VmEvent = { type: `${p}change-begun.v1`, data: { vmId, change: 'attach-volume', volumeId, workflowId: 'op-1' } };
const end: VmCommand = { type: 'end-change', vmId, workflowId: 'op-1', outcome: 'succeeded', ...shaped };
const ended: VmEvent = {
  type: `${p}change-ended.v1`,
  data: { vmId, change: 'attach-volume', volumeId, workflowId: 'op-1', outcome: 'succeeded', ...shaped },
};
const stop: VmCommand = { type: 'request-action', vmId, action: 'stop', options: {}, request: asked('op-9', 'stop') };
const move: VmCommand = { type: 'begin-move', vmId, moveId: 'mov-1', fromHost: 'a', toHost: 'b', fromType: small, toType: small };
const vm = (events: readonly VmEvent[]) => given(vmDecider, events);
const halted = (action: 'stop' | 'pause'): VmEvent[] => [
  ...running,
  { type: `${p}action-requested.v1`, data: { vmId, action, options: {}, request: asked('op-0', action) } },
  { type: `${p}action-ended.v1`, data: { vmId, workflowId: 'op-0', action, outcome: 'succeeded', at: '2026-01-01T00:00:01.000Z' } },
];

test('a change of the hardware locks the VM, running or off: no action, no move, no deletion, no other change', () => {
  for (const before of [running, halted('stop')])
    expect(vm(before).when(begin).then([begun])).toMatchObject({ action: { name: 'attach-volume' } });
  vm(halted('pause')).when(begin).thenRejected('vm.not_ready', { state: 'paused' });
  const changing = [...running, begun];
  vm(changing).when(begin).thenNothing();
  vm(changing).when(stop).thenRejected('vm.in_action', { action: 'attach-volume', operation: 'op-1' });
  vm(changing).when(move).thenRejected('vm.in_action');
  vm(changing)
    .when({ type: 'request-deletion', vmId, request: asked('op-9', 'stop') })
    .thenRejected('vm.in_action');
  vm(changing)
    .when({ ...begin, workflowId: 'op-2' })
    .thenRejected('vm.in_action');
  const { type: _, ...moving } = move;
  vm([...running, { type: `${p}move-begun.v1`, data: moving }])
    .when(begin)
    .thenRejected('vm.in_move');
});

test('its end lets go, once, with the hardware that there is then; what the VM is meant to do stays', () => {
  expect(
    vm([...running, begun])
      .when(end)
      .then([ended]),
  ).toMatchObject({ status: 'running', desired: 'running', topologyHash: shaped.topologyHash });
  vm([...running, begun, ended])
    .when(end)
    .thenNothing();
  vm([...running, begun])
    .when({ ...end, workflowId: 'op-2' })
    .thenNothing();
  vm([...running, begun])
    .when({ ...end, topologyHash: `sha256:${'0'.repeat(64)}` })
    .thenRejected('vm.topology_mismatch');
  const cause = { code: 'host.agent_away', message: 'gone' };
  const failed: VmEvent = {
    type: `${p}change-ended.v1`,
    data: { vmId, change: 'attach-volume', volumeId, workflowId: 'op-1', outcome: 'failed', cause },
  };
  const after = vm([...halted('stop'), begun]).when({ type: 'end-change', vmId, workflowId: 'op-1', outcome: 'failed', cause }).then([failed]); // prettier-ignore
  expect(after).toMatchObject({ status: 'stopped', desired: 'stopped' });
  expect(after).not.toHaveProperty('action');
  // What an action's workflow says is not the end of a change.
  vm([...running, begun]).when({ type: 'record-action', vmId, workflowId: 'op-1', at: '2026-01-01T00:00:00.000Z' }).thenNothing(); // prettier-ignore
});
