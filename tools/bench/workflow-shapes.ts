import type { TaskReport, WorkflowDefinition } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { decide, evolve, initial, isInstance, type WorkflowCommand, type WorkflowInstance } from '@chrysalis/workflow-core';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';

const few = 1_000;
const many = 10_000;

/** What a task waits for, by its place. */
const shapes: Record<string, (i: number) => string[]> = {
  'in parallel': () => [],
  'in a chain': (i) => (i === 0 ? [] : [`t${i - 1}`]),
  'in a tree': (i) => (i === 0 ? [] : [`t${Math.floor((i - 1) / 100)}`]),
};

const definition = (after: (i: number) => string[], length: number): WorkflowDefinition => ({
  name: 'shape',
  version: 1,
  summary: 'tasks of one shape',
  params: {},
  tasks: Array.from({ length }, (_, i) => ({
    name: `t${i}`,
    kind: 'test.do',
    summary: 'nothing',
    input: {},
    after: after(i),
    deadlineMs: 1_000_000,
    route: { mode: 'group', group: 'provisioning' },
  })),
  deadlineMs: 10_000_000,
});

/** Reports every task in the order it was given out. Microseconds of one report, decided and evolved. */
const usOfReport = (of: WorkflowDefinition): number => {
  let state: WorkflowInstance = initial;
  let ms = Date.parse('2026-01-01T00:00:00Z');
  const given: { task: string; token: number }[] = [];
  const apply = (command: WorkflowCommand): void => {
    const decision = decide(command, state);
    if (!decision.ok) throw new Error(decision.rejection.code);
    state = fold(evolve, state, decision.events);
    for (const e of decision.events) if (e.type === 'chrysalis.workflow.task.dispatched.v1') given.push(e.data);
  };
  apply({
    type: 'start',
    request: { workflowId: 'w', definition: of, params: {}, subject: 's' },
    tenant: 't',
    at: new Date(ms).toISOString(),
  });
  const began = performance.now();
  for (const { task, token } of given) {
    const at = new Date(ms++).toISOString();
    const done: TaskReport = {
      ...{ workflowId: 'w', task, action: 'run', attempt: 1, token, executor: 'x', startedAt: at, endedAt: at },
      outcome: { ok: true, output: {} },
    };
    apply({ type: 'report', report: done, at });
  }
  const us = ((performance.now() - began) * 1_000) / of.tasks.length;
  if (!isInstance(state) || state.end?.state !== 'succeeded') throw new Error('a workflow did not end well');
  return us;
};

/** What one report costs the decider of a workflow of ten thousand tasks, over that in one of a thousand: what grows would be ten times it. */
export const bench = ({ rounds, progress }: BenchOptions): Promise<Report> => {
  const names = Object.keys(shapes);
  const seen = names.map((name) => {
    const [small, large] = [few, many].map((n) => definition(shapes[name]!, n));
    usOfReport(small!); // warm
    const each = Array.from({ length: rounds }, () => ({ few: usOfReport(small!), many: usOfReport(large!) }));
    progress(
      `${name}: ${median(each.map((r) => r.few)).toFixed(1)} us a report at ${few}, ${median(each.map((r) => r.many)).toFixed(1)} at ${many}`,
    );
    return { name, each };
  });
  return Promise.resolve(
    report(
      'workflow-shapes',
      rounds,
      {},
      seen.flatMap(({ name, each }) => [
        contender(
          `a report, ${few} tasks ${name}`,
          'Chrysalis',
          'us',
          each.map((r) => r.few),
        ),
        contender(
          `a report, ${many} tasks ${name}`,
          'Chrysalis',
          'us',
          each.map((r) => r.many),
        ),
      ]),
      seen.map(({ name, each }) => target(`${name}, ${many} tasks over ${few}`, median(each.map((r) => r.many / r.few)), '<=', 3)),
      {
        about:
          'The decider of workflows alone, without its log: tasks that are reported one by one, in the order in which they were given out.',
      },
    ),
  );
};
