import type { Action, Cause, InstanceQueued, TaskBid, WorkflowDefinition, WorkflowRequest, WorkflowState } from '@chrysalis/contracts';
import type { Graph } from '../definition/graph-node.ts';
import type { Heap } from '../structures/heap.ts';
import type { Vector } from '../structures/vector.ts';

export type TaskPhase =
  | 'waiting'
  | 'ready'
  /** A `forEach` whose items are under way. */
  | 'expanded'
  /** Executors may bid for it. */
  | 'offered'
  | 'dispatched'
  | 'retrying'
  | 'succeeded'
  | 'failed'
  | 'skipped'
  | 'compensating'
  | 'compensation-retrying'
  | 'compensated'
  | 'compensation-failed';

/** One execution that was given out. `settled` is how it ended; a report for an attempt that is settled changes nothing. */
export type Attempt = {
  readonly action: Action;
  readonly attempt: number;
  readonly token: number;
  readonly executor: string;
  readonly dispatchedAt: string;
  readonly deadlineAt: string;
  /** An award: it lapses if nothing is heard by then. */
  readonly beginBy?: string;
  readonly heartbeatMs?: number;
  /** When the executor was last heard, in milliseconds since 1970; absent: never. */
  readonly heardAt?: number;
  /** Given out beside another one that was under way. */
  readonly hedge?: true;
  readonly settled?: {
    readonly ok: boolean;
    readonly cause?: Cause;
    readonly at?: string;
    readonly startedAt?: string;
    readonly endedAt?: string;
  };
};

export type Bid = Omit<TaskBid, 'workflowId' | 'task' | 'offer'> & { readonly rank: number };
/** `round` counts the offers in a row that nobody answered, this one included. */
export type Offer = { readonly number: number; readonly round: number; readonly closesAt: string; readonly bids: readonly Bid[] };
/** The items of a `forEach`: nodes `first` to `first + count - 1`; those before `next` have had their turn, `going` have it now. */
export type Fan = {
  readonly first: number;
  readonly count: number;
  readonly next: number;
  readonly going: number;
  readonly items: readonly unknown[];
  readonly at: string;
};

export type TaskState = {
  readonly phase: TaskPhase;
  /** Dependencies that have neither succeeded nor been skipped. */
  readonly waitingFor: number;
  /** Direct dependants whose effects are not undone yet; meaningful once compensation started. */
  readonly undoAfter: number;
  readonly attempts: readonly Attempt[];
  readonly output?: Readonly<Record<string, unknown>>;
  readonly cause?: Cause;
  readonly reason?: string;
  /** Of a failure for good: which of the instance's it was, counted from 1. */
  readonly failure?: number;
  /** An operator said that it was done: so there is an effect, although nobody was told to have it. */
  readonly byHand?: true;
  /** It was run again by hand: the attempts before this one count for no policy. */
  readonly since?: number;
  readonly offer?: Offer;
  readonly fan?: Fan;
};

/** A stack that shares its tail. */
export type List = { readonly head: number; readonly tail: List } | undefined;

/**
 * `at` in milliseconds since 1970; `token` names the dispatch it belongs to (of `offer`: the offer's number): an entry of another one is
 * stale.
 */
export type TimerEntry = {
  readonly at: number;
  readonly kind: 'deadline' | 'begin' | 'heartbeat' | 'hedge' | 'retry' | 'offer';
  readonly index: number;
  readonly token: number;
};

export type End = {
  readonly state: WorkflowState;
  readonly cause?: Cause;
  readonly missing?: readonly string[];
  readonly failed?: readonly string[];
  readonly output: Readonly<Record<string, unknown>>;
  readonly at: string;
};

/** A request that was refused: ended before it began. */
export type Refused = {
  readonly status: 'refused';
  readonly workflowId: string;
  readonly subject: string;
  readonly name: string;
  readonly end: End;
};

export type Instance = {
  readonly status: WorkflowState;
  readonly workflowId: string;
  readonly subject: string;
  readonly tenant: string;
  /** With the changes that were made since it started. */
  readonly definition: WorkflowDefinition;
  readonly params: Readonly<Record<string, unknown>>;
  readonly parent?: NonNullable<WorkflowRequest['parent']>;
  readonly usualMs: Readonly<Record<string, number>>;
  readonly startedAt: string;
  /** Nothing new is given out. */
  readonly paused: boolean;
  /** Of the instance: no task runs past it; compensation may. Milliseconds since 1970. */
  readonly deadlineAt: number;
  readonly graph: Graph;
  readonly tasks: Vector<TaskState>;
  /** Of the latest dispatch; 0 before the first. */
  readonly token: number;
  /** Executions given out and not settled. */
  readonly open: number;
  /** Offers made so far. */
  readonly offers: number;
  /** Of tasks awarded by bid: how many each executor has got. */
  readonly awards: Readonly<Record<string, number>>;
  /** Failed attempts that wait for their next one, and tasks that are on offer. */
  readonly retrying: number;
  /** The same two counts for points of no return alone: while one is under way, nothing is undone. */
  readonly decisiveOpen: number;
  readonly decisiveRetrying: number;
  /** Tasks neither succeeded nor skipped. */
  readonly unfinished: number;
  /** A point of no return has succeeded. */
  readonly committed: boolean;
  /** By priority, 0 to 9. */
  readonly ready: readonly List[];
  readonly undoReady: List;
  readonly timers: Heap<TimerEntry>;
  /** The first one, kept to the end. */
  readonly cause?: Cause;
  /** The task whose failure it was. */
  readonly causedBy?: string;
  /** Tasks that failed for good so far. */
  readonly failures: number;
  readonly cancelReason?: string;
  readonly compensationFailed: boolean;
  readonly end?: End;
};

/** Taken, and waiting for its start. */
export type Queued = { readonly status: 'queued' } & InstanceQueued['data'];

export type WorkflowInstance = { readonly status: 'none' } | Queued | Refused | Instance;
export const initial: WorkflowInstance = { status: 'none' };

export const isInstance = (state: WorkflowInstance): state is Instance =>
  state.status !== 'none' && state.status !== 'refused' && state.status !== 'queued';
/** Nothing will happen to it any more; also of what is not there. */
export const isOver = (state: WorkflowInstance): boolean => state.status !== 'queued' && (!isInstance(state) || state.end !== undefined);
export const sooner = (a: TimerEntry, b: TimerEntry): boolean => a.at < b.at || (a.at === b.at && a.token < b.token);
/** The latest execution. */
export const lastAttempt = (task: TaskState): Attempt | undefined => task.attempts.at(-1);
export const isOpen = (attempt: Attempt): boolean => attempt.settled === undefined;
export const byToken = (task: TaskState, token: number): Attempt | undefined => task.attempts.find((a) => a.token === token);
