import { agentGatewayEvents, speaksOf, type Observed } from '@chrysalis/contracts';
import { both, type NewEvent } from '@chrysalis/event-store';
import { canonicalJson } from '@chrysalis/kernel';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { currentSessions } from '../sql/agent-sessions.ts';
import { noteObserved, placesOf, type PlaceRow } from './sql.ts';

/** What a host said of one VM, over which connection. */
export type Said = {
  readonly connectionId: string;
  readonly hostId: string;
  readonly vmId: string;
  readonly epoch: number;
  readonly observed: Observed;
};
/** `foreign`: not this host's VM, or of a past epoch, or of one that we do not know yet. `stale`: the host has another session by now. `busy`: to be said again in a moment. */
export type Verdict = 'recorded' | 'known' | 'foreign' | 'stale' | 'busy';

/**
 * In one transaction: whose VMs these are, whose sessions still are, and an event for each that says something new. The rows of the VMs
 * are locked, so that two instances do not say one thing twice, nor an older one after a newer.
 */
export const record = (service: ServiceContext, said: readonly Said[]): Promise<Verdict[]> =>
  service.store.transaction(
    async (tx) => {
      const { places, busy } = await placesOf(
        tx,
        said.map((s) => s.vmId),
      );
      // After the locks: whoever wrote before us in a newer session had replaced ours by then, and that is seen here.
      const current = await currentSessions(
        tx,
        said.map((s) => s.connectionId),
      );
      const verdicts: Verdict[] = [];
      const fresh: Fresh[] = [];
      for (const one of said) {
        const place = places.get(one.vmId);
        const verdict = verdictOn(one, place, { current: current.has(one.connectionId), busy: busy.has(one.vmId) });
        verdicts.push(verdict);
        if (verdict !== 'recorded' || !place) continue;
        await failpoint('gateway:observed:before', { vmId: one.vmId, hostId: one.hostId });
        fresh.push({ ...one, tenant: place.tenant });
        places.set(one.vmId, { ...place, observed: one.observed, told: one });
      }
      if (fresh.length > 0) await write(service, tx, fresh);
      return verdicts;
    },
    { attempts: 5 },
  );

type Fresh = Said & { readonly tenant: string };

const verdictOn = (said: Said, place: PlaceRow | undefined, is: { readonly current: boolean; readonly busy: boolean }): Verdict => {
  if (!is.current) return 'stale';
  return !place && is.busy ? 'busy' : judge(said, place);
};

/** Only the host that has the VM is believed, and said again is nothing new. */
const judge = (said: Said, place: PlaceRow | undefined): Verdict => {
  const { hostId, epoch, observed } = said;
  if (!place || !speaksOf(said, { hostId: place.host_id, epoch: place.epoch })) return 'foreign';
  const known = place.observed && place.told.hostId === hostId && place.told.epoch === epoch;
  return known && canonicalJson(place.observed) === canonicalJson(observed) ? 'known' : 'recorded';
};

/** The rows of the VMs are locked for as long as this takes: two statements, of however many VMs. */
const write = async (service: ServiceContext, tx: pg.PoolClient, fresh: readonly Fresh[]): Promise<void> => {
  const appends = [...Map.groupBy(fresh, (one) => one.vmId)].map(([vmId, list]) => ({
    stream: `observed-${vmId}`,
    expected: 'any' as const,
    events: list.map((one) => eventOf(service, one)),
  }));
  const last = new Map(fresh.map((one) => [one.vmId, one]));
  await both(
    tx,
    () => service.store.append(appends, tx),
    () => noteObserved(tx, [...last.values()]),
  );
};

const eventOf = (service: ServiceContext, { vmId, hostId, epoch, observed, tenant }: Fresh): NewEvent => ({
  id: service.newId(),
  type: agentGatewayEvents.vmObserved.type,
  data: { vmId, hostId, epoch, observed },
  meta: { at: service.clock(), correlationId: service.newId(), actor: `host:${hostId}`, tenant },
});
