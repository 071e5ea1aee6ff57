import { accept, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import {
  type Cause,
  type Coded,
  type EventOf,
  migrationTemplatesEvents as events,
  type Pause,
  type Plan,
  type SetPolicy,
  type WorkflowRequest,
} from '@chrysalis/contracts';
import {
  decideApproval,
  withApproval,
  type ApprovalCommand,
  type ApprovalEvent,
  type ApprovalRejection,
  type ApprovalState,
} from './approval.ts';
import type { Figures } from './figures.ts';
import { nothingAround, type Around } from './sets/caps.ts';
import { orderOf } from './sets/order.ts';
import { areOver, isOpen, nextTurn } from './sets/windows.ts';
import { admitted, candidates, countsOf, eligible, haltOf } from './sets/pace.ts';

// Stream `migration-<id>`: a run of a plan over its VMs, some at a time.

export type Start = Readonly<{ moveId: string; vmId: string; request: WorkflowRequest }>;
export type RequestMigration = Readonly<{
  kind: 'request';
  migrationId: string;
  plan: Plan;
  concurrency: number;
  policy?: SetPolicy | undefined;
  /** When it ends with what it has. Absent: never by itself. */
  deadlineAt?: string | undefined;
}> &
  Ready;
/**
 * What a set goes on with: moves made ready for VMs that wait, of which as many begin as there is room for. `unready` are those of its
 * VMs that could not be made ready now: gone, or in another move. Whoever neither is nor could be is tried again.
 */
export type Ready = Readonly<{
  starts: readonly Start[];
  around?: Around | undefined;
  unready?: readonly string[] | undefined;
  /** The instant: whether a window of the set is open. Without it none is. */
  now?: string | undefined;
}>;
export type EndMove = Readonly<{
  kind: 'end-move';
  moveId: string;
  state: 'succeeded' | 'undone' | 'failed';
  cause?: Cause | undefined;
  figures?: Figures | undefined;
}> &
  Ready;
/** It is looked at: there may be room now that others have made, or its time or that of its pause is up. */
export type Advance = Readonly<{ kind: 'advance'; at: string }> & Ready;
/**
 * Until then nothing more begins; `then` is what becomes of it where nobody resumes it before. One that is paused already stays as who
 * paused it said, unless it is to be `replace`d.
 */
export type PauseSet = Readonly<{ kind: 'pause'; migrationId: string; replace?: boolean | undefined } & Pause>;
export type ResumeSet = Readonly<{ kind: 'resume'; migrationId: string; by?: string | undefined }> & Ready;
/** Its workflow goes on after its end: an operator repaired it, or has what it left undone. */
export type ResumeMove = Readonly<{ kind: 'resume-move'; moveId: string; reason: string; by?: string | undefined }>;
export type CancelMigration = Readonly<{ kind: 'cancel'; migrationId: string; reason: string }>;
type Bare<C> = C extends Ready ? Omit<C, keyof Ready> : never;
/** Those by which more of a set may begin, before anything is made ready for them. */
export type SetCommand = Bare<EndMove> | Bare<Advance> | Bare<ResumeSet>;
export type MigrationCommand = RequestMigration | EndMove | ResumeMove | CancelMigration | Advance | PauseSet | ResumeSet | ApprovalCommand;

export type MigrationEvent =
  | EventOf<typeof events.migrationRequested>
  | EventOf<typeof events.moveStarted>
  | EventOf<typeof events.moveEnded>
  | EventOf<typeof events.moveResumed>
  | EventOf<typeof events.migrationCancelRequested>
  | EventOf<typeof events.migrationPaused>
  | EventOf<typeof events.migrationResumed>
  | EventOf<typeof events.migrationEnded>
  | ApprovalEvent;

export type MoveState = Readonly<{
  moveId: string;
  vmId: string;
  state: 'running' | 'succeeded' | 'undone' | 'failed';
  cause?: Cause | undefined;
  figures?: Figures | undefined;
  approval?: ApprovalState | undefined;
}>;
export type MigrationState =
  | Readonly<{ status: 'none' }>
  | Readonly<{
      status: 'running' | 'succeeded' | 'undone' | 'failed' | 'cancelled';
      migrationId: string;
      plan: Plan;
      concurrency: number;
      policy?: SetPolicy | undefined;
      deadlineAt?: string | undefined;
      moves: readonly MoveState[];
      paused?: Pause | undefined;
      cancelled?: string;
      /** Why, where nobody asked for it. */
      cancelCause?: Cause | undefined;
      /** It has ended once, and whoever waited for it acted on that: what goes on is only what it had begun. */
      closed?: true;
    }>;
type Known = Exclude<MigrationState, { status: 'none' }>;

export type MigrationRejection = Coded<
  | { readonly code: 'migration.unknown'; readonly migrationId?: string }
  | { readonly code: 'migration.ended'; readonly migrationId: string; readonly state: string }
  | { readonly code: 'migration.conflict'; readonly migrationId: string }
  | { readonly code: 'migration.cancelling'; readonly migrationId: string }
  | ({ readonly code: 'migration.paused'; readonly migrationId: string } & Pause)
  | { readonly code: 'migration.order_unknown'; readonly vmIds: readonly string[] }
  | { readonly code: 'migration.order_cyclic'; readonly vmIds: readonly string[] }
  | { readonly code: 'migration.windows_past'; readonly now: string }
  | { readonly code: 'move.unknown'; readonly moveId: string }
  | ApprovalRejection
>;
type Answer = Decision<MigrationEvent, MigrationRejection>;

/** VMs of the plan that no move has begun for, in the plan's order. */
export const waiting = (m: MigrationState): readonly string[] => {
  if (m.status === 'none') return [];
  const begun = new Set(m.moves.map((x) => x.vmId));
  return m.plan.moves.map((p) => p.vmId).filter((id) => !begun.has(id));
};

export const migrationDecider: Decider<MigrationCommand, MigrationState, MigrationEvent, Answer> = {
  initial: { status: 'none' },
  decide: (command, state) => {
    switch (command.kind) {
      case 'request':
        return request(command, state);
      case 'end-move':
        return endMove(command, state);
      case 'resume-move':
        return resumeMove(command, state);
      case 'cancel':
        return cancel(command, state);
      case 'advance':
        return advance(command, state);
      case 'pause':
        return pause(command, state);
      case 'resume':
        return resume(command, state);
      case 'ask-approval':
      case 'close-approval':
      case 'judge-approval':
        return state.status === 'none' ? reject({ code: 'migration.unknown' }) : decideApproval(command, state);
    }
  },
  evolve: (state, event) => {
    if (event.type === events.migrationRequested.type) return { status: 'running', ...event.data, moves: [] };
    if (state.status === 'none') return state;
    switch (event.type) {
      case events.moveStarted.type:
        return { ...state, moves: [...state.moves, { moveId: event.data.moveId, vmId: event.data.vmId, state: 'running' }] };
      case events.moveEnded.type:
        return {
          ...state,
          moves: state.moves.map((m) =>
            m.moveId === event.data.moveId ? { ...m, state: event.data.state, cause: event.data.cause, figures: event.data.figures } : m,
          ),
        };
      case events.moveResumed.type:
        return {
          ...state,
          status: 'running',
          moves: state.moves.map((m) =>
            m.moveId === event.data.moveId ? { moveId: m.moveId, vmId: m.vmId, state: 'running', approval: m.approval } : m,
          ),
        };
      case events.approvalAsked.type:
      case events.approvalSettled.type:
        return { ...state, moves: state.moves.map((m) => withApproval(m, event)) };
      case events.migrationCancelRequested.type:
        return { ...state, cancelled: event.data.reason, cancelCause: event.data.cause };
      case events.migrationPaused.type: {
        const { migrationId: _, ...paused } = event.data;
        return { ...state, paused };
      }
      case events.migrationResumed.type: {
        const { paused: _, ...rest } = state;
        return rest;
      }
      case events.migrationEnded.type:
        return { ...state, status: event.data.state, closed: true };
      default:
        return unreachable(event);
    }
  },
};

const request = (c: RequestMigration, state: MigrationState): Answer => {
  if (state.status !== 'none')
    return state.plan.planId === c.plan.planId ? accept() : reject({ code: 'migration.conflict', migrationId: c.migrationId });
  const fault = setFault(
    c.plan.moves.map((m) => m.vmId),
    c.policy,
    c,
  );
  if (fault) return reject(fault);
  const { migrationId, concurrency, policy, deadlineAt } = c;
  // What each move does stands in the plan's own stream, and in each move's workflow: of a thousand moves it would be megabytes here.
  const plan = { ...c.plan, moves: c.plan.moves.map((m) => ({ ...m, steps: [] })) };
  const more = { ...(policy ? { policy } : {}), ...(deadlineAt === undefined ? {} : { deadlineAt }) };
  const event: MigrationEvent = { type: events.migrationRequested.type, data: { migrationId, plan, concurrency, ...more } };
  const begun = migrationDecider.evolve(state, event) as Known;
  return accept<MigrationEvent>(event, ...beginning(begun, c).map((s) => started(migrationId, s)));
};

type SetFault = Extract<MigrationRejection, { code: 'migration.order_unknown' | 'migration.order_cyclic' | 'migration.windows_past' }>;
/** Why these VMs cannot go in this order, or at no time. */
export const setFault = (
  ids: readonly string[],
  policy: SetPolicy = {},
  { now, deadlineAt }: Readonly<{ now?: string | undefined; deadlineAt?: string | undefined }> = {},
): SetFault | undefined => {
  const there = new Set(ids);
  const named = Object.entries(policy.after ?? {}).flatMap(([id, before]) => [id, ...before]);
  const unknown = [...new Set(named)].filter((id) => !there.has(id));
  if (unknown.length > 0) return { code: 'migration.order_unknown', vmIds: unknown };
  const order = orderOf(ids, policy.after);
  if (!order.ok) return { code: 'migration.order_cyclic', vmIds: order.cycle };
  return now !== undefined && areOver({ policy, deadlineAt }, now) ? { code: 'migration.windows_past', now } : undefined;
};

/** Of those made ready, the ones that begin: their turn has come, and there is room. */
const beginning = (m: Known, { starts, around = nothingAround, now }: Ready): readonly Start[] => {
  if (m.closed || m.paused || haltOf(m) || !isOpen(m, now)) return [];
  const ready = new Map(starts.map((s) => [s.vmId, s]));
  const turn = eligible(m).filter((id) => ready.has(id));
  return admitted(m, turn, around).flatMap((id) => ready.get(id) ?? []);
};

const endMove = (c: EndMove, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown' });
  const move = state.moves.find((m) => m.moveId === c.moveId);
  if (!move) return reject({ code: 'move.unknown', moveId: c.moveId });
  if (move.state !== 'running') return accept(); // told again
  const { moveId, state: ended, cause, figures } = c;
  const data = {
    migrationId: state.migrationId,
    moveId,
    vmId: move.vmId,
    state: ended,
    ...(cause ? { cause } : {}),
    ...(figures ? { figures } : {}),
  };
  const event: MigrationEvent = { type: events.moveEnded.type, data };
  const next = migrationDecider.evolve(state, event) as Known;
  return accept<MigrationEvent>(event, ...after(next, c));
};

/** A move that never ended needs no resuming; one that did runs again, and with it its migration. */
const resumeMove = (c: ResumeMove, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown' });
  const move = state.moves.find((m) => m.moveId === c.moveId);
  if (!move) return reject({ code: 'move.unknown', moveId: c.moveId });
  if (move.state === 'running') return accept();
  const { moveId, reason, by } = c;
  const data = { migrationId: state.migrationId, moveId, vmId: move.vmId, reason, ...(by === undefined ? {} : { by }) };
  return accept<MigrationEvent>({ type: events.moveResumed.type, data });
};

/** The next moves, or the end when none runs and none will begin. */
const after = (m: Known, ready: Ready): MigrationEvent[] => {
  const stop = ready.now === undefined ? undefined : outOfTime(m, ready.now);
  if (stop) return stop;
  if (m.moves.every((x) => x.state !== 'running') && isOver(m, ready)) return [ended(m)];
  return beginning(m, ready).map((s) => started(m.migrationId, s));
};

/** Its time is up, or its last window has closed, and VMs are left; undefined where that is not so, or was said before. */
const outOfTime = (m: Known, now: string): MigrationEvent[] | undefined => {
  const { deadlineAt } = m;
  if (m.cancelled !== undefined || m.closed || waiting(m).length === 0) return undefined;
  // First, as a set that is given no deadline has that of its last window.
  if (areOver(m, now)) {
    const message = 'its last window has closed, and nothing more begins';
    return stopped(m, message, { code: 'migration.window_closed', message });
  }
  if (deadlineAt === undefined || Date.parse(deadlineAt) > Date.parse(now)) return undefined;
  const message = `it had until ${deadlineAt}, and began nothing more then`;
  return stopped(m, message, { code: 'migration.time_is_up', message });
};

/** With nothing under way: whether nothing will ever begin. What is paused, waits for a window, or is held by others' moves alone, goes on later. */
const isOver = (m: Known, { unready = [], now }: Ready): boolean => {
  if (m.closed || haltOf(m)) return true;
  const left = eligible(m);
  if (m.paused || !isOpen(m, now)) return left.length === 0;
  const not = new Set(unready);
  return left.every((id) => not.has(id));
};

/**
 * Succeeded only if each VM of the plan is where it should be; undone only if each is where it was. Cancelled: somebody wanted no more of
 * it, and each of its VMs is either here or there. Failed: it was to go on, or a VM is neither.
 */
const endState = (m: Known): 'succeeded' | 'undone' | 'failed' | 'cancelled' => {
  const all = (...states: MoveState['state'][]): boolean => m.moves.every((x) => states.includes(x.state));
  if (waiting(m).length === 0 && all('succeeded')) return 'succeeded';
  if (all('undone') && m.moves.length > 0) return 'undone';
  return isWanted(m) || !all('undone', 'succeeded') ? 'failed' : 'cancelled';
};
/** Nobody asked for its end. Who paused it, and said that it is to end where nobody resumes it, did. */
const isWanted = ({ cancelled, cancelCause }: Known): boolean =>
  cancelled === undefined || (cancelCause !== undefined && cancelCause.code !== 'migration.pause_expired');

const ended = (m: Known): MigrationEvent => {
  const state = endState(m);
  const cause = state === 'succeeded' ? undefined : causeOf(m, state === 'cancelled');
  return {
    type: events.migrationEnded.type,
    data: { migrationId: m.migrationId, state, ...(cause ? { cause } : {}), counts: countsOf(m) },
  };
};

/** The first move's own, unless something else stopped the set that says more. */
const causeOf = (m: Known, cancelled: boolean): Cause => {
  const halt = haltOf(m);
  const first = m.moves.find((x) => x.cause)?.cause;
  const detail = first ? { detail: { first } } : {};
  if (cancelled && halt) return m.cancelCause ?? { ...halt, ...detail };
  if (halt && m.policy && halt.code !== 'migration.cancelled') return { ...halt, ...detail };
  return m.cancelCause ?? first ?? halt ?? { code: 'migration.incomplete', message: 'not every VM was moved' };
};

const cancel = (c: CancelMigration, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown', migrationId: c.migrationId });
  if (state.status !== 'running') return reject({ code: 'migration.ended', migrationId: c.migrationId, state: state.status });
  if (state.cancelled !== undefined) return accept();
  return accept<MigrationEvent>(...stopped(state, c.reason));
};

/** Asked to stop: what runs is undone while it can be, unless it is only that time is up. With nothing under way that is its end. */
const stopped = (m: Known, reason: string, cause?: Cause): MigrationEvent[] => {
  const running = m.moves.filter((x) => x.state === 'running').map((x) => x.moveId);
  const cancel = { workflowIds: cause ? [] : running, reason };
  const event: MigrationEvent = {
    type: events.migrationCancelRequested.type,
    data: { migrationId: m.migrationId, reason, cancel, ...(cause ? { cause } : {}) },
  };
  return running.length > 0 ? [event] : [event, ended(migrationDecider.evolve(m, event) as Known)];
};

const advance = (c: Advance, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown' });
  if (state.status !== 'running' || state.cancelled !== undefined) return accept();
  const { migrationId, paused } = state;
  const stop = outOfTime(state, c.at);
  if (stop) return accept<MigrationEvent>(...stop);
  if (!paused) return accept<MigrationEvent>(...after(state, c));
  if (Date.parse(paused.until) > Date.parse(c.at)) return accept();
  const message = `it was paused until ${paused.until}, and nobody resumed it`;
  if (paused.then === 'cancel') return accept<MigrationEvent>(...stopped(state, message, { code: 'migration.pause_expired', message }));
  return resume({ ...c, kind: 'resume', migrationId }, state);
};

const pause = ({ kind: _, replace, ...data }: PauseSet, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown', migrationId: data.migrationId });
  if (state.status !== 'running') return reject({ code: 'migration.ended', migrationId: data.migrationId, state: state.status });
  if (state.cancelled !== undefined) return reject({ code: 'migration.cancelling', migrationId: data.migrationId });
  const { paused } = state;
  if (paused && paused.until === data.until && paused.then === data.then && paused.reason === data.reason) return accept();
  if (paused && !replace) return reject({ code: 'migration.paused', migrationId: data.migrationId, ...paused });
  return accept<MigrationEvent>({ type: events.migrationPaused.type, data });
};

/** One that is not paused goes on as it does. */
const resume = ({ migrationId, by, ...ready }: ResumeSet, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown', migrationId });
  if (state.status !== 'running') return reject({ code: 'migration.ended', migrationId, state: state.status });
  if (!state.paused) return accept();
  const event: MigrationEvent = { type: events.migrationResumed.type, data: { migrationId, ...(by === undefined ? {} : { by }) } };
  return accept<MigrationEvent>(event, ...after(migrationDecider.evolve(state, event) as Known, ready));
};

/** Whom to make ready for the next decision, where its state is this one. */
export const wanted = (m: MigrationState, around: Around, unready: ReadonlySet<string>, now?: string): readonly string[] =>
  m.status === 'none' || m.paused || !isOpen(m, now) ? [] : candidates(m, around, unready);

const withEnd = (m: MigrationState, moveId: string, state: EndMove['state']): MigrationState =>
  m.status === 'none' ? m : { ...m, moves: m.moves.map((x) => (x.moveId === moveId && x.state === 'running' ? { ...x, state } : x)) };

/** As `decide` finds it when it comes to what may begin by this command. */
export const expecting = (m: MigrationState, command: SetCommand): MigrationState => {
  if (m.status === 'none') return m;
  if (command.kind === 'end-move') return withEnd(m, command.moveId, command.state);
  const goesOn = command.kind === 'resume' || (m.paused?.then === 'resume' && Date.parse(m.paused.until) <= Date.parse(command.at));
  return goesOn ? { ...m, paused: undefined } : m;
};

/** As it will be once it is asked for. */
export const asRequested = (c: Omit<RequestMigration, 'kind' | keyof Ready>): MigrationState => ({ ...c, status: 'running', moves: [] });

/** Room that others make is not told to it: it is looked for. */
const LOOK_MS = 1_000;

/** When it is to be looked at, whatever ends before; undefined where the ends of its own moves are all that it waits for. */
export const nextLook = (m: MigrationState, now: string): string | undefined => {
  if (m.status !== 'running' || m.cancelled !== undefined) return undefined;
  const waits = waiting(m).length > 0;
  const runs = m.moves.some((x) => x.state === 'running');
  const soon = new Date(Date.parse(now) + LOOK_MS).toISOString();
  const looks = !m.paused && isOpen(m, now) && (!runs || m.policy?.limits !== undefined) && waits;
  const times = [...(waits ? [m.deadlineAt, nextTurn(m, now)] : []), m.paused?.until, ...(looks ? [soon] : [])].filter(
    (t) => t !== undefined,
  );
  return times.sort((a, b) => Date.parse(a) - Date.parse(b))[0];
};

const started = (migrationId: string, { moveId, vmId, request: workflow }: Start): MigrationEvent => ({
  type: events.moveStarted.type,
  data: { migrationId, moveId, vmId, request: workflow },
});
