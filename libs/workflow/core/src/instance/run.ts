import type { Action, Cause, TaskReport, WorkflowEvent } from '@chrysalis/contracts';
import { evolve } from './evolve.ts';
import type { GraphNode } from '../definition/graph-node.ts';
import { undoPlacesLeft } from './places.ts';
import { AWARD_LAPSED, backoff, retryOf, uncounted } from './retry.ts';
import { type Attempt, initial, type Instance, isOpen, type TaskState } from './state.ts';
import { iso } from './timers.ts';
import { get } from '../structures/vector.ts';

/** One decision being made: the events so far, and the state that they lead to. */
export class Run {
  readonly events: WorkflowEvent[] = [];
  readonly now: number;

  constructor(
    public state: Instance,
    readonly at: string,
  ) {
    this.now = Date.parse(at);
  }

  static started(event: Extract<WorkflowEvent, { type: 'chrysalis.workflow.instance.started.v1' }>, at: string): Run {
    const run = new Run(evolve(initial, event) as Instance, at);
    run.events.push(event);
    return run;
  }

  emit(event: WorkflowEvent): void {
    this.events.push(event);
    this.state = evolve(this.state, event) as Instance;
  }

  node(index: number): GraphNode {
    return this.state.graph.nodes[index]!;
  }
  task(index: number): TaskState {
    return get(this.state.tasks, index);
  }
  name(index: number): string {
    return this.node(index).definition.name;
  }

  /** No task runs past the instance's deadline. */
  get expired(): boolean {
    return this.now >= this.state.deadlineAt;
  }

  /** Work goes forward, unless something failed and may still be undone. */
  get forward(): boolean {
    return !this.expired && (!this.state.cause || this.state.committed);
  }

  succeed(report: TaskReport, output: Record<string, unknown>): void {
    const { workflowId, task, attempt, executor, startedAt, endedAt } = report;
    if (report.action === 'compensate') {
      const index = this.state.graph.index.get(task)!;
      const left = undoPlacesLeft(this.node(index), this.task(index));
      const data = { workflowId, task, attempt, output, ...(left > 0 ? { left } : {}), at: this.at };
      this.emit({ type: 'chrysalis.workflow.task.compensated.v1', data });
    } else
      this.emit({
        type: 'chrysalis.workflow.task.succeeded.v1',
        data: { workflowId, task, attempt, executor, output, startedAt, endedAt },
      });
  }

  /** An attempt under way failed: another one by policy, or for good; neither while its hedge goes on. */
  fail(index: number, { action, attempt, token, executor }: Attempt, cause: Cause): void {
    const hedged = this.task(index).attempts.some((a) => isOpen(a) && a.token !== token);
    const retryAt = hedged ? undefined : this.#retryAt(index, action, cause);
    const { workflowId } = this.state;
    const data = {
      workflowId,
      task: this.name(index),
      attempt,
      cause,
      final: !hedged && retryAt === undefined,
      ...(retryAt ? { retryAt } : {}),
      at: this.at,
    };
    if (action === 'compensate') this.emit({ type: 'chrysalis.workflow.compensation.failed.v1', data });
    else this.emit({ type: 'chrysalis.workflow.task.failed.v1', data: { ...data, executor } });
  }

  /** A task that could not even be given out. It was never dispatched, so it has had no effect. */
  failBefore(index: number, cause: Cause): void {
    const data = {
      workflowId: this.state.workflowId,
      task: this.name(index),
      attempt: this.task(index).attempts.filter((a) => a.action === 'run').length + 1,
      executor: 'workflow',
      cause,
      final: true,
      at: this.at,
    };
    this.emit({ type: 'chrysalis.workflow.task.failed.v1', data });
  }

  #retryAt(index: number, action: Action, cause: Cause): string | undefined {
    const { definition } = this.node(index);
    const wait = this.#lapsed(index, cause) ? 0 : backoff(retryOf(definition, action), action, this.#tries(index, action), cause);
    if (wait === undefined) return undefined;
    const at = this.now + wait;
    if (action === 'compensate') return iso(at);
    const wanted = this.state.status === 'running' && (this.forward || definition.pointOfNoReturn === true);
    return wanted && at < this.state.deadlineAt ? iso(at) : undefined;
  }

  /** Executions that count for the policy, the one that fails now included; of lapsed awards those beyond what the route allows. */
  #tries(index: number, action: Action): number {
    const counts = (a: Attempt): boolean => a.action === action && !a.hedge && !uncounted.has(a.settled?.cause?.code ?? '');
    const { route } = this.node(index).definition;
    const over = action === 'run' && route.mode === 'bid' ? Math.max(0, this.#lapses(index) + 1 - route.offers) : 0;
    const since = action === 'run' ? this.#sinceRunAgain(index) : this.#atThisPlace(index);
    return since.filter(counts).length + over;
  }

  /** A lapsed award is offered anew at once, as often as the route lets it be offered. */
  #lapsed(index: number, cause: Cause): boolean {
    const { route } = this.node(index).definition;
    return cause.code === AWARD_LAPSED && route.mode === 'bid' && this.#lapses(index) + 1 < route.offers;
  }

  #lapses(index: number): number {
    return this.#sinceRunAgain(index).filter((a) => a.settled?.cause?.code === AWARD_LAPSED).length;
  }

  /** Each executor at which a task is undone has the attempts of the policy for itself. */
  #atThisPlace(index: number): readonly Attempt[] {
    const { attempts, since = 0 } = this.task(index);
    return attempts.slice(Math.max(since, attempts.findLastIndex((a) => a.action === 'compensate' && a.settled?.ok) + 1));
  }

  #sinceRunAgain(index: number): readonly Attempt[] {
    const { attempts, since = 0 } = this.task(index);
    return attempts.slice(since);
  }
}
