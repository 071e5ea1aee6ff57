import { accept, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import {
  type Cause,
  type Coded,
  type EventOf,
  migrationTemplatesEvents as events,
  type Plan,
  type WorkflowRequest,
} from '@chrysalis/contracts';
import type { Figures } from './figures.ts';

// Stream `migration-<id>`: a run of a plan over its VMs, some at a time.

export type Start = Readonly<{ moveId: string; vmId: string; request: WorkflowRequest }>;
export type RequestMigration = Readonly<{
  kind: 'request';
  migrationId: string;
  plan: Plan;
  concurrency: number;
  starts: readonly Start[];
}>;
/** `starts` are moves made ready for VMs that wait; as many begin as there is room for, and none after a failure or a cancel. */
export type EndMove = Readonly<{
  kind: 'end-move';
  moveId: string;
  state: 'succeeded' | 'undone' | 'failed';
  cause?: Cause | undefined;
  figures?: Figures | undefined;
  starts: readonly Start[];
}>;
/** Its workflow goes on after its end: an operator repaired it, or has what it left undone. */
export type ResumeMove = Readonly<{ kind: 'resume-move'; moveId: string; reason: string; by?: string | undefined }>;
export type CancelMigration = Readonly<{ kind: 'cancel'; migrationId: string; reason: string }>;
export type MigrationCommand = RequestMigration | EndMove | ResumeMove | CancelMigration;

export type MigrationEvent =
  | EventOf<typeof events.migrationRequested>
  | EventOf<typeof events.moveStarted>
  | EventOf<typeof events.moveEnded>
  | EventOf<typeof events.moveResumed>
  | EventOf<typeof events.migrationCancelRequested>
  | EventOf<typeof events.migrationEnded>;

export type MoveState = Readonly<{
  moveId: string;
  vmId: string;
  state: 'running' | 'succeeded' | 'undone' | 'failed';
  cause?: Cause | undefined;
  figures?: Figures | undefined;
}>;
export type MigrationState =
  | Readonly<{ status: 'none' }>
  | Readonly<{
      status: 'running' | 'succeeded' | 'undone' | 'failed';
      migrationId: string;
      plan: Plan;
      concurrency: number;
      moves: readonly MoveState[];
      cancelled?: string;
      /** It has ended once, and whoever waited for it acted on that: what goes on is only what it had begun. */
      closed?: true;
    }>;
type Known = Exclude<MigrationState, { status: 'none' }>;

export type MigrationRejection = Coded<
  | { readonly code: 'migration.unknown'; readonly migrationId?: string }
  | { readonly code: 'migration.ended'; readonly migrationId: string; readonly state: string }
  | { readonly code: 'migration.conflict'; readonly migrationId: string }
  | { readonly code: 'move.unknown'; readonly moveId: string }
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
          moves: state.moves.map((m) => (m.moveId === event.data.moveId ? { moveId: m.moveId, vmId: m.vmId, state: 'running' } : m)),
        };
      case events.migrationCancelRequested.type:
        return { ...state, cancelled: event.data.reason };
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
  const { migrationId, plan, concurrency } = c;
  return accept<MigrationEvent>(
    { type: events.migrationRequested.type, data: { migrationId, plan, concurrency } },
    ...c.starts.slice(0, concurrency).map((s) => started(migrationId, s)),
  );
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
  return accept<MigrationEvent>(event, ...after(next, c.starts));
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

/** The next moves, or the end when none runs and none may begin. */
const after = (m: Known, starts: readonly Start[]): MigrationEvent[] => {
  const running = m.moves.filter((x) => x.state === 'running').length;
  const left = new Set(waiting(m));
  const halted = m.closed === true || m.cancelled !== undefined || m.moves.some((x) => x.state === 'failed' || x.state === 'undone');
  const begin = halted ? [] : starts.filter((s) => left.has(s.vmId)).slice(0, Math.max(0, m.concurrency - running));
  if (begin.length > 0) return begin.map((s) => started(m.migrationId, s));
  return running > 0 || (!halted && left.size > 0 && starts.length > 0) ? [] : [ended(m)];
};

/** Succeeded only if each VM of the plan is where it should be; undone only if each is where it was. */
const ended = (m: Known): MigrationEvent => {
  const all = (s: MoveState['state']): boolean => m.moves.every((x) => x.state === s);
  const done = waiting(m).length === 0 && all('succeeded');
  const state = done ? 'succeeded' : all('undone') ? 'undone' : 'failed';
  const cause =
    m.moves.find((x) => x.cause)?.cause ??
    (done
      ? undefined
      : {
          code: m.cancelled === undefined ? 'migration.incomplete' : 'migration.cancelled',
          message: m.cancelled ?? 'not every VM was moved',
        });
  return { type: events.migrationEnded.type, data: { migrationId: m.migrationId, state, ...(cause ? { cause } : {}) } };
};

const cancel = (c: CancelMigration, state: MigrationState): Answer => {
  if (state.status === 'none') return reject({ code: 'migration.unknown', migrationId: c.migrationId });
  if (state.status !== 'running') return reject({ code: 'migration.ended', migrationId: c.migrationId, state: state.status });
  if (state.cancelled !== undefined) return accept();
  const workflows = state.moves.filter((m) => m.state === 'running').map((m) => m.moveId);
  const event: MigrationEvent = {
    type: events.migrationCancelRequested.type,
    data: { migrationId: c.migrationId, reason: c.reason, cancel: { workflowIds: workflows, reason: c.reason } },
  };
  return accept<MigrationEvent>(event);
};

const started = (migrationId: string, { moveId, vmId, request: workflow }: Start): MigrationEvent => ({
  type: events.moveStarted.type,
  data: { migrationId, moveId, vmId, request: workflow },
});
