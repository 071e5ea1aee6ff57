import type { Keeps } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { Gauge } from 'prom-client';

const what = ['vmsGone', 'lanes', 'results'] as const;

/** What the connected hosts remember of what is over, for the metrics: each of it has a rule by which it goes. */
export class HostsKeep {
  readonly #hosts = new Map<object, Keeps>();

  constructor({ metrics }: Pick<ServiceContext, 'metrics'>) {
    const sum = (of: (typeof what)[number]): number => [...this.#hosts.values()].reduce((n, keeps) => n + keeps[of], 0);
    new Gauge({
      name: 'chrysalis_agent_gateway_hosts_keep',
      help: 'What connected hosts remember: VMs and lanes until a week after their last task, results of the last 5,000 tasks',
      labelNames: ['what'],
      registers: [metrics],
      collect() {
        for (const of of what) this.set({ what: of }, sum(of));
      },
    });
  }

  heard(connection: object, keeps: Keeps | undefined): void {
    if (keeps) this.#hosts.set(connection, keeps);
  }

  left(connection: object): void {
    this.#hosts.delete(connection);
  }
}
