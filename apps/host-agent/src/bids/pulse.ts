import { heartbeatOf, type TaskDispatch, type TaskHeartbeat } from '@chrysalis/contracts';

type Deps = {
  readonly hostId: string;
  readonly now: () => number;
  readonly send: (heartbeat: TaskHeartbeat) => void;
};
/** Where an award asks for nothing but its begin, the begin is said again so often: a frame may be lost. */
const REPEAT_MS = 1_000;

/** Says of each task under way that it is: at its begin, and then three times as often as its dispatch asks. */
export class Pulse {
  readonly #beating = new Map<string, { readonly dispatch: TaskDispatch; readonly timer: NodeJS.Timeout }>();

  constructor(private readonly deps: Deps) {}

  /** Answers what ends it. Does nothing where the dispatch asks for nothing. */
  begin(key: string, dispatch: TaskDispatch): () => void {
    const { heartbeatMs, beginBy } = dispatch;
    if (heartbeatMs === undefined && beginBy === undefined) return () => undefined;
    this.#say(dispatch);
    const every = heartbeatMs === undefined ? REPEAT_MS : Math.max(20, Math.floor(heartbeatMs / 3));
    const timer = setInterval(() => {
      const begun = heartbeatMs === undefined && this.deps.now() > Date.parse(beginBy!);
      if (begun) clearInterval(timer);
      else this.#say(dispatch);
    }, every).unref();
    this.#beating.set(key, { dispatch, timer });
    return () => {
      clearInterval(timer);
      this.#beating.delete(key);
    };
  }

  /** After a connection was lost: the gateway may have missed some. */
  again(): void {
    for (const { dispatch } of this.#beating.values()) this.#say(dispatch);
  }

  stop(): void {
    for (const { timer } of this.#beating.values()) clearInterval(timer);
    this.#beating.clear();
  }

  #say(dispatch: TaskDispatch): void {
    const { hostId, now } = this.deps;
    this.deps.send(heartbeatOf({ ...dispatch, executor: `host:${hostId}` }, new Date(now()).toISOString()));
  }
}
