import type { TaskDefinition, TaskDispatch, WorkflowDefinition, WorkflowEvent } from '@chrysalis/contracts';
import type { workflowDecider } from '@chrysalis/workflow-core';

/** What an executor of this kind answers when all goes well: its output. Pure; throws only if the input is not what the kind takes. */
export type ExecutorModel = (input: Readonly<Record<string, unknown>>, dispatch: TaskDispatch) => Record<string, unknown>;

/**
 * What befalls one execution:
 * - `fail`: nothing is done, and a failure that may be retried is reported; `fail-after`: it is done, and the same is reported;
 * - `fail-for-good`: as `fail`, not to be retried; `fail-for-good-after`: done all the same;
 * - `lost-report`: it is done, and nobody hears of it; `late-report`: the report comes long after the deadline;
 * - `hang`: nothing is done, nothing is said; `late-run`: the dispatch itself arrives long after the deadline;
 * - `twice`: it is done two times, with two reports;
 * - `slow`: it takes half its time, and says all the while that it is at it; `silent`: it says that it begins, is done, and no more is heard.
 * A message that comes again meets the planned fault again.
 */
export const faults = [
  'fail',
  'fail-after',
  'fail-for-good',
  'fail-for-good-after',
  'lost-report',
  'late-report',
  'hang',
  'late-run',
  'twice',
  'slow',
  'silent',
] as const;
/** What befalls one offer: nobody bids, everybody bids too late, everybody bids twice. */
export const offerFaults = ['no-bid', 'late-bid', 'double-bid'] as const;
export type Fault = (typeof faults)[number] | (typeof offerFaults)[number];

/** Of an offer, `attempt` is which one of the task's it is. */
export type Target = { readonly task: string; readonly action: 'run' | 'compensate' | 'offer'; readonly attempt: number };
export const targetKey = ({ task, action, attempt }: Target): string => `${action} ${task} ${attempt}`;

/**
 * Where the effect of an execution is: with its executor, if the task's undo goes to `${executor}`; else wherever the group keeps it. What
 * an operator did by hand is nobody's.
 */
export const placeOf = (definition: TaskDefinition, { task, executor }: Pick<TaskDispatch, 'task' | 'executor'>): string => {
  const route = definition.compensation?.route;
  return route?.mode === 'direct' && route.executor === '${executor}' ? `${task}@${executor}` : task;
};
export const taskAt = (place: string): string => place.split('@')[0]!;

export type Scenario = {
  readonly name: string;
  readonly seed: number;
  /** By `targetKey`. */
  readonly faults: ReadonlyMap<string, Fault>;
  /** Of each execution without a planned fault: how likely a random one is. */
  readonly chaos?: number;
  /** After so many events somebody cancels. */
  readonly cancel?: { readonly after: number; readonly compensate: boolean };
  /** When it has succeeded, somebody wants it undone after all. */
  readonly undoAtEnd?: boolean;
  /** After each event: how likely somebody changes the running instance, in some way. */
  readonly changes?: number;
  /** The engine loses its memory before every command, and what it said last is said again. */
  readonly loseEngine?: boolean;
  /** Each message twice, and none in order. */
  readonly duplicate?: boolean;
  /** What has to come of it; absent: whatever is consistent. */
  readonly expect?: (run: RunResult) => string | undefined;
};

export type RunResult = {
  readonly scenario: Scenario;
  readonly log: readonly WorkflowEvent[];
  /** What is there at the very end, when nothing is under way any more: `placeOf` each effect. */
  readonly effects: ReadonlySet<string>;
  /** Executions that executors began, by `targetKey`. */
  readonly reached: ReadonlySet<string>;
  readonly changes: readonly { readonly type: string; readonly taken: boolean }[];
  /** What the harness saw going wrong while it ran. */
  readonly troubles: readonly string[];
};

export type HarnessOptions = {
  readonly definition: WorkflowDefinition;
  readonly params: Readonly<Record<string, unknown>>;
  /** The name under which `npm run harness` finds it again. */
  readonly name?: string;
  /** By task kind, compensations' kinds as well. A kind without one answers `{}`. */
  readonly executors?: Readonly<Record<string, ExecutorModel>>;
  /** Chaos runs with random faults, duplicates, lost engines, cancels and live changes. 20 unless told. */
  readonly seeds?: number;
  /** The first seed; 1 unless told. */
  readonly firstSeed?: number;
  /** False: only the chaos runs, for definitions too large to have each step fail in each way. */
  readonly singleFaults?: boolean;
  /** Tasks that these params never reach, because their condition is false. Each other task must be reached. */
  readonly unreachable?: readonly string[];
  /** The engine under test; the product's unless told. */
  readonly engine?: typeof workflowDecider;
  /** Who bids; three hosts unless told, and a fourth that never does. */
  readonly bidders?: readonly string[];
  /** Whether executors refuse what is older than what they have seen of a task. They do. */
  readonly admission?: boolean;
};

export type Violation = { readonly scenario: string; readonly seed: number; readonly message: string; readonly log: readonly string[] };
export type HarnessReport = {
  readonly scenarios: number;
  readonly events: number;
  readonly finalStates: Readonly<Record<string, number>>;
  /** Live changes by kind: how often they were taken, and refused. */
  readonly changes: Readonly<Record<string, { readonly taken: number; readonly refused: number }>>;
  /** Executions that some scenario reached, of all planned. */
  readonly reached: number;
  readonly violations: readonly Violation[];
};
