import {
  heartbeatOf,
  reportOf,
  type TaskBid,
  type TaskDispatch,
  type TaskHeartbeat,
  type TaskOffer,
  type TaskReport,
} from '@chrysalis/contracts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';
import { targetKey, type Fault, type HarnessOptions } from './types.ts';

const HOSTS = ['host:h1', 'host:h2', 'host:h3'];
type Outcome = TaskReport['outcome'];
/** What executors tell the engine; each message comes at least once, at some time. */
export type Mouth = {
  readonly report: (report: TaskReport, delay: number) => void;
  readonly heartbeat: (heartbeat: TaskHeartbeat) => void;
  readonly bid: (bid: TaskBid, delay: number) => void;
  readonly trouble: (message: string) => void;
};

/** Executors in virtual time, with the effects that they have: a set, as each of them is idempotent. */
export class Executors {
  readonly effects = new Set<string>();
  readonly reached = new Set<string>();
  /** Per place, the highest token that was acted on. The second execution of a hedge does not stop the first. */
  readonly #highest = new Map<string, number>();

  constructor(
    private readonly o: HarnessOptions,
    private readonly random: Random,
    private readonly schedule: Schedule,
    private readonly mouth: Mouth,
    private readonly place: (dispatch: TaskDispatch) => string,
  ) {}

  offered(offer: TaskOffer, fault: Fault | undefined, slowest: number): void {
    const window = Date.parse(offer.closesAt) - this.schedule.now;
    for (const executor of fault === 'no-bid' ? [] : (this.o.bidders ?? HOSTS)) {
      const ready = this.random.chance(0.8);
      const { workflowId, task, offer: number } = offer;
      const bid = { workflowId, task, offer: number, executor, cost: this.random.upTo(100), free: 1, ready, at: this.#now() };
      const delay = fault === 'late-bid' ? window + 1 + this.random.upTo(1_000) : this.random.upTo(slowest);
      this.mouth.bid(bid, delay);
      if (fault === 'double-bid') this.mouth.bid({ ...bid, cost: 0 }, delay + this.random.upTo(window));
    }
  }

  execute(dispatch: TaskDispatch, fault: Fault | undefined): void {
    this.reached.add(targetKey(dispatch));
    if (fault === 'hang' || this.#isStale(dispatch)) return;
    const work = fault === 'slow' ? Math.floor((Date.parse(dispatch.deadlineAt) - this.schedule.now) / 2) : 0;
    if (dispatch.beginBy !== undefined || dispatch.heartbeatMs !== undefined) this.#beat(dispatch, this.schedule.now + work);
    if (work > 0) this.schedule.after(work, () => this.#finish(dispatch, fault));
    else this.#finish(dispatch, fault);
  }

  #isStale(dispatch: TaskDispatch): boolean {
    const place = this.place(dispatch);
    const highest = this.#highest.get(place) ?? 0;
    if (this.o.admission !== false && dispatch.token < highest) return true;
    if (!dispatch.hedge) this.#highest.set(place, Math.max(highest, dispatch.token));
    return false;
  }

  /** Says that it is at it, until the end. */
  #beat(dispatch: TaskDispatch, until: number): void {
    const { heartbeatMs } = dispatch;
    this.mouth.heartbeat(heartbeatOf(dispatch, this.#now()));
    const next = Math.max(1, Math.floor((heartbeatMs ?? 0) / 2));
    if (heartbeatMs !== undefined && this.schedule.now + next < until) this.schedule.after(next, () => this.#beat(dispatch, until));
  }

  #finish(dispatch: TaskDispatch, fault: Fault | undefined): void {
    if (this.#isStale(dispatch)) return;
    if (fault !== 'fail' && fault !== 'fail-for-good') this.#act(dispatch);
    if (fault === 'lost-report' || fault === 'silent') return;
    const late = fault === 'late-report' ? this.tooLate(dispatch.deadlineAt) : 0;
    this.#report(dispatch, this.#outcome(dispatch, fault), late);
    if (fault !== 'twice') return;
    this.#act(dispatch);
    this.#report(dispatch, this.#outcome(dispatch, undefined), 0);
  }

  #act(dispatch: TaskDispatch): void {
    const place = this.place(dispatch);
    if (dispatch.action === 'run') return void this.effects.add(place);
    this.effects.delete(place);
    this.effects.delete(dispatch.task); // done by hand
  }

  /** Milliseconds until it is too late: by a little, while the next attempt is under way, or by much. */
  tooLate(limit: string): number {
    return Math.max(0, Date.parse(limit) - this.schedule.now) + 1 + this.random.upTo(this.random.chance(0.5) ? 1_000 : 120_000);
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
      const message = String((error as Error).message).slice(0, 300);
      this.mouth.trouble(`the model of ${dispatch.kind} does not take the input of ${targetKey(dispatch)}: ${message}`);
      return { ok: false, cause: { code: 'harness.model', message, retriable: false } };
    }
  }

  #report(dispatch: TaskDispatch, outcome: Outcome, delay: number): void {
    const at = this.#now();
    this.mouth.report(reportOf(dispatch, outcome, at), delay);
  }

  #now(): string {
    return this.schedule.iso;
  }
}
