import type { TaskOffer } from '@chrysalis/contracts';
import { failpoint, type EventContext } from '@chrysalis/service-kit';
import { signal } from '../delivery/wire.ts';
import { keepOffer } from '../sql/open-offers.ts';

/** Kept while its window is open, for agents that connect meanwhile, and told to every instance. What is over already is not kept. */
export const acceptOffer = async (offer: TaskOffer, ctx: EventContext): Promise<void> => {
  await failpoint('gateway:offer:before', { kind: offer.kind, task: offer.task });
  const leftMs = await keepOffer(ctx.tx, offer);
  if (leftMs !== undefined) await signal(ctx.tx, { to: 'bidders', offer, leftMs });
};
