import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { retryOf } from '@chrysalis/workflow-core';
import { targetKey, type Fault, type RunResult, type Scenario } from './types.ts';

const endOf = (run: RunResult) => {
  const last = run.log.at(-1);
  return last?.type === 'chrysalis.workflow.instance.ended.v1' ? last.data : undefined;
};
const isNow =
  (...states: string[]) =>
  (run: RunResult): string | undefined => {
    const state = endOf(run)?.state ?? 'not ended';
    return states.includes(state) ? undefined : `it ended ${state}, not ${states.join(' or ')}`;
  };

/** Where a failure of this run leads, if it is the only one: it is undone, or past a point of no return it stops. */
const failedAt =
  (task: string) =>
  (run: RunResult): string | undefined => {
    const isPoint = new Set(pointsOf(run));
    const failure = run.log.findIndex((e) => e.type === 'chrysalis.workflow.task.failed.v1' && e.data.final && e.data.task === task);
    if (failure < 0) return `${task} never failed for good`;
    const committed = run.log.some((e) => e.type === 'chrysalis.workflow.task.succeeded.v1' && isPoint.has(e.data.task));
    return isNow(committed ? 'stopped' : 'undone')(run);
  };
const pointsOf = (run: RunResult): string[] => {
  const [started] = run.log;
  if (started?.type !== 'chrysalis.workflow.instance.started.v1') return [];
  return started.data.definition.tasks.filter((t) => t.pointOfNoReturn).map((t) => t.name);
};

const plan = (entries: readonly (readonly [string, Fault])[]): ReadonlyMap<string, Fault> => new Map(entries);
const attempts = (task: TaskDefinition, action: 'run' | 'compensate', n: number, fault: Fault): (readonly [string, Fault])[] =>
  Array.from({ length: n }, (_, i) => [targetKey({ task: task.name, action, attempt: i + 1 }), fault] as const);

/** Each task fails at each attempt in each way, each runs twice, each undo too; then everything at once, by seeds. */
export const scenariosOf = (definition: WorkflowDefinition, seeds: number, singleFaults = true): Scenario[] => {
  const all: Omit<Scenario, 'seed'>[] = [
    { name: 'all goes well', faults: plan([]), expect: isNow('succeeded') },
    { name: 'the engine is lost at every step', faults: plan([]), loseEngine: true, expect: isNow('succeeded') },
    { name: 'every message comes twice and out of order', faults: plan([]), duplicate: true, expect: isNow('succeeded') },
    ...(singleFaults ? [...definition.tasks.flatMap(ofRun), ...definition.tasks.flatMap(ofUndo)] : []),
  ];
  return [...all.map((s, i) => ({ ...s, seed: i + 1 })), ...Array.from({ length: seeds }, (_, i) => chaos(definition, i + 1))];
};

const ofRun = (task: TaskDefinition): Omit<Scenario, 'seed'>[] => {
  const { name } = task;
  const retry = retryOf(task, 'run');
  const listed = (code: string): boolean => retry.codes === undefined || retry.codes.includes(code);
  const usable = (fault: Fault): number =>
    listed(fault.startsWith('fail') ? 'harness.injected' : 'workflow.deadline_passed') ? retry.attempts : 1;
  const passing = (['fail', 'fail-after', 'lost-report', 'hang', 'late-report', 'late-run'] as const).flatMap((fault) =>
    Array.from({ length: usable(fault) }, (_, i) => ({
      name: `${name}: ${fault} at the first ${i + 1} of ${usable(fault)}`,
      faults: plan(attempts(task, 'run', i + 1, fault)),
      // A retry may no longer fit into the workflow's own deadline, which then decides.
      ...(i + 1 < usable(fault)
        ? { expect: fault.startsWith('fail') ? isNow('succeeded') : isNow('succeeded', 'undone', 'stopped') }
        : { expect: failedAt(name) }),
    })),
  );
  return [
    ...passing,
    { name: `${name}: fails for good`, faults: plan(attempts(task, 'run', 1, 'fail-for-good')), expect: failedAt(name) },
    {
      name: `${name}: fails for good when it was done`,
      faults: plan(attempts(task, 'run', 1, 'fail-for-good-after')),
      expect: failedAt(name),
    },
    { name: `${name}: runs twice`, faults: plan(attempts(task, 'run', 1, 'twice')), expect: isNow('succeeded') },
    {
      name: `${name}: fails, and the engine is lost at every step`,
      faults: plan(attempts(task, 'run', 20, 'fail-after')),
      loseEngine: true,
    },
  ];
};
/** The task's own run fails after it was done: then it is its own undo that has to work. */
const ofUndo = (task: TaskDefinition): Omit<Scenario, 'seed'>[] => {
  if (!task.compensation) return [];
  const { name } = task;
  const broken = attempts(task, 'run', 1, 'fail-for-good-after');
  const retry = retryOf(task, 'compensate');
  const passing = (['fail', 'fail-after', 'lost-report', 'hang', 'late-report', 'late-run'] as const).flatMap((fault) =>
    Array.from({ length: retry.codes ? 1 : retry.attempts }, (_, i) => ({
      name: `undo of ${name}: ${fault} at the first ${i + 1}`,
      faults: plan([...broken, ...attempts(task, 'compensate', i + 1, fault)]),
      expect: isNow(...(i + 1 < retry.attempts && !retry.codes ? ['undone', 'stopped'] : ['failed', 'stopped'])),
    })),
  );
  return [
    ...passing,
    {
      name: `undo of ${name}: runs twice`,
      faults: plan([...broken, ...attempts(task, 'compensate', 1, 'twice')]),
      expect: isNow('undone', 'stopped'),
    },
    { name: `undo of ${name}: out of order, twice`, faults: plan(broken), duplicate: true, expect: isNow('undone', 'stopped') },
    { name: `undo of ${name}: the engine is lost`, faults: plan(broken), loseEngine: true, expect: isNow('undone', 'stopped') },
  ];
};

const chaos = (definition: WorkflowDefinition, seed: number): Scenario => ({
  name: `chaos ${seed}`,
  seed: seed * 7919,
  faults: plan([]),
  chaos: [0.02, 0.1, 0.3][seed % 3]!,
  duplicate: seed % 2 === 0,
  loseEngine: seed % 5 === 0,
  ...(seed % 4 === 0 ? { cancelAfter: 2 + (seed % (definition.tasks.length * 2)) } : {}),
});
