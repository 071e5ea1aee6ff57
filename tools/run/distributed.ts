import path from 'node:path';
import { createBus } from '@chrysalis/messaging';
import { topics } from '../../infra/kafka/topics.ts';
import { startKafka } from '../../infra/kafka/launcher.ts';
import { freePort } from '../../infra/process/free-port.ts';
import {
  baseConfig,
  contextServices,
  credentials,
  openDatabase,
  serviceNames,
  type Platform,
  type PlatformOptions,
  type ServiceName,
} from './platform.ts';
import { superviseService, type ServiceProcess } from './supervisor.ts';

/** Each service a process of its own, over Apache Kafka and PostgreSQL. */
export const startDistributed = async (o: PlatformOptions): Promise<Platform> => {
  const [postgres, kafka, { key, token, tokenFor }] = await Promise.all([
    openDatabase(o),
    startKafka({ dir: path.join(o.runDir, 'kafka') }),
    credentials(),
  ]);
  const processes = new Map<ServiceName, ServiceProcess>();
  const stop = async (): Promise<void> => {
    await Promise.allSettled([...processes.values()].map((p) => p.stop()));
    await Promise.allSettled([kafka.stop(), postgres.stop()]);
  };
  try {
    const bus = createBus({ kind: 'kafka', brokers: kafka.brokers, clientId: 'topics' });
    await bus.ensureTopics(topics.map((t) => ({ ...t, config: { ...t.config } })));
    await bus.close();
    // Ports stay with a service over restarts, so that the others find it again.
    const ports = new Map<ServiceName, number>();
    for (const name of serviceNames) ports.set(name, await freePort());
    const urlOf = (name: ServiceName): string => `http://127.0.0.1:${ports.get(name)!}`;
    const serviceUrls = Object.fromEntries(contextServices.map((n) => [n, urlOf(n)])) as Record<(typeof contextServices)[number], string>;
    const config = baseConfig(postgres, key, { kind: 'kafka', brokers: kafka.brokers }, o);
    await Promise.all(
      serviceNames.map(async (name) => {
        const service = superviseService({
          name,
          config: { ...config, port: ports.get(name)!, agentListen: o.agentListen, serviceUrls },
          environment: o.environment ?? {},
        });
        processes.set(name, service);
        await service.ready();
      }),
    );
    return {
      mode: 'distributed',
      adminUrl: urlOf('admin-api'),
      agentUrl: `ws://${o.agentListen}/v1/agents`,
      token,
      tokenFor,
      database: { kind: 'postgresql', version: postgres.version, url: postgres.connectionString },
      bus: { kind: 'kafka', version: kafka.version, brokers: kafka.brokers },
      pids: () => ({
        ...Object.fromEntries([...processes].flatMap(([n, p]) => (p.pid() ? [[n, p.pid()!]] : []))),
        postgresql: postgres.pid,
        ...(kafka.pid ? { kafka: kafka.pid } : {}),
      }),
      kill: (name) => processes.get(name)!.kill(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};
