import type { TaskDispatch, TaskReport, WorkflowEvent } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { isInstance, nextTimerAt, workflowDecider, type WorkflowCommand, type WorkflowInstance } from '@chrysalis/workflow-core';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';
import { faults, targetKey, type Fault, type HarnessOptions, type RunResult, type Scenario } from './types.ts';

const START = Date.parse('2026-01-01T00:00:00.000Z');
const MAX_COMMANDS = 200_000;
type Outcome = TaskReport['outcome'];

/** One workflow, its executors and the bus between them, in virtual time. */
export class HarnessWorld {
  readonly #engine;
  readonly #random: Random;
  readonly #schedule = new Schedule(START);
  readonly #log: WorkflowEvent[] = [];
  readonly #effects = new Set<string>();
  readonly #reached = new Set<string>();
  readonly #troubles: string[] = [];
  /** Per task, the highest token an executor has acted on. */
  readonly #fences = new Map<string, number>();
  /** Executions given out and not settled, read from the log: only a report for one of these may be believed. */
  readonly #open = new Set<string>();
  /** Milliseconds a message takes at most: all goes well within the shortest deadline, unless something is meant to come late. */
  readonly #slowest: number;
  #state: WorkflowInstance;
  #commands = 0;
  #cancelled = false;

  constructor(
    private readonly o: HarnessOptions,
    private readonly scenario: Scenario,
  ) {
    this.#engine = o.engine ?? workflowDecider;
    this.#state = this.#engine.initial;
    this.#random = new Random(scenario.seed);
    const deadlines = o.definition.tasks.flatMap((t) => [t.deadlineMs, t.compensation?.deadlineMs ?? t.deadlineMs]);
    // A lost engine is asked again, perhaps several times: that, too, has to fit into the shortest deadline.
    const share = scenario.loseEngine && scenario.expect ? 10 : 4;
    this.#slowest = Math.min(scenario.duplicate ? 400 : 20, Math.floor(Math.min(...deadlines) / share));
  }

  run(): RunResult {
    const { definition, params } = this.o;
    const request = { workflowId: 'w', definition, params: { ...params }, subject: 's' };
    this.#command({ type: 'start', request, tenant: 't', at: this.#now() });
    while (this.#schedule.next() && this.#commands < MAX_COMMANDS && this.#troubles.length < 20);
    if (this.#commands >= MAX_COMMANDS) this.#trouble('it goes on and on');
    const { scenario } = this;
    return { scenario, log: this.#log, effects: this.#effects, reached: this.#reached, troubles: this.#troubles };
  }

  #now(): string {
    return new Date(this.#schedule.now).toISOString();
  }
  #trouble(message: string): void {
    this.#troubles.push(message);
  }

  #command(command: WorkflowCommand): void {
    this.#commands++;
    if (this.scenario.loseEngine || this.#random.chance(0.05)) this.#loseEngine();
    const decision = this.#engine.decide(command, this.#state);
    const after = this.#log.at(-1)?.type === 'chrysalis.workflow.instance.ended.v1';
    if (command.type === 'report') this.#judge(command.report, decision.ok);
    if (!decision.ok) return;
    if (after && decision.events.length > 0) this.#trouble(`after its end, ${command.type} led to ${decision.events[0]!.type}`);
    // Before the commit: the decision is lost, and whoever asked asks again.
    if (this.scenario.loseEngine && this.#random.chance(0.2))
      return this.#later(this.#random.upTo(this.#slowest), () => this.#command({ ...command, at: this.#now() }));
    for (const event of decision.events) this.#append(event);
    this.#maybeCancel();
    this.#plantTimer(command.type === 'tick' && decision.events.length === 0);
  }

  #judge(report: TaskReport, believed: boolean): void {
    const open = this.#open.has(openKey(report));
    if (believed && !open) this.#trouble(`a report was believed whose attempt is over: ${targetKey(report)}, token ${report.token}`);
    if (!believed && open) this.#trouble(`a report was refused whose attempt is under way: ${targetKey(report)}`);
  }

  #append(event: WorkflowEvent): void {
    this.#log.push(event);
    if (event.type === 'chrysalis.workflow.task.dispatched.v1') this.#open.add(openKey(event.data));
    else this.#settled(event.data as Partial<TaskReport>, event.type.includes('compensat') ? 'compensate' : 'run');
    this.#state = this.#engine.evolve(this.#state, event);
    if (event.type === 'chrysalis.workflow.task.dispatched.v1') this.#send(event.data);
  }

  #settled({ task, attempt }: Partial<TaskReport>, action: 'run' | 'compensate'): void {
    if (task === undefined || attempt === undefined) return;
    for (const key of this.#open) if (key.startsWith(`${targetKey({ task, action, attempt })} `)) this.#open.delete(key);
  }

  /** The state is worked out anew from the log, and must be what it was. The relay, too, begins again where it is not sure. */
  #loseEngine(): void {
    const again = fold(this.#engine.evolve, this.#engine.initial, this.#log);
    if (fingerprint(again) !== fingerprint(this.#state)) this.#trouble('replay gives another state than the one that was live');
    this.#state = again;
    const sent = this.#log.slice(-3).filter((e) => e.type === 'chrysalis.workflow.task.dispatched.v1');
    for (const event of sent) if (this.#random.chance(0.3)) this.#deliver(event.data, this.#planned(event.data));
  }

  #maybeCancel(): void {
    const { cancelAfter } = this.scenario;
    if (cancelAfter === undefined || this.#cancelled || this.#log.length < cancelAfter) return;
    this.#cancelled = true;
    this.#later(0, () => this.#command({ type: 'cancel', reason: 'the harness cancels', at: this.#now() }));
  }

  /** Every command leaves a tick behind for the timer that is then the soonest. Ticks that come too often must do no harm. */
  #plantTimer(idleTick: boolean): void {
    const at = nextTimerAt(this.#state);
    if (at === undefined) return;
    if (idleTick && at <= this.#schedule.now) return this.#trouble('a timer is due, and looking at it changes nothing');
    this.#later(Math.max(0, at - this.#schedule.now) + this.#random.upTo(5), () => this.#command({ type: 'tick', at: this.#now() }));
  }

  #send(dispatch: TaskDispatch): void {
    this.#deliver(dispatch, this.#faultFor(dispatch));
    if (this.scenario.duplicate) this.#deliver(dispatch, this.#planned(dispatch));
  }

  #planned(dispatch: TaskDispatch): Fault | undefined {
    return this.scenario.faults.get(targetKey(dispatch));
  }

  #faultFor(dispatch: TaskDispatch): Fault | undefined {
    const planned = this.#planned(dispatch);
    if (planned) return planned;
    return this.#random.chance(this.scenario.chaos ?? 0) ? this.#random.pick(faults) : undefined;
  }

  #deliver(dispatch: TaskDispatch, fault: Fault | undefined): void {
    const late = fault === 'late-run' ? this.#afterDeadline(dispatch) : 0;
    const delay = late + this.#random.upTo(this.#slowest);
    this.#later(delay, () => this.#execute(dispatch, fault));
  }

  #afterDeadline(dispatch: TaskDispatch): number {
    return Date.parse(dispatch.deadlineAt) - this.#schedule.now + 1 + this.#random.upTo(120_000);
  }

  /** An executor: refuses what is older than what it acted on, is idempotent as its effect is a set, and answers. */
  #execute(dispatch: TaskDispatch, fault: Fault | undefined): void {
    this.#reached.add(targetKey(dispatch));
    if (fault === 'hang') return;
    const fence = this.#fences.get(dispatch.task) ?? 0;
    if (this.o.fencing !== false && dispatch.token < fence) return;
    this.#fences.set(dispatch.task, Math.max(fence, dispatch.token));
    const done = fault !== 'fail' && fault !== 'fail-for-good';
    if (done) this.#act(dispatch);
    if (fault === 'lost-report') return;
    this.#report(dispatch, this.#outcome(dispatch, fault), fault === 'late-report' ? this.#afterDeadline(dispatch) : 0);
    if (fault === 'twice') {
      this.#act(dispatch);
      this.#report(dispatch, this.#outcome(dispatch, undefined), 0);
    }
  }

  #act({ task, action }: TaskDispatch): void {
    if (action === 'run') this.#effects.add(task);
    else this.#effects.delete(task);
  }

  #outcome(dispatch: TaskDispatch, fault: Fault | undefined): Outcome {
    if (fault?.startsWith('fail')) {
      const retriable = !fault.startsWith('fail-for-good');
      return { ok: false, cause: { code: 'harness.injected', message: targetKey(dispatch), retriable } };
    }
    const model = this.o.executors?.[dispatch.kind];
    try {
      return { ok: true, output: model ? model(dispatch.input, dispatch) : {} };
    } catch (error) {
      this.#trouble(
        `the model of ${dispatch.kind} does not take the input of ${targetKey(dispatch)}: ${String((error as Error).message).slice(0, 300)}`,
      );
      return { ok: false, cause: { code: 'harness.model', message: String(error).slice(0, 300), retriable: false } };
    }
  }

  #report({ workflowId, task, action, attempt, token, executor }: TaskDispatch, outcome: Outcome, delay: number): void {
    const startedAt = this.#now();
    const report: TaskReport = { workflowId, task, action, attempt, token, executor, outcome, startedAt, endedAt: startedAt };
    for (let copy = this.scenario.duplicate || this.#random.chance(0.1) ? 2 : 1; copy > 0; copy--)
      this.#later(delay + this.#random.upTo(this.#slowest), () => this.#command({ type: 'report', report, at: this.#now() }));
  }

  #later(ms: number, work: () => void): void {
    this.#schedule.after(ms, work);
  }
}

const openKey = (t: Pick<TaskReport, 'task' | 'action' | 'attempt' | 'token'>): string => `${targetKey(t)} ${t.token}`;

/** All of a state but what is derived from the definition once. */
const fingerprint = (state: WorkflowInstance): string =>
  isInstance(state) ? JSON.stringify({ ...state, graph: undefined, definition: undefined }) : JSON.stringify(state);
