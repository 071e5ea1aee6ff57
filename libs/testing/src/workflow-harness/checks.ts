import type { TaskDefinition, WorkflowDefinition, WorkflowEvent } from '@chrysalis/contracts';
import { dependenciesOf } from './dependencies.ts';
import { targetKey, type RunResult } from './types.ts';

/** What must hold of every run, worked out from the log and the effects alone: nothing here is taken from the engine. */
export const check = (definition: WorkflowDefinition, run: RunResult): string[] => {
  const story = read(definition, run.log);
  const problems = [...run.troubles, ...story.problems];
  const end = story.end;
  if (!end) return [...problems, 'neither progress nor verdict: it never ended'];
  const say = (bad: boolean, message: string): void => void (bad && problems.push(message));
  const firstCause = story.firstCause;
  const sameCause = JSON.stringify(end.cause) === JSON.stringify(firstCause);
  say(
    end.state !== 'succeeded' && !sameCause,
    `the cause is ${end.cause?.code} ${end.cause?.message}, the first was ${firstCause?.code} ${firstCause?.message}`,
  );
  say(end.state === 'succeeded' && end.cause !== undefined, 'it succeeded, and names a cause');
  const undone = [...story.compensated].sort().join();
  const toUndo = definition.tasks.filter((t) => t.compensation && story.dispatched.has(t.name)).map((t) => t.name);
  const left = toUndo.filter((name) => run.effects.has(name));
  switch (end.state) {
    case 'succeeded':
      say(story.succeeded.size + story.skipped.size !== definition.tasks.length, 'it succeeded, but not every task did or was skipped');
      for (const name of story.succeeded) say(!run.effects.has(name), `${name} succeeded, and its effect is not there`);
      say(undone !== '', `it succeeded, but undid ${undone}`);
      break;
    case 'undone':
    case 'cancelled':
      say(undone !== [...toUndo].sort().join(), `it undid ${undone}, and had to undo ${[...toUndo].sort().join()}`);
      say(left.length > 0, `effects are left: ${left.join()}`);
      say(story.committed, 'it undid past its point of no return');
      break;
    case 'failed': {
      const missing = end.missing ?? [];
      const named = toUndo.filter((name) => !story.compensated.has(name));
      say(story.compensationFailures === 0, 'it is failed, but no undo failed for good');
      say([...missing].sort().join() !== [...named].sort().join(), `it names ${missing.join()}, not undone are ${named.join()}`);
      for (const name of left) say(!missing.includes(name), `the effect of ${name} is left, and nobody says so`);
      break;
    }
    case 'stopped': {
      const notDone = definition.tasks.map((t) => t.name).filter((n) => !story.succeeded.has(n) && !story.skipped.has(n));
      say(!story.committed, 'it stopped before a point of no return');
      say(
        [...(end.missing ?? [])].sort().join() !== notDone.sort().join(),
        `it names ${end.missing?.join()} as missing, not done are ${notDone.join()}`,
      );
      say(undone !== '', `it is past its point of no return, but undid ${undone}`);
      break;
    }
    default:
      problems.push(`${end.state} is no final state`);
  }
  return problems;
};

type Ended = Extract<WorkflowEvent, { type: 'chrysalis.workflow.instance.ended.v1' }>['data'];
type Story = {
  problems: string[];
  dispatched: Set<string>;
  succeeded: Set<string>;
  skipped: Set<string>;
  compensated: Set<string>;
  compensationFailures: number;
  committed: boolean;
  firstCause: Ended['cause'];
  cancelled: boolean;
  end: Ended | undefined;
};

const read = (definition: WorkflowDefinition, log: readonly WorkflowEvent[]): Story => {
  const story: Story = {
    problems: [],
    dispatched: new Set(),
    succeeded: new Set(),
    skipped: new Set(),
    compensated: new Set(),
    compensationFailures: 0,
    committed: false,
    firstCause: undefined,
    cancelled: false,
    end: undefined,
  };
  const dependencies = dependenciesOf(definition);
  const byName = new Map(definition.tasks.map((t) => [t.name, t]));
  const order = new Order(dependencies, story, byName);
  for (const event of log) follow(event, story, order, byName);
  return story;
};

const follow = (event: WorkflowEvent, story: Story, order: Order, byName: ReadonlyMap<string, TaskDefinition>): void => {
  if (story.end) story.problems.push(`${event.type} came after the end`);
  switch (event.type) {
    case 'chrysalis.workflow.task.dispatched.v1':
      order.dispatched(event.data);
      if (event.data.action === 'run') story.dispatched.add(event.data.task);
      return;
    case 'chrysalis.workflow.task.skipped.v1':
      return void story.skipped.add(event.data.task);
    case 'chrysalis.workflow.task.succeeded.v1':
      order.settled({ ...event.data, action: 'run' });
      return succeeded(event.data.task, story, byName.get(event.data.task)!.pointOfNoReturn === true);
    case 'chrysalis.workflow.task.failed.v1':
      order.settled({ ...event.data, action: 'run' });
      if (event.data.final) story.firstCause ??= event.data.cause;
      return;
    case 'chrysalis.workflow.task.compensated.v1':
      order.settled({ ...event.data, action: 'compensate' });
      return void story.compensated.add(event.data.task);
    case 'chrysalis.workflow.compensation.failed.v1':
      order.settled({ ...event.data, action: 'compensate' });
      story.compensationFailures += event.data.final ? 1 : 0;
      return;
    case 'chrysalis.workflow.compensation.started.v1':
      story.firstCause ??= event.data.cause;
      return;
    case 'chrysalis.workflow.cancel.requested.v1':
      story.cancelled = true;
      story.firstCause ??= { code: 'workflow.cancelled', message: event.data.reason };
      return;
    case 'chrysalis.workflow.instance.ended.v1':
      return ended(event.data, story, order);
    case 'chrysalis.workflow.instance.started.v1':
      return;
  }
};

const succeeded = (task: string, story: Story, decisive: boolean): void => {
  if (story.succeeded.has(task)) story.problems.push(`${task} succeeded twice`);
  story.succeeded.add(task);
  if (!decisive) return;
  story.committed = true;
  if (story.cancelled && story.firstCause?.code === 'workflow.cancelled') story.firstCause = undefined; // too late to cancel
};

const ended = (data: Ended, story: Story, order: Order): void => {
  story.end = data;
  if (data.state === 'stopped') story.firstCause ??= data.cause; // the workflow's own deadline, which no event before it tells
  if (order.open.size > 0) story.problems.push(`it ended while under way: ${[...order.open].join()}`);
};

/** Who may be given out when. */
class Order {
  readonly open = new Set<string>();
  readonly #attempts = new Map<string, number>();
  readonly #dependants = new Map<string, string[]>();
  #token = 0;

  constructor(
    private readonly dependencies: ReadonlyMap<string, readonly string[]>,
    private readonly story: Story,
    private readonly byName: ReadonlyMap<string, TaskDefinition>,
  ) {
    for (const [name, list] of dependencies) for (const d of list) this.#dependants.set(d, [...(this.#dependants.get(d) ?? []), name]);
  }

  dispatched({ task, action, attempt, token }: { task: string; action: 'run' | 'compensate'; attempt: number; token: number }): void {
    const { problems, succeeded, skipped } = this.story;
    const which = `${action} ${task}`;
    if (token <= this.#token) problems.push(`${which} ${attempt}: token ${token} does not rise above ${this.#token}`);
    this.#token = token;
    if (attempt !== (this.#attempts.get(which) ?? 0) + 1)
      problems.push(`${which}: attempt ${attempt} after ${this.#attempts.get(which) ?? 0}`);
    this.#attempts.set(which, attempt);
    if ([...this.open].some((o) => o.startsWith(`run ${task} `) || o.startsWith(`compensate ${task} `)))
      problems.push(`${which}: it runs already`);
    this.open.add(targetKey({ task, action, attempt }));
    if (action === 'run') {
      const early = this.dependencies.get(task)!.filter((d) => !succeeded.has(d) && !skipped.has(d));
      if (early.length > 0) problems.push(`${task} ran before ${early.join()}`);
    } else this.#mayUndo(task);
  }

  settled(target: { task: string; action: 'run' | 'compensate'; attempt: number }): void {
    this.open.delete(targetKey(target));
  }

  #mayUndo(task: string): void {
    const { problems, dispatched, compensated } = this.story;
    if (!dispatched.has(task)) problems.push(`${task} never ran, and is undone`);
    const seen = new Set<string>();
    const todo = [...(this.#dependants.get(task) ?? [])];
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      todo.push(...(this.#dependants.get(name) ?? []));
      const undo = this.byName.get(name)!.compensation !== undefined && dispatched.has(name);
      if (undo && !compensated.has(name)) problems.push(`${task} is undone before ${name}, which depends on it`);
      if ([...this.open].some((o) => o.startsWith(`run ${name} `)))
        problems.push(`${task} is undone while ${name}, which depends on it, runs`);
    }
  }
}
