import { FLEET_TENANT, provisioningTasks as tasks, type InputOf, type Trace } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { traces as core } from '@chrysalis/provisioning-core';
import { done, Executor, failed, OnTask, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import * as sql from './sql.ts';

/** What changed within so long may not have come to its host when that was looked at. */
const MIN_AGE_MS = 300_000;

@Executor()
export class JudgeTraces {
  @OnTask(tasks.judgeTraces)
  async judgeTraces(looked: InputOf<typeof tasks.judgeTraces>, ctx: TaskContext): ResultOf<typeof tasks.judgeTraces> {
    const { tx, store, dispatch, now } = ctx;
    if (dispatch.tenant !== FLEET_TENANT)
      return failed({ code: 'auth.denied', message: 'What is on a host is the fleet’s to know, and no tenant’s', retriable: false });
    const { schema } = store;
    const { hostId, minAgeMs = MIN_AGE_MS, pools } = looked;
    const before = new Date(Date.parse(now) - minAgeMs);
    const traces = await withOwners(tx, schema, looked.traces);
    const said = await saidOf(tx, schema, hostId, traces);
    const poolIds = pools.flatMap((p) => p.poolId ?? []);
    const wanted = {
      vms: await sql.settledOn(tx, schema, hostId, before),
      volumes: await sql.volumesAt(tx, schema, { hostId, poolIds, before }),
    };
    return done(core.reportOf({ ...looked, traces }, said, wanted));
  }
}

/** A tap whose host has no record of it is told by its name alone. */
const withOwners = async (tx: Queryable, schema: string, traces: readonly Trace[]): Promise<Trace[]> => {
  const nameless = traces.filter((t) => t.kind === 'nic' && t.vmId === undefined).map((t) => t.id);
  const owners = await sql.ownersOfTaps(tx, schema, nameless);
  return traces.map((t) => (t.kind === 'nic' && owners.has(t.id) ? { ...t, vmId: owners.get(t.id)! } : t));
};

const saidOf = async (tx: Queryable, schema: string, hostId: string, traces: readonly Trace[]): Promise<core.Said> => {
  const distinct = <T>(of: (t: Trace) => T | undefined): T[] => [...new Set(traces.flatMap((t) => of(t) ?? []))] as T[];
  const vms = await sql.vmsNamed(tx, schema, distinct((t) => t.vmId)); // prettier-ignore
  const volumes = await sql.volumesNamed(tx, schema, distinct((t) => t.volumeId)); // prettier-ignore
  const vnis = distinct((t) => t.vni);
  const given = await sql.givenVnis(tx, schema);
  const on = new Map((await sql.onSegments(tx, schema, hostId, vnis)).map((s) => [s.vni, s]));
  return {
    vms: new Map(vms.map((v) => [v.id, { status: v.status, epoch: v.epoch, hostId: v.host, move: v.move, action: v.action?.action }])),
    volumes: new Map(volumes.map((v) => [v.volumeId, { ...v, action: v.action?.name }])),
    segments: new Map(
      vnis.map((vni) => [
        vni,
        { given: vni >= given.first && vni <= given.last, here: on.get(vni)?.here ?? false, coming: on.get(vni)?.coming ?? false },
      ]),
    ),
  };
};
