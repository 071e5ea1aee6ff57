import type { ServiceConfig } from '@chrysalis/service-kit';
import { freePort } from '../../infra/process/free-port.ts';
import type { PlatformOptions } from './platform.ts';
import { superviseService, type ServiceProcess } from './supervisor.ts';

type Name = NonNullable<PlatformOptions['apart']>[number];

/** Services of an embedded control plane that are processes of their own even so, each kept running at a port that stays. */
export class Apart {
  readonly #processes = new Map<Name, ServiceProcess>();

  /** Resolves with where they are once all are ready. */
  start(
    config: ServiceConfig,
    { apart = [], environment = {} }: Pick<PlatformOptions, 'apart' | 'environment'>,
  ): Promise<[Name, string][]> {
    return Promise.all(
      apart.map(async (name): Promise<[Name, string]> => {
        const port = await freePort();
        const service = superviseService({ name, config: { ...config, port }, environment });
        this.#processes.set(name, service);
        await service.ready();
        return [name, `http://127.0.0.1:${port}`];
      }),
    );
  }

  pids(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#processes].flatMap(([name, p]) => (p.pid() ? [[name, p.pid()!]] : [])));
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.#processes.values()].map((p) => p.stop()));
  }
}
