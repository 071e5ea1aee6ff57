import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { BIDS_SINCE, type TaskDispatch, type TaskOffer } from '@chrysalis/contracts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { HostAgentConfig } from '../config.ts';
import type { Executor } from '../execution/executor.ts';
import type { GatewayLink } from '../gateway-link.ts';
import { Bidder } from './bidder.ts';
import { ControlClock } from './control-clock.ts';
import { History } from './history.ts';
import { Pulse } from './pulse.ts';

export type Bidding = {
  readonly offered: (offer: TaskOffer) => void;
  readonly given: (dispatch: TaskDispatch) => void;
  readonly begun: (key: string, dispatch: TaskDispatch) => () => void;
  readonly measured: (kind: string, ms: number) => void;
  /** Connected anew. */
  readonly again: () => void;
  readonly clock: (now: string | undefined) => void;
  readonly now: () => number;
  /** Was the control plane's clock ever heard? Until then `now` is this machine's. */
  readonly knowsTime: () => boolean;
  stop(): Promise<void>;
};
type Given = {
  readonly log: Log;
  readonly now: () => number;
  readonly link: () => Pick<GatewayLink, 'send' | 'protocol'>;
  readonly executor: () => Pick<Executor, 'running' | 'kinds'>;
};

/** What this agent says of offers and of tasks under way. A gateway of a version before bids hears none of it. */
export const startBidding = async (config: HostAgentConfig, { log, now, link, executor }: Given): Promise<Bidding> => {
  const { hostId, capacity, stateDir } = config;
  const history = await History.open(join(stateDir, 'agent'), log);
  const clock = new ControlClock(now);
  const controlNow = (): number => clock.now();
  const speaks = (): boolean => link().protocol >= BIDS_SINCE;
  const pulse = new Pulse({
    hostId,
    now: controlNow,
    send: (heartbeat) => void (speaks() && link().send({ type: 'task-heartbeat', heartbeat })),
  });
  let bidder: Bidder | undefined;
  const newBidder = (): Bidder =>
    new Bidder({
      hostId,
      capacity,
      kinds: new Set(executor().kinds),
      running: () => executor().running,
      load: () => loadavg()[0]! / availableParallelism(),
      usual: (kind) => history.usual(kind),
      now: controlNow,
      send: (bid) => void link().send({ type: 'bid', bid }),
    });
  const bids = (): Bidder => (bidder ??= newBidder());
  return {
    offered: (offer) => bids().offered(offer),
    given: (dispatch) => bids().given(dispatch),
    begun: (key, dispatch) => pulse.begin(key, dispatch),
    measured: (kind, ms) => history.add(kind, ms),
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
