import type { KnownVm } from '@chrysalis/provisioning-core';
import { failpoint, messageContext, type ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { acting } from '../acting.ts';
import { decideVm } from '../decide-vm.ts';
import { vmOf } from '../sql/vms.ts';
import { dueSightings, looked, sightingOf, type Due } from './sql.ts';

const BATCH = 100;
const FORCED = { force: true } as const;
/** While an action or a move has the VM: its end sets the timer, and this is for an observation that crossed it. */
const AGAIN_MS = 30_000;

/**
 * The durable timers of restart policies. Any number of instances look: whose decision comes second is decided anew on the VM's stream,
 * and finds the action under way. One that dies between looking and committing has done nothing, and the timer stands.
 */
export class Restarts {
  constructor(private readonly service: Pick<ServiceContext, 'store' | 'log' | 'newId' | 'pool' | 'schema' | 'clock' | 'context'>) {}

  /** Considers every VM whose time has come. */
  async look(): Promise<void> {
    const { pool, schema, log, store, clock } = this.service;
    for (const due of await dueSightings(pool, schema, clock(), BATCH)) {
      await store
        .transaction((tx) => this.#consider(tx, due), { attempts: 5 })
        .then((says) => failpoint('restart:committed', { vm: due.vm, says }))
        .catch((err: unknown) => log.error({ err, vmId: due.vm }, 'a restart could not be considered; it will be'));
    }
  }

  /** The type of what it says, if anything. */
  async #consider(tx: pg.PoolClient, due: Due): Promise<string> {
    const { schema, clock, newId, context } = this.service;
    const vmId = due.vm;
    const view = await vmOf(tx, schema, undefined, vmId);
    const seen = await sightingOf(tx, schema, vmId);
    if (!view || !seen) return nothing(looked(tx, schema, due, null));
    const meta = { at: clock(), correlationId: newId(), actor: `service:${context}`, tenant: view.tenant };
    const ctx = messageContext(this.service, tx, meta);
    const request = acting(view, newId('op'), 'start', FORCED);
    const decided = await decideVm(ctx, vmId, { type: 'consider-restart', vmId, seen, now: meta.at, request });
    if (!decided.ok) return nothing(looked(tx, schema, due, null));
    const says = decided.events[0]?.type ?? '';
    await failpoint('restart:decided', { vm: vmId, says });
    if (!says) await looked(tx, schema, due, nextLook(decided.vm, meta.at));
    return says;
  }
}

const nothing = (done: Promise<void>): Promise<string> => done.then(() => '');

const nextLook = (vm: KnownVm, now: string): string | null => {
  if (vm.restart.due) return vm.restart.due.at;
  return (vm.action || vm.move) && vm.restart.policy !== 'never' ? new Date(Date.parse(now) + AGAIN_MS).toISOString() : null;
};
