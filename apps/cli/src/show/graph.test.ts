import { expect, test } from '@jest/globals';
import type { Task, WorkflowGraph } from '@chrysalis/api-client';
import { graphText } from './graph.ts';

test('the bids for a task are counted, as its owner tells them and as the read models do', () => {
  const offer = { number: 1, closesAt: '2026-11-23T09:00:05.000Z' };
  const of = (task: Partial<Task>): string => {
    const graph: WorkflowGraph = {
      ...{ workflowId: 'op-1', name: 'check', subject: 'h1', state: 'running', version: 3, source: 'workflow' },
      tasks: [{ name: 'copy', state: 'offered', ...task }],
    };
    return graphText(graph).split('\n')[0]!;
  };
  const bids = [{ executor: 'host:h1' }, { executor: 'host:h2' }];
  expect(of({ offer: { ...offer, bids } })).toBe('   0 ? copy  2 bids, until 09:00:05');
  expect(of({ offer: { ...offer, bids: 2 } })).toBe('   0 ? copy  2 bids, until 09:00:05');
});
