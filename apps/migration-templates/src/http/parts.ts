import type { EventStore, StoredEvent } from '@chrysalis/event-store';
import { fold, type Decider } from '@chrysalis/kernel';
import { ProblemError, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import type pg from 'pg';
import { z } from 'zod';

export type { Answer };
export const Page = z.object({ limit: z.coerce.number().int().min(1).max(1000).default(100), cursor: z.string().max(255).default('') });

/** A stream's history, if it has one and it is this tenant's: another's is as unknown as none. */
export const historyOf = async (
  store: EventStore,
  stream: string,
  request: Pick<ApiRequest, 'caller'>,
  unknown: { code: string },
  tx?: pg.PoolClient,
): Promise<readonly StoredEvent[]> => {
  const history = await store.read(stream, {}, tx);
  if (history[0]?.meta.tenant !== request.caller.tenant) throw ProblemError.of(unknown);
  return history;
};

export const foldOf = <S, E>(decider: Pick<Decider<never, S, E, unknown>, 'initial' | 'evolve'>, history: readonly StoredEvent[]): S =>
  fold(decider.evolve, decider.initial, history as unknown as E[]);

export const etag = (version: number): { etag: string } => ({ etag: `"${version}"` });
