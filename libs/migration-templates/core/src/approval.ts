import { accept, reject, type Decision } from '@chrysalis/kernel';
import {
  type ApprovalAsked,
  type ApprovalVerdict,
  type Cause,
  type Coded,
  type EventOf,
  migrationTemplatesEvents as events,
} from '@chrysalis/contracts';

// Of one move of a migration: somebody is asked before its switch-over.

/** `verdict` is absent while it waits. */
export type ApprovalState = ApprovalAsked & Readonly<{ verdict?: ApprovalVerdict; by?: string; reason?: string }>;
type Asking = Readonly<{ moveId: string; vmId: string; state: string; approval?: ApprovalState | undefined }>;
type Of = Readonly<{ migrationId: string; status: string; moves: readonly Asking[] }>;

export type AskApproval = Readonly<{ kind: 'ask-approval'; moveId: string }> & ApprovalAsked;
/** Its time is up, or its move wants no answer any more. */
export type CloseApproval = Readonly<{ kind: 'close-approval'; moveId: string; verdict: 'timed-out' | 'moot'; reason?: string }>;
/** Somebody's word about the moves that wait, or about that of one VM. */
export type JudgeApproval = Readonly<{
  kind: 'judge-approval';
  migrationId: string;
  verdict: 'approved' | 'rejected';
  by: string;
  vmId?: string | undefined;
  reason?: string | undefined;
}>;
export type ApprovalCommand = AskApproval | CloseApproval | JudgeApproval;
export type ApprovalEvent = EventOf<typeof events.approvalAsked> | EventOf<typeof events.approvalSettled>;
export type ApprovalRejection = Coded<
  | { readonly code: 'migration.ended'; readonly migrationId: string; readonly state: string }
  | { readonly code: 'move.unknown'; readonly moveId: string }
  | { readonly code: 'migration.approval_not_asked'; readonly migrationId: string }
  | {
      readonly code: 'migration.approval_settled';
      readonly migrationId: string;
      readonly vmId: string;
      readonly verdict: ApprovalVerdict;
      readonly by?: string;
    }
>;
type Answer = Decision<ApprovalEvent, ApprovalRejection>;

export const decideApproval = (command: ApprovalCommand, migration: Of): Answer => {
  switch (command.kind) {
    case 'ask-approval':
      return ask(command, migration);
    case 'close-approval':
      return close(command, migration);
    case 'judge-approval':
      return judge(command, migration);
  }
};

/** A move with what was asked of it, or what was answered. */
export const withApproval = <M extends Asking>(move: M, event: ApprovalEvent): M => {
  if (event.data.moveId !== move.moveId) return move;
  if (event.type === events.approvalAsked.type) {
    const { attempt, until, onTimeout, meanwhile } = event.data;
    return { ...move, approval: { attempt, until, onTimeout, meanwhile } };
  }
  const { verdict, by, reason } = event.data;
  const told = { verdict, ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
  return move.approval ? { ...move, approval: { ...move.approval, ...told } } : move;
};

/** May it switch over, and if not, why? Undefined while nobody knows. */
export const outcomeOf = (a: ApprovalState): Readonly<{ approved: boolean; by?: string; cause?: Cause }> | undefined => {
  const { verdict, by, reason, until, onTimeout } = a;
  const who = by === undefined ? {} : { by };
  const because = reason === undefined ? '' : `: ${reason}`;
  switch (verdict) {
    case undefined:
      return undefined;
    case 'approved':
      return { approved: true, ...who };
    case 'timed-out':
      if (onTimeout === 'switch') return { approved: true };
      return { approved: false, cause: { code: 'migration.approval_timed_out', message: `nobody approved of it until ${until}` } };
    case 'rejected':
      return { approved: false, ...who, cause: { code: 'migration.approval_rejected', message: `${by} rejected it${because}` } };
    case 'moot':
      return { approved: false, cause: { code: 'migration.approval_rejected', message: `nobody was asked any more${because}` } };
  }
};

/** A question that was answered stays so for the attempt that asked; a move that was repaired asks anew, unless it was approved. */
const ask = ({ kind: _, moveId, ...asked }: AskApproval, { migrationId, moves }: Of): Answer => {
  const move = moves.find((m) => m.moveId === moveId);
  if (!move) return reject({ code: 'move.unknown', moveId });
  const { approval } = move;
  const stands = approval && (!approval.verdict || approval.verdict === 'approved' || approval.attempt >= asked.attempt);
  if (stands) return accept();
  return accept<ApprovalEvent>({ type: events.approvalAsked.type, data: { migrationId, moveId, vmId: move.vmId, ...asked } });
};

const close = ({ moveId, verdict, reason }: CloseApproval, { migrationId, moves }: Of): Answer => {
  const move = moves.find((m) => m.moveId === moveId);
  if (!move) return reject({ code: 'move.unknown', moveId });
  if (!waits(move)) return accept();
  const data = { migrationId, moveId, vmId: move.vmId, verdict, ...(reason === undefined ? {} : { reason }) };
  return accept<ApprovalEvent>({ type: events.approvalSettled.type, data });
};

const waits = ({ approval }: Asking): boolean => approval !== undefined && approval.verdict === undefined;

/** The same word again is no news; another one comes too late. */
const judge = ({ migrationId, verdict, by, vmId, reason }: JudgeApproval, { status, moves }: Of): Answer => {
  if (status !== 'running') return reject({ code: 'migration.ended', migrationId, state: status });
  const about = moves.filter((m) => vmId === undefined || m.vmId === vmId);
  const asked = about.filter((m) => m.state === 'running' && waits(m));
  const data = (m: Asking) => ({
    ...{ migrationId, moveId: m.moveId, vmId: m.vmId, verdict, by },
    ...(reason === undefined ? {} : { reason }),
  });
  if (asked.length > 0) return accept<ApprovalEvent>(...asked.map((m) => ({ type: events.approvalSettled.type, data: data(m) })));
  const settled = about.filter((m) => m.approval?.verdict !== undefined);
  if (settled.some((m) => m.approval!.verdict === verdict)) return accept();
  const [first] = settled;
  if (!first) return reject({ code: 'migration.approval_not_asked', migrationId });
  const other = { verdict: first.approval!.verdict!, ...(first.approval!.by === undefined ? {} : { by: first.approval!.by }) };
  return reject({ code: 'migration.approval_settled', migrationId, vmId: first.vmId, ...other });
};
