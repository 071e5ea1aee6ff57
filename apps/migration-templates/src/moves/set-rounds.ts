import { messageContext, type ServiceContext } from '@chrysalis/service-kit';
import { lookAtDue } from '../due.ts';
import { dueMigration, lookAt, lookNoMore } from '../sql/migrations.ts';
import { setOn } from './set-on.ts';

const AFTER_A_FAULT_MS = 10_000;

/** Sets whose time has come go on. */
export const startSetRounds = (service: ServiceContext): (() => Promise<void>) => {
  const { schema, pool, log, context } = service;
  return lookAtDue(service, {
    next: (tx) => dueMigration(tx, schema),
    goOn: async ({ migrationId, tenant }, tx) => {
      await lookNoMore(tx, schema, migrationId);
      const at = service.clock();
      const meta = { at, correlationId: migrationId, actor: `service:${context}`, tenant };
      const decided = await setOn(messageContext(service, tx, meta), migrationId, { kind: 'advance', at }, tenant);
      if (!decided.ok) throw new Error(`a set that was looked at says ${decided.rejection.code}`);
    },
    putOff: ({ migrationId }, err) => {
      log.error({ err, migration: migrationId }, 'a set could not go on; it is looked at again');
      return lookAt(pool, schema, migrationId, new Date(Date.parse(service.clock()) + AFTER_A_FAULT_MS).toISOString(), 'then');
    },
  });
};
