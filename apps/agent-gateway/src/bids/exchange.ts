import { AGENT_PROTOCOL, BIDS_SINCE, labelsMissing, labelsOfHost, type Labels, type TaskOffer } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import type { Connection, Frame, Hello } from '../sessions/connection.ts';
import { Allowance } from './allowance.ts';
import { offerKey, openOffers } from '../sql/open-offers.ts';
import { Outbox } from './outbox.ts';

export type BidFrame = Extract<Frame, { type: 'bid' | 'task-heartbeat' }>;
export const isBidFrame = (frame: Frame): frame is BidFrame => frame.type === 'bid' || frame.type === 'task-heartbeat';

type Bidder = {
  readonly hostId: string;
  readonly kinds: ReadonlySet<string>;
  readonly labels: Labels;
  /** Offers that it was sent and may still bid for, once each. */
  readonly offered: Set<string>;
  readonly allowance: Allowance;
};
type Open = { readonly offer: TaskOffer; readonly until: number };

/** Open offers that an agent is sent at most: with more than these before it, it is told of others as these close. */
const OFFERED_AT_MOST = 256;
/** Remembered here; others wait in the table for the sweep after some closed. */
const OPEN_AT_MOST = 10_000;
const ALLOWED = { perSecond: 200, burst: 1_000, patience: 5_000 };

/**
 * Offers to the agents whose connections this instance holds, and what they say to them. Each instance hears every offer and tells
 * its own agents; a signal that was missed is made good by the next sweep, if the window lasts so long.
 */
export class Exchange {
  readonly #bidders = new Map<Connection, Bidder>();
  readonly #open = new Map<string, Open>();
  readonly #outbox: Outbox;

  constructor(private readonly service: ServiceContext) {
    this.#outbox = new Outbox(service);
  }

  /** A session began. An agent of a version before bids, or that names no kinds, is offered nothing. */
  joined(connection: Connection, { hostId, facts, kinds = [], protocol }: Hello): void {
    if (Math.min(AGENT_PROTOCOL.max, protocol.max) < BIDS_SINCE) return;
    const bidder: Bidder = {
      hostId,
      kinds: new Set(kinds),
      labels: labelsOfHost(facts),
      offered: new Set(),
      allowance: new Allowance(ALLOWED),
    };
    this.#bidders.set(connection, bidder);
    for (const open of this.#open.values()) this.#offer(connection, bidder, open);
  }

  left(connection: Connection): void {
    this.#bidders.delete(connection);
  }

  /** `leftMs`: until it closes, whatever this machine's wall clock says. */
  heard(offer: TaskOffer, leftMs: number): void {
    const key = offerKey(offer);
    if (leftMs <= 0 || this.#open.has(key) || this.#open.size >= OPEN_AT_MOST) return;
    const open = { offer, until: performance.now() + leftMs };
    this.#open.set(key, open);
    for (const [connection, bidder] of this.#bidders) this.#offer(connection, bidder, open);
  }

  /** Lets go of what closed, and makes good what was missed. */
  async sweep(): Promise<void> {
    const now = performance.now();
    for (const [key, { until }] of this.#open) if (until <= now) this.#close(key);
    if (this.#bidders.size === 0) return;
    for (const { offer, leftMs } of await openOffers(this.service.pool)) this.heard(offer, leftMs);
    for (const [connection, bidder] of this.#bidders)
      for (const open of this.#open.values()) {
        if (bidder.offered.size >= OFFERED_AT_MOST) break;
        this.#offer(connection, bidder, open);
      }
  }

  /** Never waits for the database: what an agent says here may be lost, and must not be in the way of its reports. */
  frame(connection: Connection, frame: BidFrame): void {
    const bidder = this.#bidders.get(connection);
    if (!bidder) return connection.refuse('agent.frame_unexpected', `${frame.type} is of protocol version ${BIDS_SINCE}`);
    const said = frame.type === 'bid' ? frame.bid : frame.heartbeat;
    if (said.executor !== `host:${bidder.hostId}`)
      return connection.refuse('agent.foreign_executor', `this is ${bidder.hostId}, and speaks for no other`);
    const allowed = bidder.allowance.take(performance.now());
    if (allowed === 'flooded') return connection.refuse('agent.flooding', 'too many bids and heartbeats');
    if (allowed === 'dropped') return;
    const who = { connection, hostId: bidder.hostId };
    if (frame.type === 'task-heartbeat') return this.#outbox.heartbeat({ ...who, heartbeat: frame.heartbeat });
    const key = offerKey(frame.bid);
    const open = this.#open.get(key);
    if (!open || open.until <= performance.now() || !bidder.offered.delete(key)) return; // too late, said already, or never asked
    this.#outbox.bid({ ...who, bid: frame.bid, tenant: open.offer.tenant });
    bidder.offered.add(SAID + key);
  }

  async stop(): Promise<void> {
    await this.#outbox.drained();
  }

  #offer(connection: Connection, bidder: Bidder, { offer, until }: Open): void {
    const key = offerKey(offer);
    if (until <= performance.now() || bidder.offered.has(key) || bidder.offered.has(SAID + key)) return;
    if (bidder.offered.size >= OFFERED_AT_MOST || !bidder.kinds.has(offer.kind)) return;
    if (labelsMissing(bidder.labels, offer.labels).length > 0) return;
    bidder.offered.add(key);
    connection.send({ type: 'offer', offer, now: this.service.clock() });
  }

  #close(key: string): void {
    this.#open.delete(key);
    for (const { offered } of this.#bidders.values()) {
      offered.delete(key);
      offered.delete(SAID + key);
    }
  }
}

/** Marks an offer that was bid for: it is not sent again while it is open. */
const SAID = 'said ';
