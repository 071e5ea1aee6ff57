import {
  agentGatewayEvents,
  allTasks,
  type Code,
  faultText,
  type Outcome,
  type TaskContract,
  taskKey,
  type TaskReport,
} from '@chrysalis/contracts';
import { both, type NewEvent } from '@chrysalis/event-store';
import { Gather, Pace } from '@chrysalis/messaging';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { findAll, markReported, type Known } from '../sql/pending-tasks.ts';

export type Taken = { readonly ok: true } | { readonly ok: false; readonly code: Code; readonly message: string };

const contracts = new Map<string, TaskContract>(Object.values(allTasks).map((c) => [c.kind, c as TaskContract]));

type Told = { readonly hostId: string; readonly report: TaskReport; taken?: Taken };
const ok: Taken = { ok: true };

/**
 * A host agent's report becomes an event, once a task key, whoever gets it and how often. Only the host that was given the task may
 * report it. What was never dispatched, or ended long ago, is acknowledged and goes no further: the agent may forget it. Reports of one
 * moment are one transaction; where that fails each is one of its own.
 */
export class Reports {
  readonly #gather: Gather<Told>;

  constructor(private readonly service: ServiceContext) {
    this.#gather = new Gather<Told>({
      together: async (batches) => {
        await this.#take(batches.flat());
        return true;
      },
      apart: (batch) => this.#take(batch, 5),
      paceMs: Pace.tasks,
    });
  }

  /** Resolves when it is committed, or need not be. */
  async take(hostId: string, report: TaskReport): Promise<Taken> {
    const told: Told = { hostId, report };
    await this.#gather.submit([told]);
    return told.taken!;
  }

  async #take(all: readonly Told[], attempts = 1): Promise<void> {
    const taken = await this.service.store.transaction((tx) => this.#record(tx, all), { attempts });
    all.forEach((told, i) => (told.taken = taken[i]!));
  }

  async #record(tx: pg.PoolClient, all: readonly Told[]): Promise<Taken[]> {
    const known = await findAll(tx, all.map(({ report }) => taskKey(report))); // prettier-ignore
    const events = new Map<string, NewEvent[]>();
    const reported: string[] = [];
    const taken: Taken[] = [];
    for (const { hostId, report } of all) {
      const key = taskKey(report);
      const task = known.get(key);
      if (!task || task.state === 'reported' || reported.includes(key)) taken.push(ok);
      else if (task.hostId !== hostId) taken.push({ ok: false, code: 'agent.foreign_task', message: `${key} was not given to ${hostId}` });
      else {
        const { kind, task: name, workflowId } = task.dispatch;
        await failpoint('gateway:report:before', { kind, task: name });
        const stream = `task-${workflowId}`;
        events.set(stream, [...(events.get(stream) ?? []), this.#event(hostId, report, task)]);
        reported.push(key);
        taken.push(ok);
      }
    }
    if (reported.length === 0) return taken;
    await both(
      tx,
      () =>
        this.service.store.append(
          [...events].map(([stream, list]) => ({ stream, expected: 'any' as const, events: list })),
          tx,
        ),
      () => markReported(tx, reported),
    );
    return taken;
  }

  #event(hostId: string, report: TaskReport, { dispatch, meta }: Known): NewEvent {
    const { token, executor, kind } = dispatch;
    const data: TaskReport = { ...report, token, executor, outcome: believable(kind, report.outcome) };
    return {
      id: this.service.newId(),
      type: agentGatewayEvents.taskReported.type,
      data,
      meta: { ...meta, at: this.service.clock(), actor: `host:${hostId}` },
    };
  }
}

/** What comes from a host, and through it from a guest, is taken only in the shape that the task promises. */
const believable = (kind: string, outcome: Outcome): Outcome => {
  if (!outcome.ok) return outcome;
  const output = contracts.get(kind)?.output.safeParse(outcome.output);
  if (output?.success) return { ok: true, output: output.data as Record<string, unknown> };
  const message = output ? faultText(output.error) : 'no such task';
  return { ok: false, cause: { code: 'host.output_invalid', message, retriable: false } };
};
