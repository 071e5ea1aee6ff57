import type { Change, Route, TaskDefinition } from '@chrysalis/contracts';
import fc from 'fast-check';
import { isInstance, isOpen, nextTimerAt, toArray, type Attempt, type WorkflowCommand, type WorkflowInstance } from '../index.ts';

/** One thing that happens: drawn without knowing the state; `commandOf` makes a command of it that fits the state, more or less. */
export type Step = { readonly what: number; readonly which: number; readonly how: number };
export const anySteps = (max: number): fc.Arbitrary<Step[]> =>
  fc.array(fc.record({ what: fc.integer({ min: 0, max: 99 }), which: fc.nat(1_000), how: fc.nat(1_000) }), {
    minLength: Math.floor(max / 2),
    maxLength: max,
  });

const group: Route = { mode: 'group', group: 'provisioning' };
const direct: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:h9' };
const pick = <T>(items: readonly T[], n: number): T | undefined => items[n % items.length];

/** The command, and how many milliseconds later it comes. */
export const commandOf = ({ what, which, how }: Step, state: WorkflowInstance, now: number): { command: WorkflowCommand; now: number } => {
  const at = (ms: number): string => new Date(ms).toISOString();
  const next = nextTimerAt(state);
  const tick = (): { command: WorkflowCommand; now: number } => {
    const then = Math.max(now, (next ?? now) - (how % 7 === 0 ? 1 : 0));
    return { command: { type: 'tick', at: at(then) }, now: then };
  };
  if (!isInstance(state)) return tick();
  const later = now + (how % 3);
  const open = openIn(state);
  if (what < 50) {
    const given = pick(open, which);
    return given ? { command: reportOf(given, how, at(later)), now: later } : tick();
  }
  if (what < 62) return { command: bidOf(state, which, how, at(later)) ?? { type: 'tick', at: at(later) }, now: later };
  if (what < 65) {
    const given = pick(open, which);
    if (!given) return tick();
    const { task, action, attempt, token } = given;
    const heartbeat = { workflowId: 'w', task, action, attempt, token, executor: 'x', at: at(later) };
    return { command: { type: 'heartbeat', heartbeat, at: at(later) }, now: later };
  }
  if (what < 89) {
    const change = changeOf(state, what - 65, which, how);
    return { command: { type: 'change', change, actor: 'someone', reason: 'any', at: at(later) }, now: later };
  }
  if (what === 89) return { command: { type: 'cancel', reason: 'any', compensate: how % 4 !== 0, at: at(later) }, now: later };
  if (what === 90) return { command: { type: 'undo', reason: 'any', at: at(later) }, now: later };
  return tick();
};

type Given = Attempt & { readonly task: string };
const namesIn = (state: WorkflowInstance): string[] => (isInstance(state) ? state.graph.nodes.map((n) => n.definition.name) : []);
const openIn = (state: WorkflowInstance): Given[] => {
  if (!isInstance(state)) return [];
  const names = namesIn(state);
  return toArray(state.tasks).flatMap((t, i) => t.attempts.filter(isOpen).map((a) => ({ ...a, task: names[i]! })));
};

const reportOf = ({ task, action, attempt, token, executor }: Given, how: number, at: string): WorkflowCommand => {
  const good = { ok: true as const, output: { v: how, list: ['a', 'b'].slice(0, how % 3) } };
  const bad = { ok: false as const, cause: { code: 'x.failed', message: `${task} ${attempt}`, retriable: how % 2 === 0 } };
  const report = { workflowId: 'w', task, action, attempt, token, executor, startedAt: at, endedAt: at };
  return { type: 'report', report: { ...report, outcome: how % 8 === 0 ? bad : good }, at };
};

const bidOf = (state: WorkflowInstance, which: number, how: number, at: string): WorkflowCommand | undefined => {
  if (!isInstance(state)) return undefined;
  const offers = toArray(state.tasks).flatMap((t, i) => (t.offer ? [{ task: namesIn(state)[i]!, offer: t.offer.number }] : []));
  const offer = pick(offers, which);
  if (!offer) return undefined;
  const bid = { workflowId: 'w', ...offer, executor: `host:h${how % 4}`, cost: how, free: 1, ready: how % 3 > 0, at };
  return { type: 'bid', bid, rank: how % 2, at };
};

const changeOf = (state: WorkflowInstance, kind: number, which: number, how: number): Change => {
  const names = namesIn(state);
  const task = pick(names, which)!;
  const own = task.split('.')[0]!;
  const other = pick(names, how)!.split('.')[0]!;
  const added: TaskDefinition = {
    name: `x${which % 5}`,
    kind: 'test.do',
    summary: 'x',
    input: {},
    after: [other],
    deadlineMs: 100,
    route: group,
  };
  switch (kind % 12) {
    case 0:
      return { type: 'pause' };
    case 1:
    case 2:
      return { type: 'resume' };
    case 3:
      return { type: 'add-task', task: added, before: how % 2 ? [own] : [] };
    case 4:
      return { type: 'duplicate-task', task: own, as: `y${how % 5}`, ...(how % 2 ? { route: group } : {}) };
    case 5:
      return { type: 'skip-task', task };
    case 6:
      return { type: 'replace-task', task: own, with: { ...added, name: own } };
    case 7:
      return { type: 'rewire', task: own, ...(how % 2 ? { after: [other] } : { input: { v: `\${tasks.${other}.output.v}` } }) };
    case 8:
      return { type: 'reassign', task, route: how % 2 ? direct : group };
    case 9:
      return limitsOf(how % 5 === 0 ? undefined : own, how);
    case 10:
      return { type: 'mark-done', task, output: { v: how, list: ['z'] } };
    default:
      return { type: 'retry-from', task };
  }
};

const limitsOf = (task: string | undefined, how: number): Change => {
  if (task === undefined) return { type: 'set-limits', deadlineMs: 500 + how * 10 };
  const which = how % 4;
  return {
    type: 'set-limits',
    task,
    ...(which === 0 ? { deadlineMs: 20 + how } : {}),
    ...(which === 1 ? { concurrency: 1 + (how % 5) } : {}),
    ...(which === 2 ? { priority: how % 10 } : {}),
    ...(which === 3 ? { retry: { attempts: 2, backoffMs: how } } : {}),
  };
};
