import { hostTasks, migrationTemplatesTasks } from '@chrysalis/contracts';
import type { MoveContext } from './context.ts';
import { onHost, onService, output } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

const section = 'migration';
const approvalOf = ({ input, moves }: MoveContext) => (moves ? input.template.spec.options.approval : undefined);

/**
 * `meanwhile`: the memory is sent while somebody is asked, and stays ready to go. `before`: nothing of it has begun, as with methods that
 * stop the guest first, with disks that would be copied to be thrown away, and where a guest would be slowed for as long as it waits.
 */
export const approvalIs = (m: MoveContext): 'none' | 'before' | 'meanwhile' => {
  if (!approvalOf(m)) return 'none';
  const { method, throttle } = m.input.template.spec.options;
  return method === 'pre-copy' && !throttle && (m.input.copied ?? []).length === 0 ? 'meanwhile' : 'before';
};

export const heldFor = (m: MoveContext): { approvalWithinMs?: number } => {
  const asked = approvalOf(m);
  return asked ? { approvalWithinMs: asked.withinMs } : {};
};

/** Asked when all is ready for the switch-over. Answers what the transfer waits for. */
export const approval = (m: MoveContext, ready: readonly string[]): readonly string[] => {
  const asked = approvalOf(m);
  if (!asked) return ready;
  const { input, tasks } = m;
  const { vm, moveId, migrationId } = input;
  const meanwhile = approvalIs(m) === 'meanwhile';
  const answer = tasks.add(migrationTemplatesTasks.awaitApproval, {
    name: 'await-approval',
    summary: `Wait until somebody approves of the switch-over of ${vm.vmId}`,
    section,
    route: onService('migration-templates'),
    after: ready,
    deadlineMs: asked.withinMs + deadlines.approvalMargin,
    input: { migrationId, vmId: vm.vmId, moveId, ...asked, meanwhile },
  });
  if (!meanwhile) return [...ready, answer];
  tasks.add(hostTasks.settleApproval, {
    name: 'settle-approval',
    summary: `Tell ${vm.hostId} whether it may switch over`,
    section,
    route: onHost(vm.hostId),
    after: [answer],
    deadlineMs: deadlines.host,
    retry: retries.forward,
    input: {
      vmId: vm.vmId,
      epoch: vm.epoch,
      moveId,
      approved: output(answer, 'approved') as never,
      cause: output(answer, 'cause') as never,
    },
  });
  return ready;
};
