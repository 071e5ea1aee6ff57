import type { Cause, TaskDefinition, TaskReport, WorkflowDefinition, WorkflowEvent } from '@chrysalis/contracts';
import { applyChange } from './ledger-changes.ts';
import { dependenciesOf } from './dependencies.ts';
import { Rules } from './rules.ts';
import { placeOf } from './types.ts';

type DataOf<T extends string> = Extract<WorkflowEvent, { type: `chrysalis.workflow.${T}.v1` }>['data'];
type Undoing = Extract<
  WorkflowEvent,
  { type: `chrysalis.workflow.${'compensation.started' | 'compensation.failed' | 'task.compensated'}.v1` }
>;
type Beginning = Extract<WorkflowEvent, { type: `chrysalis.workflow.instance.${'started' | 'queued'}.v1` }>;
export type Execution = DataOf<'task.dispatched'>;
export type OpenOffer = DataOf<'task.offered'> & { readonly bids: DataOf<'bid.received'>[] };

/** What the log says of one task or item. `outcome` is that of its run; `mayHaveEffect` stays, whatever is said later. */
export class Entry {
  outcome: 'none' | 'done' | 'skipped' | 'failed' = 'none';
  /** By `placeOf`: where it ran, and where of these it was undone. */
  readonly ran = new Set<string>();
  readonly undone = new Set<string>();
  /** Everywhere. What was done by hand is nowhere, and undone once somebody says so. */
  get compensated(): boolean {
    return this.undone.size > 0 && this.placesLeft === 0;
  }
  get placesLeft(): number {
    return [...this.ran].filter((place) => !this.undone.has(place)).length;
  }
  mayHaveEffect = false;
  /** It has been given out or offered, and has come to no end. */
  begun = false;
  readonly attempts = { run: 0, compensate: 0 };
  readonly open = new Map<number, Execution>();
  offer: OpenOffer | undefined;
}

/** `cancel` without a task: somebody asked. */
export type Trouble = { readonly task: string | undefined; readonly cause: Cause };

/** The log, read by the harness alone: nothing here is taken from the engine. Breaches of the rules are collected in `problems`. */
export class Ledger {
  readonly problems: string[] = [];
  readonly tasks: Map<string, TaskDefinition>;
  readonly fans = new Map<string, number>();
  readonly entries = new Map<string, Entry>();
  dependencies: ReadonlyMap<string, readonly string[]>;
  /** What went wrong and has not been repaired, the first one first. */
  troubles: Trouble[] = [];
  paused = false;
  committed = false;
  compensating = false;
  abandoned = false;
  compensationFailures = 0;
  token = 0;
  end: DataOf<'instance.ended'> | undefined;
  /** That compensation began for, where no task had failed. */
  otherCause: Cause | undefined;
  readonly #rules = new Rules(this);

  constructor(readonly definition: WorkflowDefinition) {
    this.tasks = new Map(definition.tasks.map((t) => [t.name, t]));
    this.dependencies = dependenciesOf(definition.tasks);
  }

  entry(name: string): Entry {
    const known = this.entries.get(name);
    if (known) return known;
    const fresh = new Entry();
    this.entries.set(name, fresh);
    return fresh;
  }
  /** Of an item: its forEach's. */
  definitionOf(name: string): TaskDefinition {
    return this.tasks.get(name.split('.')[0]!)!;
  }
  placeOf(execution: Pick<Execution, 'task' | 'executor'>): string {
    return placeOf(this.definitionOf(execution.task), execution);
  }
  /** A forEach itself, not one of its items: it has no effect of its own. */
  isWhole(name: string): boolean {
    return this.tasks.get(name)?.forEach !== undefined;
  }
  itemsOf(name: string): string[] {
    return Array.from({ length: this.fans.get(name) ?? 0 }, (_, i) => `${name}.${i}`);
  }
  /** Every task and item that there is. */
  names(): string[] {
    return [...this.tasks.keys()].flatMap((name) => [name, ...this.itemsOf(name)]);
  }
  /** A forEach waits for its items too, and they for what it waits for. */
  waitsFor(name: string): readonly string[] {
    const own = this.dependencies.get(name.split('.')[0]!) ?? [];
    return name.includes('.') ? own : [...own, ...this.itemsOf(name)];
  }
  isOpen({ task, action, attempt, token }: Pick<TaskReport, 'task' | 'action' | 'attempt' | 'token'>): boolean {
    const given = this.entries.get(task)?.open.get(token);
    return given !== undefined && given.action === action && given.attempt === attempt && !this.end;
  }

  follow(event: WorkflowEvent): void {
    const again = event.type === 'chrysalis.workflow.instance.changed.v1' || event.type === 'chrysalis.workflow.compensation.started.v1';
    if (this.end && !again) this.problems.push(`${event.type} came after the end`);
    switch (event.type) {
      case 'chrysalis.workflow.task.dispatched.v1':
        this.#rules.dispatched(event.data);
        return this.#dispatched(event.data);
      case 'chrysalis.workflow.task.offered.v1':
        this.#rules.begins(event.data.task, 'offered');
        this.entry(event.data.task).begun = true;
        return void (this.entry(event.data.task).offer = { ...event.data, bids: [] });
      case 'chrysalis.workflow.bid.received.v1':
        this.#rules.bid(event.data);
        return void this.entry(event.data.task).offer?.bids.push(event.data);
      case 'chrysalis.workflow.heartbeat.recorded.v1':
        return this.#rules.heard(event.data);
      case 'chrysalis.workflow.task.expanded.v1':
        this.#rules.begins(event.data.task, 'expanded');
        return void this.fans.set(event.data.task, event.data.count);
      case 'chrysalis.workflow.task.skipped.v1':
        return this.#settle(event.data.task, 'skipped');
      case 'chrysalis.workflow.task.succeeded.v1':
        return this.#succeeded(event.data);
      case 'chrysalis.workflow.task.failed.v1':
        return this.#failed(event.data);
      case 'chrysalis.workflow.cancel.requested.v1': {
        this.abandoned = event.data.compensate === false;
        this.paused = false;
        return void this.troubles.push({ task: undefined, cause: { code: 'workflow.cancelled', message: event.data.reason } });
      }
      case 'chrysalis.workflow.instance.changed.v1':
        return applyChange(this, event.data.change);
      case 'chrysalis.workflow.instance.ended.v1':
        return void (this.end = event.data);
      default:
        return this.#ofUndo(event);
    }
  }

  #ofUndo(event: Undoing | Beginning): void {
    switch (event.type) {
      case 'chrysalis.workflow.compensation.started.v1':
        this.#rules.compensationStarted();
        this.end = undefined;
        this.compensating = true;
        this.paused = false;
        for (const entry of this.entries.values()) entry.offer = undefined;
        return void (this.troubles.length === 0 && (this.otherCause = event.data.cause));
      case 'chrysalis.workflow.task.compensated.v1':
        return this.#compensated(event.data);
      case 'chrysalis.workflow.compensation.failed.v1':
        if (!this.#nobodyKnowsWhere(event.data)) this.#close(event.data.task, 'compensate', event.data.attempt);
        return void (this.compensationFailures += event.data.final ? 1 : 0);
      case 'chrysalis.workflow.instance.started.v1':
      case 'chrysalis.workflow.instance.queued.v1':
        return;
    }
  }

  #dispatched(data: Execution): void {
    const entry = this.entry(data.task);
    entry.attempts[data.action] = data.attempt;
    entry.open.set(data.token, data);
    entry.offer = undefined;
    if (data.action === 'run') {
      entry.begun = entry.mayHaveEffect = true;
      entry.ran.add(this.placeOf(data));
    }
    this.token = data.token;
  }

  #compensated({ task, attempt, left = 0 }: DataOf<'task.compensated'>): void {
    const entry = this.entry(task);
    const execution = this.#close(task, 'compensate', attempt);
    if (execution) entry.undone.add(this.placeOf(execution));
    if (entry.placesLeft !== left) this.problems.push(`${task} is to be undone at ${left} more, and it ran at ${entry.placesLeft} more`);
  }

  /** Only an operator says that it was done: who is to undo it, nobody can say. */
  #nobodyKnowsWhere({ task, cause, final }: DataOf<'compensation.failed'>): boolean {
    return cause.code === 'workflow.executor_unresolved' && final && this.entry(task).ran.size === 0;
  }

  #close(task: string, action: 'run' | 'compensate', attempt: number): Execution | undefined {
    const { open } = this.entry(task);
    const found = [...open.values()].find((e) => e.action === action && e.attempt === attempt);
    if (found) open.delete(found.token);
    else this.problems.push(`${action} ${task} ${attempt} came to an end, and was not under way`);
    return found;
  }

  #settle(task: string, outcome: Entry['outcome']): void {
    const entry = this.entry(task);
    entry.outcome = outcome;
    entry.begun = false;
    entry.offer = undefined;
  }

  #succeeded({ task, attempt }: DataOf<'task.succeeded'>): void {
    const entry = this.entry(task);
    if (entry.outcome === 'done') this.problems.push(`${task} succeeded twice`);
    if (this.fans.has(task)) this.#rules.joined(task);
    else this.#close(task, 'run', attempt);
    for (const [token, e] of entry.open) if (e.action === 'run') entry.open.delete(token); // the other one of a hedge
    this.#settle(task, 'done');
    if (this.definitionOf(task).pointOfNoReturn) this.commit();
  }

  /** From here on a wish to cancel has come too late. */
  commit(): void {
    this.committed = true;
    this.troubles = this.troubles.filter((t) => t.task !== undefined);
  }

  #failed({ task, attempt, cause, final }: DataOf<'task.failed'>): void {
    const entry = this.entry(task);
    if (entry.open.size > 0) this.#close(task, 'run', attempt);
    entry.offer = undefined;
    if (!final) return;
    this.#settle(task, 'failed');
    this.troubles.push({ task, cause });
  }
}
