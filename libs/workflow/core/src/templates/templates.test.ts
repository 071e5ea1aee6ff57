import { describe, expect, test } from '@jest/globals';
import { allTasks, PolicySpec, type TaskContract, type WorkflowDefinition } from '@chrysalis/contracts';
import { expectEveryStepFails } from '@chrysalis/testing';
import { judgeTemplate } from '../definition/judge-template.ts';
import { policyFaults } from '../policies/faults.ts';
import { distributeImage } from './distribute-image.ts';
import { shippedPolicies, shippedTemplates } from './index.ts';
import { saveVm } from './save-vm.ts';

/** An executor takes only what its contract says, and gives what it says: a wrong reference in a template throws here. */
const kind = (contract: TaskContract, output: Record<string, unknown>): [string, (input: unknown) => Record<string, unknown>] => [
  contract.kind,
  (input) => {
    contract.input.parse(input);
    return contract.output.parse(output) as Record<string, unknown>;
  },
];
const ran = { total: 1, succeeded: 1, results: [{ vmId: 'vm-1', state: 'succeeded', toHost: 'h2' }], left: [] };
const left = { kind: 'process', id: 'vm-1', vmId: 'vm-1', bytes: 1, print: '7-1' };
const executors = (vmIds: string[]) =>
  Object.fromEntries([
    kind(allTasks.listOnHost, { vmIds, more: false, generation: 7 }),
    kind(allTasks.listOfType, { vmIds, more: false }),
    kind(allTasks.run, ran),
    kind(allTasks.auditHolds, { checked: 3, more: false, findings: [] }),
    kind(allTasks.listTraces, { traces: [left], vms: [], pools: [], more: false }),
    kind(allTasks.judgeTraces, {
      ...{ checked: 1, expected: 0, findings: [] },
      vms: [{ vmId: 'vm-1', epoch: 3, traces: [left] }],
      others: [{ of: 'segment-5000', traces: [left] }],
    }),
    kind(allTasks.removeVmTraces, { results: [] }),
    kind(allTasks.removeTraces, { results: [] }),
  ]);
const params: Record<string, Record<string, unknown>> = {
  'drain-host': { hostId: 'h1', concurrency: 2 },
  'retire-vm-type': { type: 'small@1', replacement: 'small@2', concurrency: 2, move: true },
  'audit-holds': { minAgeMs: 0 },
  'audit-host': { hostId: 'h1', remove: true },
};
const definitions: WorkflowDefinition[] = shippedTemplates.map((t) => ({ ...t, version: 1 }));

const digest = `sha256:${'0'.repeat(64)}`;
const image = { hostId: 'h1', image: 'kept', sizeMiB: 256, bytes: 4096, digest };
const saved = { vmId: 'vm-1', topologyHash: digest, pausedMs: 12.5, stoppedAt: '2026-11-23T09:00:00.000Z' };
const ofImages = Object.fromEntries([
  kind(allTasks.saveVm, { ...image, ...saved, format: 'vm-state' }),
  kind(allTasks.buildImage, { ...image, format: 'raw' }),
  kind(allTasks.transferImage, { ...image, hostId: 'h2', format: 'vm-state' }),
  kind(allTasks.removeImage, { removed: true }),
]);

describe('templates whose hosts bid', () => {
  const vm = { vmId: 'vm-1', epoch: 3, hostId: 'h1', name: 'kept', pool: 'shared' };
  const made = { image: 'kept', format: 'raw', sizeMiB: 256, pool: 'shared', from: { kind: 'image', image: 'seed' } };
  test.each([
    ['save-vm, two copies', saveVm, { ...vm, racks: ['r1', 'r2'] }],
    ['distribute-image', distributeImage, { ...made, hosts: ['h2', 'h3'] }],
  ])('%s through every failure there is a name for', (_, definition, given) => {
    const report = expectEveryStepFails({ definition, params: given, executors: ofImages });
    expect(Object.keys(report.finalStates).sort()).toEqual(['cancelled', 'failed', 'succeeded', 'undone']);
  });

  test('a save without a copy is a save', () => {
    const report = expectEveryStepFails({ definition: saveVm, params: { ...vm, racks: [] }, executors: ofImages, unreachable: ['copy'] });
    expect(report.finalStates['succeeded']).toBeGreaterThan(0);
  });
});

describe('the templates that come along', () => {
  test.each(definitions.map((d) => [d.name, d] as const))('%s through every failure there is a name for', (name, definition) => {
    expect(judgeTemplate(shippedTemplates.find((t) => t.name === name))).toMatchObject({ ok: true });
    const report = expectEveryStepFails({ definition, params: params[name]!, executors: executors(['vm-1']) });
    expect(report.finalStates['succeeded']).toBeGreaterThan(0);
    // What has moved stays: a failure after it stops, one before it leaves nothing to undo.
    if (!name.startsWith('audit-'))
      expect(Object.keys(report.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone', 'stopped']));
  });

  test('each has a policy without a fault', () => {
    const policies = shippedPolicies(() => 1);
    const used = policies.map((p) => {
      const template = definitions.find((d) => `${d.name}@1` === p.start.template);
      expect(PolicySpec.parse(p)).toEqual(p);
      expect(policyFaults(p, template)).toEqual([]);
      return template?.name;
    });
    expect(used.sort()).toEqual(definitions.map((d) => d.name).sort());
  });
});
