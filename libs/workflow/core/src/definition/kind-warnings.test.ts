import { expect, test } from '@jest/globals';
import { allTasks, type TaskDefinition } from '@chrysalis/contracts';
import { shippedTemplates } from '../templates/index.ts';
import { kindWarnings, takersOf } from './kind-warnings.ts';

const task = (kind: string, group: TaskDefinition['route']['group'], compensation?: string): TaskDefinition => ({
  name: 't', kind, summary: 's', input: {}, deadlineMs: 1, route: { mode: 'group', group },
  ...(compensation ? { compensation: { kind: compensation, input: {}, deadlineMs: 1, route: { mode: 'group', group } } } : {}),
}); // prettier-ignore
const takers = takersOf([
  { group: 'workflow', kind: 'workflow.pass' },
  { group: 'provisioning', kind: 'vm.bless' },
]);

test('what the contracts have, executors told, or the service runs itself is taken', () => {
  const tasks = [
    ...Object.values(allTasks).map((c) => task(c.kind, c.group)),
    task('workflow.pass', 'workflow'),
    task('vm.bless', 'provisioning'),
  ];
  expect(kindWarnings({ tasks }, takers)).toEqual([]);
  const own = takersOf(['workflow.run', 'workflow.wait', 'workflow.undo', 'workflow.pass'].map((kind) => ({ group: 'workflow', kind })));
  for (const shipped of shippedTemplates) expect([shipped.name, kindWarnings(shipped, own)]).toEqual([shipped.name, []]);
});

test('what nobody takes is named with its place, and with what there is', () => {
  const tasks = [task('vm.record-placement', 'provisioning', 'vm.unrecord'), task('vm.explode', 'provisioning')];
  const found = kindWarnings({ tasks }, takers);
  expect(found.map((w) => w.place)).toEqual(['tasks[0].compensation.kind', 'tasks[1].kind']);
  expect(found[1]!.message).toMatch(/^nobody in the group provisioning takes vm\.explode; it takes .*vm\.begin-move.*vm\.bless/);
});

test('what another group takes is told so', () => {
  expect(kindWarnings({ tasks: [task('host.boot-vm', 'provisioning')] }, takers)[0]!.message).toBe(
    'nobody in the group provisioning takes host.boot-vm: it is for agent-gateway',
  );
});
