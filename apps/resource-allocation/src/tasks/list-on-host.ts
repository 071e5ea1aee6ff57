import { resourceAllocationTasks as tasks, type InputOf, type LeftThere } from '@chrysalis/contracts';
import { done, Executor, failed, OnTask, refused, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { hostNamed, hostNames } from '../sql/hosts.ts';
import { consumersOn, vmsOn } from '../sql/ledger.ts';

/** As many as one set of a migration may have. */
const MOST = 1_000;
/** So many are named in a message. */
const NAMED = 10;

@Executor()
export class ListOnHost {
  @OnTask(tasks.listOnHost)
  async listOnHost(
    { hostId, limit = MOST, expectEmpty, expectClosed, left: known = [] }: InputOf<typeof tasks.listOnHost>,
    { tx, store }: TaskContext,
  ): ResultOf<typeof tasks.listOnHost> {
    const host = await hostNamed(tx, store.schema, hostId);
    if (!host) return refused({ code: 'host.unknown', hostId, known: await hostNames(tx, store.schema) });
    if (expectClosed && host.state === 'enabled')
      return failed({
        code: 'host.enabled',
        message: `${hostId} is enabled: it takes new VMs, and would never be empty for good; first: chrysalis host retire ${hostId}, or drain or cordon it`,
        retriable: false,
      });
    if (expectEmpty) {
      const left = await consumersOn(tx, store.schema, hostId);
      if (left.length > 0)
        return failed({
          code: 'host.not_empty',
          message: notEmpty(hostId, left, known),
          retriable: true,
          detail: { left: left.slice(0, NAMED) },
        });
    }
    const vms = await vmsOn(tx, store.schema, hostId, limit + 1);
    return done({ vmIds: vms.slice(0, limit), more: vms.length > limit, generation: host.version });
  }
}

const notEmpty = (hostId: string, left: readonly string[], known: readonly LeftThere[]): string => {
  const words = new Map(known.map((k) => [k.consumer, `${k.who}: ${k.why}`]));
  const named = left.slice(0, NAMED).map((c) => words.get(c) ?? c);
  const more = left.length > named.length ? `; and ${left.length - named.length} more` : '';
  return `${hostId} is not empty, ${left.length === 1 ? 'one holds' : `${left.length} hold`} there: ${named.join('; ')}${more}`.slice(
    0,
    2000,
  );
};
