import type { Change, TaskDispatch, TaskOffer, WorkflowEvent } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { isInstance, nextTimerAt, workflowDecider, type WorkflowCommand, type WorkflowInstance } from '@chrysalis/workflow-core';
import { Executors, type Mouth } from './executors.ts';
import { Ledger } from './ledger.ts';
import { anyChange } from './live-changes.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';
import { faults, offerFaults, targetKey, type Fault, type HarnessOptions, type RunResult, type Scenario } from './types.ts';

const START = Date.parse('2026-01-01T00:00:00.000Z');
const MAX_COMMANDS = 200_000;
/** So many live changes in one run: a story has to come to its end. */
const MAX_CHANGES = 40;

/** One workflow, its executors and the bus between them, in virtual time. */
export class HarnessWorld {
  readonly #engine;
  readonly #random: Random;
  readonly #schedule = new Schedule(START);
  readonly #log: WorkflowEvent[] = [];
  readonly #ledger: Ledger;
  readonly #executors: Executors;
  readonly #troubles: string[] = [];
  readonly #changes: { type: string; taken: boolean }[] = [];
  readonly #offers = new Map<string, number>();
  /** Milliseconds a message takes at most: all goes well within the shortest limit, unless something is meant to come late. */
  readonly #slowest: number;
  #state: WorkflowInstance;
  /** So long was the log that the state was last worked out from. */
  #replayed = -1;
  #commands = 0;
  #asked = false;

  constructor(
    private readonly o: HarnessOptions,
    private readonly scenario: Scenario,
  ) {
    this.#engine = o.engine ?? workflowDecider;
    this.#state = this.#engine.initial;
    this.#random = new Random(scenario.seed);
    this.#ledger = new Ledger(o.definition);
    // A lost engine is asked again, perhaps several times: that, too, has to fit into the shortest limit.
    const share = scenario.loseEngine && scenario.expect ? 10 : 4;
    this.#slowest = Math.min(scenario.duplicate ? 400 : 20, Math.floor(shortest(o.definition) / share));
    const mouth: Mouth = {
      trouble: (message) => this.#trouble(message),
      heartbeat: (heartbeat) => this.#later(this.#delay(), () => this.#command({ type: 'heartbeat', heartbeat, at: this.#now() })),
      bid: (bid, delay) => this.#later(delay, () => this.#command({ type: 'bid', bid, rank: this.#random.upTo(1), at: this.#now() })),
      report: (report, delay) => {
        for (let copy = this.scenario.duplicate || this.#random.chance(0.1) ? 2 : 1; copy > 0; copy--)
          this.#later(delay + this.#delay(), () => this.#command({ type: 'report', report, at: this.#now() }));
      },
    };
    this.#executors = new Executors(o, this.#random, this.#schedule, mouth, (dispatch) => this.#ledger.placeOf(dispatch));
  }

  run(): RunResult {
    const { definition, params } = this.o;
    const request = { workflowId: 'w', definition, params: { ...params }, subject: 's' };
    this.#command({ type: 'start', request, tenant: 't', at: this.#now() });
    while (this.#schedule.next() && this.#commands < MAX_COMMANDS && this.#troubles.length < 20);
    if (this.#commands >= MAX_COMMANDS) this.#trouble('it goes on and on');
    const { effects, reached } = this.#executors;
    return { scenario: this.scenario, log: this.#log, effects, reached, changes: this.#changes, troubles: this.#troubles };
  }

  #now(): string {
    return this.#schedule.iso;
  }
  #delay(): number {
    return this.#random.upTo(this.#slowest);
  }
  #trouble(message: string): void {
    this.#troubles.push(message);
  }
  #later(ms: number, work: () => void): void {
    this.#schedule.after(ms, work);
  }

  #command(command: WorkflowCommand): void {
    this.#commands++;
    if (this.scenario.loseEngine || this.#random.chance(0.05)) this.#loseEngine();
    const decision = this.#engine.decide(command, this.#state);
    this.#judge(command, decision.ok);
    if (!decision.ok) return;
    // Before the commit: the decision is lost, and whoever asked asks again.
    if (this.scenario.loseEngine && this.#random.chance(0.2))
      return this.#later(this.#delay(), () => this.#command({ ...command, at: this.#now() }));
    if (command.type === 'change') this.#taken(command.change, decision.events.length > 0);
    for (const event of decision.events) this.#append(event);
    this.#peopleAct(decision.events.length);
    this.#plantTimer(command.type === 'tick' && decision.events.length === 0);
  }

  #judge(command: WorkflowCommand, believed: boolean): void {
    if (command.type === 'change' && !believed) this.#changes.push({ type: command.change.type, taken: false });
    if (command.type !== 'report') return;
    const { report } = command;
    const open = this.#ledger.isOpen(report);
    if (believed && !open) this.#trouble(`a report was believed whose attempt is over: ${targetKey(report)}, token ${report.token}`);
    if (!believed && open) this.#trouble(`a report was refused whose attempt is under way: ${targetKey(report)}`);
  }

  /** What an operator did by hand is done. */
  #taken(change: Change, changed: boolean): void {
    this.#changes.push({ type: change.type, taken: true });
    if (change.type === 'mark-done' && changed) this.#executors.effects.add(change.task);
  }

  #append(event: WorkflowEvent): void {
    this.#log.push(event);
    this.#ledger.follow(event);
    this.#state = this.#engine.evolve(this.#state, event);
    if (event.type === 'chrysalis.workflow.task.dispatched.v1') this.#send(event.data);
    if (event.type === 'chrysalis.workflow.task.offered.v1') this.#offer(event.data);
  }

  /** The state is worked out anew from the log, and must be what it was. The relay, too, begins again where it is not sure. */
  #loseEngine(): void {
    // Where nothing came to the log since, the state is the replayed one; what else became of it shows at the next event's replay.
    if (this.#replayed !== this.#log.length) this.#replay();
    const sent = this.#log.slice(-3).filter((e) => e.type === 'chrysalis.workflow.task.dispatched.v1');
    for (const event of sent) if (this.#random.chance(0.3)) this.#deliver(event.data, this.#planned(event.data));
  }

  #replay(): void {
    const again = fold(this.#engine.evolve, this.#engine.initial, this.#log);
    if (fingerprint(again) !== fingerprint(this.#state)) this.#trouble('replay gives another state than the one that was live');
    this.#state = again;
    this.#replayed = this.#log.length;
  }

  /** Somebody cancels, wants it undone, or changes it. */
  #peopleAct(events: number): void {
    const { cancel, undoAtEnd, changes = 0 } = this.scenario;
    const at = (): string => this.#now();
    if (!this.#asked && cancel && this.#log.length >= cancel.after) {
      this.#asked = true;
      this.#later(0, () => this.#command({ type: 'cancel', reason: 'the harness cancels', compensate: cancel.compensate, at: at() }));
    }
    if (!this.#asked && undoAtEnd && this.#ledger.end?.state === 'succeeded') {
      this.#asked = true;
      this.#later(1, () => this.#command({ type: 'undo', reason: 'the harness wants it undone', at: at() }));
    }
    for (let i = 0; i < events; i++) {
      if (this.#changes.length >= MAX_CHANGES || !this.#random.chance(changes)) continue;
      this.#later(this.#random.upTo(50), () => this.#change(anyChange(this.#ledger, this.#random)));
    }
  }

  #change(change: Change): void {
    this.#command({ type: 'change', change, actor: 'harness', reason: 'to see what comes of it', at: this.#now() });
    if (change.type === 'pause' && this.#random.chance(0.8)) this.#later(this.#random.upTo(3_000), () => this.#change({ type: 'resume' }));
  }

  /** Every command leaves a tick behind for the timer that is then the soonest. Ticks that come too often must do no harm. */
  #plantTimer(idleTick: boolean): void {
    const at = nextTimerAt(this.#state);
    if (at === undefined) return;
    if (idleTick && at <= this.#schedule.now) return this.#trouble('a timer is due, and looking at it changes nothing');
    this.#later(Math.max(0, at - this.#schedule.now) + this.#random.upTo(5), () => this.#command({ type: 'tick', at: this.#now() }));
  }

  #send(dispatch: TaskDispatch): void {
    this.#deliver(dispatch, this.#planned(dispatch) ?? this.#chaos(faults));
    if (this.scenario.duplicate) this.#deliver(dispatch, this.#planned(dispatch));
  }

  #offer(offer: TaskOffer): void {
    const attempt = (this.#offers.get(offer.task) ?? 0) + 1;
    this.#offers.set(offer.task, attempt);
    const target = targetKey({ task: offer.task, action: 'offer', attempt });
    this.#executors.reached.add(target);
    this.#executors.offered(offer, this.scenario.faults.get(target) ?? this.#chaos(offerFaults), this.#slowest);
  }

  #planned(dispatch: TaskDispatch): Fault | undefined {
    return this.scenario.faults.get(targetKey(dispatch));
  }
  #chaos(some: readonly Fault[]): Fault | undefined {
    return this.#random.chance(this.scenario.chaos ?? 0) ? this.#random.pick(some) : undefined;
  }

  #deliver(dispatch: TaskDispatch, fault: Fault | undefined): void {
    const late = fault === 'late-run' ? this.#executors.tooLate(dispatch.beginBy ?? dispatch.deadlineAt) : 0;
    this.#later(late + this.#delay(), () => this.#executors.execute(dispatch, fault));
  }
}

const shortest = ({ tasks }: HarnessOptions['definition']): number =>
  Math.min(
    ...tasks.flatMap(({ deadlineMs, compensation, heartbeatMs, route }) => [
      deadlineMs,
      compensation?.deadlineMs ?? deadlineMs,
      heartbeatMs ?? deadlineMs,
      ...(route.mode === 'bid' ? [route.windowMs, route.beginWithinMs] : []),
    ]),
  );

/** All of a state but what is derived from the definition once. */
const fingerprint = (state: WorkflowInstance): string =>
  isInstance(state) ? JSON.stringify({ ...state, graph: undefined, definition: undefined }) : JSON.stringify(state);
