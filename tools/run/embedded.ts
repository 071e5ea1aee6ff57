import type { Context } from '@chrysalis/contracts';
import type { RunningService, ServiceConfig } from '@chrysalis/service-kit';
import { Apart } from './apart.ts';
import {
  baseConfig,
  contextServices,
  credentials,
  openDatabase,
  type Platform,
  type PlatformOptions,
  type ServiceName,
} from './platform.ts';

type Start = (config: ServiceConfig) => Promise<RunningService>;
const startOf = async (name: ServiceName): Promise<Start> => ((await import(`@chrysalis/${name}-app`)) as { start: Start }).start;

/** Everything in this process but what is to be apart, over PostgreSQL alone. */
export const startEmbedded = async (o: PlatformOptions): Promise<Platform> => {
  const [postgres, { key, token, tokenFor }, starts, startProjector, startAdmin] = await Promise.all([
    openDatabase(o),
    credentials(),
    Promise.all(contextServices.filter((name) => !o.apart?.includes(name)).map(startOf)),
    startOf('projector'),
    startOf('admin-api'),
  ]);
  const running: RunningService[] = [];
  const apart = new Apart();
  const stop = async (): Promise<void> => {
    await apart.stop();
    await Promise.allSettled(
      running
        .splice(0)
        .reverse()
        .map((s) => s.stop()),
    );
    await postgres.stop();
  };
  try {
    const config = { ...baseConfig(postgres, key, { kind: 'embedded' }, o), port: 0 };
    const [alone, ...started] = await Promise.allSettled([
      apart.start({ ...config, agentListen: o.agentListen }, o),
      ...starts.map((start) => start({ ...config, agentListen: o.agentListen })),
      startProjector(config),
    ]);
    for (const s of started) if (s.status === 'fulfilled') running.push(s.value);
    for (const s of started) if (s.status === 'rejected') throw s.reason;
    if (alone.status === 'rejected') throw alone.reason;
    const here = running.filter((s) => s.context !== 'projector').map((s): [Context, string] => [s.context as Context, s.url]);
    const serviceUrls = Object.fromEntries([...alone.value, ...here]) as Record<Context, string>;
    const admin = await startAdmin({ ...config, serviceUrls });
    running.push(admin);
    return {
      mode: 'embedded',
      adminUrl: admin.url,
      agentUrl: `ws://${o.agentListen}/v1/agents`,
      token,
      tokenFor,
      database: { kind: 'postgresql', version: postgres.version, url: postgres.connectionString },
      bus: { kind: 'embedded' },
      pids: () => ({ chrysalis: process.pid, postgresql: postgres.pid, ...apart.pids() }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};
