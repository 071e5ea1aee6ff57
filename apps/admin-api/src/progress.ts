import { progressTopic, type FromHostAgent } from '@chrysalis/contracts';
import { newId, type ServiceContext } from '@chrysalis/service-kit';
import { Counter } from 'prom-client';

export type Progress = Extract<FromHostAgent, { type: 'progress' }>;
type Listener = (progress: Progress, tenant: string) => void;

/** Samples of running moves: heard of once a process, given to whoever watches. May be lost, and is kept nowhere. */
export class ProgressHub {
  /** Samples that a viewer was not sent because it had not taken the last ones. */
  readonly dropped = new Counter({
    name: 'chrysalis_progress_dropped_total',
    help: 'Samples left out for viewers that do not keep up',
    registers: [],
  });
  readonly #listeners = new Set<Listener>();
  readonly #latest = new Map<string, { progress: Progress; tenant: string; heard: number }>();

  /** Every instance hears everything: its group is its own. */
  async start({ bus, config, log, metrics }: ServiceContext): Promise<() => Promise<void>> {
    metrics.registerMetric(this.dropped);
    await bus.ensureTopics([{ name: progressTopic, partitions: 1 }]);
    const subscription = await bus.subscribe({
      group: `admin-api.progress.${config.bus.kind === 'kafka' ? config.instance : newId(config.instance)}`,
      topics: [progressTopic],
      fromBeginning: false,
      handle: async (events) => {
        for (const e of events) this.#heard(e.data as Progress, e.tenant);
      },
    });
    log.debug('listening to progress');
    return () => subscription.stop();
  }

  /** First the newest sample of each move that was heard of in the last seconds, then each as it comes. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    for (const { progress, tenant, heard } of this.#latest.values()) if (Date.now() - heard < 5_000) listener(progress, tenant);
    return () => void this.#listeners.delete(listener);
  }

  #heard(progress: Progress, tenant: string): void {
    if (typeof progress?.moveId !== 'string') return;
    this.#latest.delete(progress.moveId);
    this.#latest.set(progress.moveId, { progress, tenant, heard: Date.now() });
    if (this.#latest.size > 1_000) this.#latest.delete(this.#latest.keys().next().value!);
    for (const listener of this.#listeners) listener(progress, tenant);
  }
}
