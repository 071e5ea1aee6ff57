import { resourceAllocationTasks as tasks, type InputOf } from '@chrysalis/contracts';
import { done, Executor, OnTask, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { countHolds, orphans, type Orphan } from '../sql/owners.ts';

/** Younger holds are passed over: their owner may have been heard of by others, and not yet here. */
const MIN_AGE_MS = 600_000;
const MOST = 1_000;

@Executor()
export class AuditHolds {
  @OnTask(tasks.auditHolds)
  async auditHolds(
    { minAgeMs = MIN_AGE_MS, limit = MOST }: InputOf<typeof tasks.auditHolds>,
    { tx, store }: TaskContext,
  ): ResultOf<typeof tasks.auditHolds> {
    const found = await orphans(tx, store.schema, minAgeMs, limit + 1);
    const checked = await countHolds(tx, store.schema);
    return done({ checked, more: found.length > limit, findings: found.slice(0, limit).map(finding) });
  }
}

const finding = (o: Orphan) => ({
  consumer: o.consumer,
  hostId: o.host,
  vmId: o.vm,
  amounts: { vcpu: Number(o.vcpu), memoryMiB: Number(o.memory_mib), diskMiB: Number(o.disk_mib) },
  why: o.unknown ? ('owner_unknown' as const) : ('owner_ended' as const),
  since: o.since.toISOString(),
  ageMs: Number(o.age_ms),
});
