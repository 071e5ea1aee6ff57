import type { Change, Route, TaskDefinition, TaskReport, WorkflowDefinition, WorkflowEvent } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import {
  decide,
  evolve,
  initial,
  isInstance,
  toArray,
  type Instance,
  type TaskState,
  type WorkflowCommand,
  type WorkflowInstance,
} from '../index.ts';

const t0 = Date.parse('2026-01-01T00:00:00.000Z');
export const iso = (ms: number): string => new Date(t0 + ms).toISOString();
const group: Route = { mode: 'group', group: 'provisioning' };
export const bidRoute = {
  mode: 'bid',
  group: 'agent-gateway',
  windowMs: 100,
  award: 'lowest-cost',
  beginWithinMs: 200,
  offers: 2,
} as const;

export const task = (name: string, more: Partial<TaskDefinition> = {}): TaskDefinition => ({
  name,
  kind: 'test.do',
  summary: name,
  input: {},
  deadlineMs: 1000,
  route: group,
  ...more,
});
export const undo = (
  more: Partial<NonNullable<TaskDefinition['compensation']>> = {},
): { compensation: NonNullable<TaskDefinition['compensation']> } => ({
  compensation: { kind: 'test.undo', input: {}, deadlineMs: 500, route: group, ...more },
});
export const definition = (tasks: TaskDefinition[], more: Partial<WorkflowDefinition> = {}): WorkflowDefinition => ({
  name: 'test',
  version: 1,
  summary: 'a test',
  params: { list: { type: 'array', required: false } },
  tasks,
  deadlineMs: 10_000,
  ...more,
});

type Reported = Partial<TaskReport> & { output?: Record<string, unknown>; retriable?: boolean };

/** A log and the commands that made it. Each command answers the short names of what came of it, or the code of its refusal. */
export class Story {
  events: WorkflowEvent[] = [];
  state: WorkflowInstance = initial;
  constructor(tasks: TaskDefinition[] | WorkflowDefinition, params: Record<string, unknown> = {}, parent?: { deadlineAt: string }) {
    const request = { workflowId: 'w1', definition: Array.isArray(tasks) ? definition(tasks) : tasks, params, subject: 's' };
    const of = parent && { parent: { workflowId: 'w0', task: 'sub', attempt: 1, token: 1, ...parent } };
    this.when({ type: 'start', request: { ...request, ...of }, tenant: 't', at: iso(0) });
  }
  when(command: WorkflowCommand): string[] | string {
    const before = this.state;
    const decision = decide(command, before);
    if (!decision.ok) return decision.rejection.code;
    this.events.push(...decision.events);
    this.state = fold(evolve, before, decision.events);
    return decision.events.map(short);
  }
  /** The whole refusal. */
  refusal(command: WorkflowCommand): object {
    const decision = decide(command, this.state);
    return decision.ok ? { taken: decision.events.map(short) } : decision.rejection;
  }
  given(name: string) {
    return this.events.flatMap((e) => (e.type === 'chrysalis.workflow.task.dispatched.v1' && e.data.task === name ? [e.data] : [])).at(-1)!;
  }
  report(name: string, ok: boolean | string, ms: number, { output = {}, retriable = false, ...more }: Reported = {}) {
    const outcome = ok === true ? { ok, output } : { ok: false as const, cause: { code: String(ok), message: 'm', retriable } };
    const { action, attempt, token, executor } = this.given(name);
    const report = {
      workflowId: 'w1',
      task: name,
      action,
      attempt,
      token,
      executor,
      outcome,
      startedAt: iso(ms),
      endedAt: iso(ms),
      ...more,
    };
    return this.when({ type: 'report', report, at: iso(ms) });
  }
  tick(ms: number) {
    return this.when({ type: 'tick', at: iso(ms) });
  }
  bid(
    name: string,
    executor: string,
    ms: number,
    more: { cost?: number; ready?: boolean; rank?: number; offer?: number; free?: number } = {},
  ) {
    const { rank = 0, ...rest } = more;
    const offer = this.events
      .flatMap((e) => (e.type === 'chrysalis.workflow.task.offered.v1' && e.data.task === name ? [e.data.offer] : []))
      .at(-1)!;
    const bid = { workflowId: 'w1', task: name, offer, executor, cost: 1, free: 1, ready: true, at: iso(ms), ...rest };
    return this.when({ type: 'bid', bid, rank, at: iso(ms) });
  }
  beat(name: string, ms: number, more: { token?: number; attempt?: number } = {}) {
    const { action, attempt, token, executor } = this.given(name);
    const heartbeat = { workflowId: 'w1', task: name, action, attempt, token, executor, at: iso(ms), ...more };
    return this.when({ type: 'heartbeat', heartbeat, at: iso(ms) });
  }
  change(change: Change, ms: number) {
    return this.when({ type: 'change', change, actor: 'op', reason: 'why', at: iso(ms) });
  }
  cancel(ms: number, compensate?: boolean) {
    return this.when({ type: 'cancel', reason: 'enough', at: iso(ms), ...(compensate === undefined ? {} : { compensate }) });
  }
  undo(ms: number) {
    return this.when({ type: 'undo', reason: 'not wanted', at: iso(ms) });
  }
  get instance(): Instance {
    if (!isInstance(this.state)) throw new Error(`it is ${this.state.status}`);
    return this.state;
  }
  task(name: string): TaskState {
    return toArray(this.instance.tasks)[this.instance.graph.index.get(name)!]!;
  }
  get end() {
    return this.state.status === 'none' || this.state.status === 'queued' ? undefined : this.state.end;
  }
}

const short = (e: WorkflowEvent): string => {
  const d = e.data as {
    task?: string;
    state?: string;
    action?: string;
    attempt?: number;
    hedge?: boolean;
    change?: { type: string };
    executor?: string;
  };
  if (e.type.includes('dispatched')) return `${d.action} ${d.task} ${d.attempt}${d.hedge ? ' hedge' : ''}`;
  const noun = e.type.split('.').slice(2, 4).join('.');
  return [noun, d.change?.type, d.task, noun === 'bid.received' ? d.executor : undefined, d.state].filter((p) => p !== undefined).join(' ');
};
