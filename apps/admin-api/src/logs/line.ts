import type { FeedEntry } from '../reads/feed.ts';

/** One thing that happened in a move. `said`: what QEMU, an agent or a script said, as it came. */
export type LogLine = {
  readonly position: string;
  readonly at: string;
  readonly vmId?: string;
  readonly moveId?: string;
  readonly section?: string;
  readonly step?: string;
  readonly kind?: string;
  readonly attempt?: number;
  readonly executor?: string;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly cause?: Cause;
  readonly said?: unknown;
};
type Cause = { readonly code: string; readonly message: string; readonly detail?: unknown };
export type StepInfo = { readonly section?: string; readonly kind?: string; readonly summary?: string };
/** What is known beside the event: whose move its workflow is, and what its steps are. */
export type Known = {
  readonly moveOf: (workflowId: string) => { readonly moveId: string; readonly vmId: string } | undefined;
  readonly step: (workflowId: string, task: string) => StepInfo;
};

type Data = Readonly<Record<string, unknown>> & Partial<{ workflowId: string; moveId: string; vmId: string; task: string; cause: Cause }>;
type Told = Pick<LogLine, 'message'> & Partial<Pick<LogLine, 'level' | 'said'>>;

/** Heartbeats, bids, and what only repeats another event, are no part of the story. */
const tellers: Readonly<Record<string, (d: Data, e: FeedEntry) => Told | undefined>> = {
  'migration-templates.migration.requested': (d) => {
    const { basis, moves } = d['plan'] as Plan;
    return { message: `migration of ${counted(moves.length, 'VM')} by ${refOf(basis.template)}, ${String(d['concurrency'])} at a time` };
  },
  'migration-templates.migration.cancel-requested': (d, e) => ({
    message: `${e.actor} cancels the migration: ${String(d['reason'])}`,
    level: 'warn',
  }),
  'migration-templates.migration.ended': (d) => ended('the migration', d),
  'migration-templates.move.started': (d) => ({ message: `the move of ${d.vmId} begins` }),
  'migration-templates.move.resumed': (d) => ({
    message: `the move goes on${d['by'] ? `, by ${String(d['by'])}` : ''}: ${String(d['reason'])}`,
  }),
  'migration-templates.move.approval-asked': (d) => ({
    message: `waits until ${String(d['until'])} for somebody to approve of the switch-over`,
  }),
  'migration-templates.move.approval-settled': (d) => ({
    message: `approval: ${String(d['verdict'])}${d['by'] ? ` by ${String(d['by'])}` : ''}${d['reason'] ? `: ${String(d['reason'])}` : ''}`,
  }),
  'migration-templates.move.ended': (d) => ended('the move', d),
  'provisioning.vm.move-begun': (d) => ({ message: `${d.vmId} is locked for the move ${String(d['fromHost'])} -> ${String(d['toHost'])}` }),
  'provisioning.vm.switched-over': (d) => ({ message: `${d.vmId} runs on ${String(d['toHost'])} now, at epoch ${String(d['epoch'])}` }),
  'provisioning.vm.move-ended': (d) => ({ message: `${d.vmId} is let go of, ${String(d['outcome'])}` }),
  'workflow.task.offered': (d) => ({ message: `offered to ${String(d['group'])}` }),
  'workflow.task.dispatched': (d) => ({
    message: `${d['action'] === 'compensate' ? 'undo' : 'start'}${(d['attempt'] as number) > 1 ? `, attempt ${String(d['attempt'])}` : ''}, at ${String(d['executor'])} until ${String(d['deadlineAt'])}`,
  }),
  'workflow.task.skipped': (d) => ({ message: `skipped: ${String(d['reason'])}` }),
  'workflow.task.succeeded': (d) => ({
    message: `done in ${Date.parse(d['endedAt'] as string) - Date.parse(d['startedAt'] as string)} ms${exitOf(d['output'])}`,
    ...said(d['output']),
  }),
  'workflow.task.failed': (d) => failed('failed', d),
  'workflow.compensation.started': (d) => ({ message: `what was done is undone: ${causeText(d.cause)}`, level: 'warn' }),
  'workflow.task.compensated': (d) => ({
    message: d['left'] ? `undone at one executor, ${String(d['left'])} more to go` : 'undone',
    ...said(d['output']),
  }),
  'workflow.compensation.failed': (d) => failed('the undo failed', d),
  'workflow.instance.changed': (d) => {
    const { type, ...change } = d['change'] as { type: string; task?: unknown };
    const task = typeof change.task === 'string' ? ` ${change.task}` : '';
    return { message: `${String(d['actor'])}: ${type}${task}: ${String(d['reason'])}`, level: 'warn' };
  },
  'workflow.cancel.requested': (d, e) => ({ message: `${e.actor} cancels: ${String(d['reason'])}`, level: 'warn' }),
  'workflow.instance.ended': (d) => {
    const missing = (d['missing'] as string[] | undefined) ?? [];
    const left = missing.length > 0 ? `; left: ${missing.slice(0, 20).join(', ')}` : '';
    const { message, ...rest } = ended('its workflow', d);
    return { ...rest, message: `${message}${left}` };
  },
};
type Plan = { basis: { template: { name: string; version: number } }; moves: readonly unknown[] };

/** The line of an event, or nothing where it is no part of the story. Pure. */
export const lineOf = (entry: FeedEntry, known: Known): LogLine | undefined => {
  const teller = tellers[/^chrysalis\.(.+)\.v\d+$/.exec(entry.type)?.[1] ?? ''];
  const d = entry.data as Data;
  const told = teller?.(d, entry);
  if (!told) return undefined;
  return {
    position: entry.position,
    at: entry.at,
    ...ofMove(d, known),
    ...(d.task === undefined ? {} : ofStep(d, d.task, known.step(d.workflowId ?? '', d.task))),
    level: 'info',
    ...(d.cause ? { cause: d.cause } : {}),
    ...told,
  };
};

/** Whose line it is: as the event says, or by the workflow that it is of. */
const ofMove = (d: Data, known: Known): Pick<LogLine, 'vmId' | 'moveId'> => {
  const move = d.workflowId === undefined ? undefined : known.moveOf(d.workflowId);
  const { moveId = move?.moveId, vmId = move?.vmId } = d;
  return { ...(vmId === undefined ? {} : { vmId }), ...(moveId === undefined ? {} : { moveId }) };
};

const ofStep = (d: Data, step: string, { section, kind }: StepInfo): Partial<LogLine> => ({
  section: section ?? 'prepare',
  step,
  ...(d['kind'] || kind ? { kind: (d['kind'] ?? kind) as string } : {}),
  ...(typeof d['attempt'] === 'number' ? { attempt: d['attempt'] } : {}),
  ...(typeof d['executor'] === 'string' ? { executor: d['executor'] } : {}),
});

const refOf = ({ name, version }: { name: string; version: number }): string => `${name}@${version}`;
const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
const causeText = (c: Cause | undefined): string => (c ? `${c.code}: ${c.message}` : 'no cause was told');
const ended = (what: string, d: Data): Told => {
  const good = d['state'] === 'succeeded';
  return {
    message: `${what} ended ${String(d['state'])}${d.cause && !good ? `: ${causeText(d.cause)}` : ''}`,
    level: good ? 'info' : 'error',
    ...(good ? said(d['figures']) : {}),
  };
};
const failed = (what: string, d: Data): Told => ({
  message: `${what}: ${causeText(d.cause)}${d['final'] ? '' : d['retryAt'] ? `; again at ${String(d['retryAt'])}` : ''}`,
  level: d['final'] ? 'error' : 'warn',
  ...said(d.cause?.detail),
});
const exitOf = (output: unknown): string => {
  const code = (output as { exitCode?: unknown } | undefined)?.exitCode;
  return typeof code === 'number' ? `, exit code ${code}` : '';
};
const said = (value: unknown): Pick<Told, 'said'> =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0) ? {} : { said: value };
