import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { retryOf } from '@chrysalis/workflow-core';
import { failedAt, isNow } from './expectations.ts';
import { targetKey, type Fault, type RunResult, type Scenario, type Target } from './types.ts';

type Planned = Omit<Scenario, 'seed'>;
type Action = Target['action'];
/** More attempts than any policy allows. */
const ALL = 60;
const timely = ['lost-report', 'hang', 'late-report', 'late-run', 'silent'] as const;

const plan = (entries: readonly (readonly [string, Fault])[]): ReadonlyMap<string, Fault> => new Map(entries);
const attempts = (task: string, action: Action, n: number, fault: Fault): (readonly [string, Fault])[] =>
  Array.from({ length: n }, (_, i) => [targetKey({ task, action, attempt: i + 1 }), fault] as const);

/** All goes well: what the others are planned by. */
export const goodRun: Scenario = { name: 'all goes well', seed: 1, faults: plan([]), expect: isNow('succeeded') };

/** Each task fails at each attempt in each way, each runs twice, each undo too; then everything at once, by seeds. */
export const scenariosOf = (definition: WorkflowDefinition, good: RunResult, seeds: number, first: number, single: boolean): Scenario[] => {
  const all: Planned[] = [
    { name: 'the engine is lost at every step', faults: plan([]), loseEngine: true, expect: isNow('succeeded') },
    { name: 'every message comes twice and out of order', faults: plan([]), duplicate: true, expect: isNow('succeeded') },
    ...(single ? [...targetsOf(definition, good).flatMap(ofTask), ...ofPeople(definition, good)] : []),
  ];
  return [...all.map((s, i) => ({ ...s, seed: i + 2 })), ...Array.from({ length: seeds }, (_, i) => chaos(definition, first + i))];
};

type Named = { readonly name: string; readonly task: TaskDefinition };
/** Tasks that run when all goes well; of the items of a forEach the first, one in the middle, and the last. */
const targetsOf = (definition: WorkflowDefinition, good: RunResult): Named[] => {
  const ran = [...new Set(good.log.flatMap((e) => (e.type === 'chrysalis.workflow.task.dispatched.v1' ? [e.data.task] : [])))];
  return definition.tasks.flatMap((task) => {
    if (!task.forEach) return ran.includes(task.name) ? [{ name: task.name, task }] : [];
    const items = ran.filter((n) => n.startsWith(`${task.name}.`)).sort((a, b) => Number(a.split('.')[1]) - Number(b.split('.')[1]));
    const some = new Set([items[0], items[Math.floor(items.length / 2)], items.at(-1)].filter((n) => n !== undefined));
    return [...some].map((name) => ({ name, task }));
  });
};

const ofTask = (named: Named): Planned[] => [...ofRun(named), ...ofUndo(named), ...ofOffer(named)];

/** Attempts that a failure of this code may have. */
const usable = ({ attempts, codes }: ReturnType<typeof retryOf>, code: string): number =>
  codes === undefined || codes.includes(code) ? attempts : 1;

const ofRun = ({ name, task }: Named): Planned[] => {
  const retry = retryOf(task, 'run');
  const reported = usable(retry, 'harness.injected');
  const once = (what: string, fault: Fault, more: Partial<Planned> = {}): Planned => ({
    name: `${name}: ${what}`,
    faults: plan(attempts(name, 'run', 1, fault)),
    ...more,
  });
  return [
    ...(['fail', 'fail-after'] as const).flatMap((fault) =>
      Array.from({ length: reported }, (_, i) => ({
        name: `${name}: ${fault} at the first ${i + 1} of ${reported}`,
        faults: plan(attempts(name, 'run', i + 1, fault)),
        expect: i + 1 < reported ? isNow('succeeded') : failedAt(name),
      })),
    ),
    ...timely.flatMap((fault) => [
      // A retry may no longer fit into the workflow's own deadline, which then decides; a hedge may be there in time.
      ...Array.from({ length: usable(retry, 'workflow.deadline_passed') }, (_, i) => ({
        name: `${name}: ${fault} at the first ${i + 1}`,
        faults: plan(attempts(name, 'run', i + 1, fault)),
        expect: isNow('succeeded', 'undone', 'stopped'),
      })),
      { name: `${name}: ${fault} at all`, faults: plan(attempts(name, 'run', ALL, fault)), expect: failedAt(name) },
    ]),
    once('fails for good', 'fail-for-good', { expect: failedAt(name) }),
    once('fails for good when it was done', 'fail-for-good-after', { expect: failedAt(name) }),
    once('runs twice', 'twice', { expect: isNow('succeeded') }),
    once('is slow', 'slow', { expect: isNow('succeeded') }),
    once('is slow, and messages come twice', 'slow', { duplicate: true }),
    { name: `${name}: fails, and the engine is lost`, faults: plan(attempts(name, 'run', ALL, 'fail-after')), loseEngine: true },
  ];
};

/** The task's own run fails after it was done: then it is its own undo that has to work. */
const ofUndo = ({ name, task }: Named): Planned[] => {
  if (!task.compensation) return [];
  const broken = attempts(name, 'run', 1, 'fail-for-good-after');
  const retry = retryOf(task, 'compensate');
  const passing = (['fail', 'fail-after', ...timely] as const).flatMap((fault) => {
    const whole = usable(retry, fault.startsWith('fail') ? 'harness.injected' : 'workflow.deadline_passed');
    return Array.from({ length: whole }, (_, i) => ({
      name: `undo of ${name}: ${fault} at the first ${i + 1}`,
      faults: plan([...broken, ...attempts(name, 'compensate', i + 1, fault)]),
      expect: isNow(...(i + 1 < whole ? ['undone', 'stopped'] : ['failed', 'stopped'])),
    }));
  });
  const twice = plan([...broken, ...attempts(name, 'compensate', 1, 'twice')]);
  const expect = isNow('undone', 'stopped');
  return [
    ...passing,
    { name: `undo of ${name}: runs twice`, faults: twice, expect },
    { name: `undo of ${name}: out of order, twice`, faults: plan(broken), duplicate: true, expect },
    { name: `undo of ${name}: the engine is lost`, faults: plan(broken), loseEngine: true, expect },
  ];
};

/** Nobody bids, once or ever; all bid too late or twice; whoever wins never begins. */
const ofOffer = ({ name, task: { route } }: Named): Planned[] => {
  if (route.mode !== 'bid') return [];
  const isGiven = route.otherwise !== undefined;
  const never = (fault: Fault): Planned => ({
    name: `${name}: ${fault} at all its offers`,
    faults: plan(attempts(name, 'offer', ALL, fault)),
    expect: isGiven ? isNow('succeeded') : failedAt(name),
  });
  return [
    ...Array.from({ length: route.offers - 1 }, (_, i) => ({
      name: `${name}: no bid at the first ${i + 1} offers`,
      faults: plan(attempts(name, 'offer', i + 1, 'no-bid')),
      expect: isNow('succeeded'),
    })),
    never('no-bid'),
    never('late-bid'),
    { name: `${name}: all bid twice`, faults: plan(attempts(name, 'offer', 1, 'double-bid')), expect: isNow('succeeded') },
    ...Array.from({ length: route.offers - 1 }, (_, i) => ({
      name: `${name}: the first ${i + 1} winners never begin`,
      faults: plan(attempts(name, 'run', i + 1, 'hang')),
      expect: isNow('succeeded'),
    })),
  ];
};

/** Somebody cancels after each event, with and without undoing; or wants all undone when it is over. */
const ofPeople = (definition: WorkflowDefinition, good: RunResult): Planned[] => {
  const decided = definition.tasks.some((t) => t.pointOfNoReturn);
  const step = Math.max(1, Math.floor(good.log.length / 12));
  const places = Array.from({ length: Math.floor((good.log.length - 1) / step) }, (_, i) => 1 + i * step);
  return [
    ...places.flatMap((after) => [
      { name: `cancelled after ${after}`, faults: plan([]), cancel: { after, compensate: true }, expect: isNow('cancelled', 'succeeded') },
      {
        name: `given up after ${after}`,
        faults: plan([]),
        cancel: { after, compensate: false },
        expect: isNow('cancelled', 'stopped', 'succeeded'),
      },
    ]),
    { name: 'undone when it is over', faults: plan([]), undoAtEnd: true, expect: decided ? () => undefined : isNow('undone') },
    { name: 'undone when it is over, the engine is lost', faults: plan([]), undoAtEnd: true, loseEngine: true },
    { name: 'undone when it is over, all comes twice', faults: plan([]), undoAtEnd: true, duplicate: true },
  ];
};

const chaos = (definition: WorkflowDefinition, seed: number): Scenario => ({
  name: `chaos ${seed}`,
  seed: seed * 7919,
  faults: plan([]),
  chaos: [0.02, 0.1, 0.3][seed % 3]!,
  duplicate: seed % 2 === 0,
  loseEngine: seed % 5 === 0,
  changes: [0, 0, 0.05, 0.3][Math.floor(seed / 7) % 4]!,
  ...(seed % 4 === 0 ? { cancel: { after: 2 + (seed % (definition.tasks.length * 2)), compensate: seed % 8 === 0 } } : {}),
  ...(seed % 11 === 0 ? { undoAtEnd: true } : {}),
});
