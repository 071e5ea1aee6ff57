import { FLEET_TENANT, hostTasks, type Erased, type InputOf, type OutputOf, type Trace } from '@chrysalis/contracts';
import { TaskFailure } from '../execution/task-failure.ts';
import type { Handler, TaskRun } from '../execution/handler.ts';
import { forgetVm } from './boot-vm.ts';
import { handler, notInMove, type HandlerContext } from './handler-context.ts';

/** A host may be in the middle of making what is younger; whoever ordered that has not written it down yet. */
const MIN_AGE_MS = 300_000;
/** What one answer has room for; see MAX_OUTPUT of the workflows. */
const MOST_TRACES = 600;
const MOST_VMS = 1_500;

type Look = OutputOf<typeof hostTasks.listTraces>;
const anyState = (): void => undefined;

export const traceHandlers = (context: HandlerContext & At): Handler[] => [
  { ...handler(hostTasks.listTraces, anyState, ({ minAgeMs = MIN_AGE_MS }, run) => list(context, minAgeMs, run)), lane: () => 'traces' },
  handler(hostTasks.removeVmTraces, anyState, (input, run) => removeOfVm(context, input, run)),
  {
    ...handler(hostTasks.removeTraces, anyState, async ({ traces }, run) => ({ results: await eraseAll(context, traces, run) })),
    // That of the tasks that make and delete volumes.
    lane: ({ of }: { of: string }) => (of.startsWith('volume-') ? `volume-${of}.qcow2` : of),
  },
];

/** Of all tenants: only the fleet's workflows may. */
const assertFleet = ({ dispatch }: TaskRun): void => {
  if (dispatch.tenant === FLEET_TENANT) return;
  throw new TaskFailure('auth.denied', 'What is on a host is the fleet’s to know, and no tenant’s');
};

/** What nothing is known of here comes first: where there is more than an answer has room for, that is what it has to have. */
const list = async ({ driver, states, config, facts }: HandlerContext, minAgeMs: number, run: TaskRun): Promise<Look> => {
  assertFleet(run);
  const { pools: known = [] } = await facts();
  const poolIds = new Map(known.map((p) => [p.name, p.poolId]));
  const found = (await driver.traces(minAgeMs)).map((trace) => {
    const poolId = trace.pool === undefined ? undefined : poolIds.get(trace.pool);
    return { ...trace, ...(poolId === undefined ? {} : { poolId }), ...inMove(trace, states) };
  });
  const runs = (vmId: string | undefined): boolean => vmId !== undefined && states.get(vmId)?.role === 'runner';
  const traces = [...found.filter((t) => !runs(t.vmId)), ...found.filter((t) => runs(t.vmId))];
  const vms = states.all().flatMap(({ vmId, role }) => (role === 'runner' ? [vmId] : []));
  return {
    traces: traces.slice(0, MOST_TRACES),
    vms: vms.slice(0, MOST_VMS),
    pools: Object.entries(config.pools).map(([name, { shared }]) => {
      const poolId = poolIds.get(name);
      return { name, shared, ...(poolId === undefined ? {} : { poolId }) };
    }),
    more: traces.length > MOST_TRACES || vms.length > MOST_VMS,
  };
};

const inMove = ({ vmId }: Trace, states: HandlerContext['states']): Pick<Trace, 'busy'> => {
  const state = vmId === undefined ? undefined : states.get(vmId);
  try {
    if (state) notInMove(state);
    return {};
  } catch (error) {
    return { busy: (error as Error).message };
  }
};

/**
 * Alone on the VM, so that nobody boots it or prepares it as a target meanwhile. What came since the judgement has a higher epoch: then it is
 * this host's again, and all of it stays. Killed in the middle, the same task finds what is left, and the rest gone.
 */
const removeOfVm = async (
  context: HandlerContext & At,
  { vmId, epoch, traces }: InputOf<typeof hostTasks.removeVmTraces>,
  run: TaskRun,
): Promise<{ results: Erased[] }> => {
  assertFleet(run);
  const why = since(context, vmId, epoch);
  const mine = traces.filter((t) => t.vmId === vmId && t.volumeId === undefined);
  if (why !== undefined) return { results: mine.map(({ kind, id }) => ({ kind, id, done: 'stays', bytes: 0, why })) };
  if (mine.some((t) => !t.savedState)) context.guests.forget(vmId);
  const results = await eraseAll(context, inOrder(mine), run);
  if (!context.driver.list().includes(vmId)) await forgetVm(context, vmId);
  return { results };
};

const since = ({ states }: HandlerContext, vmId: string, epoch: number): string | undefined => {
  const state = states.get(vmId);
  if (state && state.epoch > epoch) return `this host has the VM at epoch ${state.epoch} by now, above ${epoch}`;
  try {
    if (state) notInMove(state);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

const order: readonly Trace['kind'][] = ['process', 'nic', 'folder', 'disk', 'segment'];
const inOrder = (traces: readonly Trace[]): Trace[] => [...traces].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));

type At = { readonly at: (point: string, context: Record<string, string>) => Promise<void> };
const eraseAll = async ({ driver, log, at }: HandlerContext & At, traces: readonly Trace[], run: TaskRun): Promise<Erased[]> => {
  assertFleet(run);
  const results: Erased[] = [];
  for (const trace of traces) {
    run.signal.throwIfAborted();
    const result = await driver.erase(trace);
    log.info({ ...trace, done: result.done, why: result.why }, 'a trace was judged to be an orphan');
    results.push(result);
    await at('erased', { kind: trace.kind, id: trace.id });
  }
  return results;
};
