import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { BIDS_SINCE, type TaskDispatch } from '@chrysalis/contracts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { HostAgentConfig } from '../config.ts';
import type { Executor } from '../execution/executor.ts';
import type { GatewayLine } from '../gateway-line.ts';
import { Bidder } from './bidder.ts';
import { ControlClock } from './control-clock.ts';
import { History } from './history.ts';
import { Pulse } from './pulse.ts';

/** The control plane's time as this host knows it, how long tasks take here, and the word that those under way go on. */
export type Pace = {
  readonly begun: (key: string, dispatch: TaskDispatch) => () => void;
  readonly measured: (kind: string, ms: number) => void;
  /** Median milliseconds of a kind, if it was measured here. */
  readonly usual: (kind: string) => number | undefined;
  /** Connected anew. */
  readonly again: () => void;
  readonly clock: (now: string | undefined) => void;
  readonly now: () => number;
  /** Was the control plane's clock ever heard? Until then `now` is this machine's. */
  readonly knowsTime: () => boolean;
  stop(): Promise<void>;
};
type Given = { readonly log: Log; readonly now: () => number; readonly line: GatewayLine };

/** A gateway of a version before bids hears nothing of tasks under way. */
export const openPace = async ({ hostId, stateDir }: HostAgentConfig, { log, now, line }: Given): Promise<Pace> => {
  const history = await History.open(join(stateDir, 'agent'), log);
  const clock = new ControlClock(now);
  const controlNow = (): number => clock.now();
  const pulse = new Pulse({
    hostId,
    now: controlNow,
    send: (heartbeat) => void (line.protocol >= BIDS_SINCE && line.send({ type: 'task-heartbeat', heartbeat })),
  });
  return {
    begun: (key, dispatch) => pulse.begin(key, dispatch),
    measured: (kind, ms) => history.add(kind, ms),
    usual: (kind) => history.usual(kind),
    again: () => pulse.again(),
    clock: (at) => {
      if (at === undefined) return clock.forget();
      const before = clock.aheadMs ?? 0;
      clock.read(at);
      const aheadMs = Math.round(clock.aheadMs!);
      if (Math.abs(aheadMs - before) > 1_000)
        log.warn({ aheadMs }, "this machine's clock is not the control plane's; nothing here depends on it");
    },
    now: controlNow,
    knowsTime: () => clock.aheadMs !== undefined,
    stop: async () => {
      pulse.stop();
      await history.save();
    },
  };
};

type Bids = { readonly pace: Pace; readonly line: GatewayLine; readonly executor: Executor };

/** Answers offers with what a task would take on this machine now. */
export const newBidder = ({ hostId, capacity }: HostAgentConfig, { pace, line, executor }: Bids): Bidder =>
  new Bidder({
    hostId,
    capacity,
    kinds: new Set(executor.kinds),
    running: () => executor.running,
    load: () => loadavg()[0]! / availableParallelism(),
    usual: pace.usual,
    now: pace.now,
    send: (bid) => void line.send({ type: 'bid', bid }),
  });
