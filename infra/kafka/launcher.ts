import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../process/free-port.ts';
import { supervise, type Supervised } from '../process/supervise.ts';
import { jars, java, KafkaUnavailable, pinnedVersion } from './jars.ts';

export type KafkaOptions = {
  /** Its data, kept between runs. Nobody else may use it at the same time. */
  readonly dir: string;
  /** A free one unless told. */
  readonly port?: number;
};

export type RunningKafka = {
  readonly brokers: string[];
  readonly version: string;
  /** Ends what was started here; a broker that was given is left alone. */
  stop(): Promise<void>;
  /** Of the broker that was started here. */
  readonly pid?: number;
};

/**
 * A real Apache Kafka: the one in KAFKA_BROKERS; else in a container where there is an engine; else from its own jars on this
 * machine's Java. What is started ends with this process, also when that is killed.
 */
export const startKafka = async (o: KafkaOptions): Promise<RunningKafka> => {
  const given = process.env['KAFKA_BROKERS'];
  return given ? { brokers: given.split(','), version: 'as given', stop: async () => undefined } : startOwnKafka(o);
};

/** The same without regard to KAFKA_BROKERS: for tests that destroy it. */
export const startOwnKafka = async (o: KafkaOptions): Promise<RunningKafka> => {
  for (let attempt = 1; ; attempt++) {
    const ports = { broker: o.port ?? (await freePort()), controller: await freePort() };
    try {
      return (await hasContainerEngine()) ? await startContainer(ports.broker) : await startJava(o.dir, ports);
    } catch (error) {
      // Somebody took a free port in between.
      if (attempt === 3 || error instanceof KafkaUnavailable || !String(error).includes('Address already in use')) throw error;
    }
  }
};

const hasContainerEngine = async (): Promise<boolean> => {
  try {
    await promisify(execFile)('docker', ['info'], { timeout: 5_000 });
    return true;
  } catch {
    return false;
  }
};

type Ports = { readonly broker: number; readonly controller: number };

/** One broker that is its own controller. Groups form and members are missed quickly; one copy of everything, as there is one broker. */
const properties = (dir: string, { broker, controller }: Ports): Record<string, string | number> => ({
  'process.roles': 'broker,controller',
  'node.id': 1,
  'controller.quorum.voters': `1@127.0.0.1:${controller}`,
  listeners: `PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}`,
  'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker}`,
  'controller.listener.names': 'CONTROLLER',
  'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
  'log.dirs': path.join(dir, 'data'),
  ...forOneBroker,
});

const forOneBroker = {
  'auto.create.topics.enable': 'false',
  'num.partitions': 6,
  'offsets.topic.replication.factor': 1,
  'offsets.topic.num.partitions': 8,
  'transaction.state.log.replication.factor': 1,
  'transaction.state.log.min.isr': 1,
  'transaction.state.log.num.partitions': 2,
  'share.coordinator.state.topic.replication.factor': 1,
  'share.coordinator.state.topic.min.isr': 1,
  'group.initial.rebalance.delay.ms': 0,
  'group.min.session.timeout.ms': 1000,
  'num.network.threads': 2,
  'num.io.threads': 4,
  'log.cleaner.dedupe.buffer.size': 4_194_304,
};

const startJava = async (dir: string, ports: Ports): Promise<RunningKafka> => {
  const program = await java();
  const classpath = path.join(await jars(), '*');
  mkdirSync(dir, { recursive: true });
  const config = path.join(dir, 'server.properties');
  const logging = path.join(dir, 'log4j2.properties');
  writeFileSync(
    config,
    Object.entries(properties(dir, ports))
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  writeFileSync(logging, log4j);
  const jvm = [
    '-Xmx320m',
    '-Xms64m',
    '-XX:+UseSerialGC',
    '-Djava.awt.headless=true',
    `-Dlog4j2.configurationFile=${logging}`,
    '-cp',
    classpath,
  ];
  if (!existsSync(path.join(dir, 'data', 'meta.properties'))) {
    const format = [...jvm, '-XX:TieredStopAtLevel=1', 'kafka.tools.StorageTool', 'format', '-t', clusterId(), '-c', config];
    execFileSync(program, format, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
  return up(ports.broker, await startSupervised(program, [...jvm, 'kafka.Kafka', config], dir), pinnedVersion);
};

/** A container is held by the engine's client in the foreground, which passes our end on to it. */
const startContainer = async (port: number): Promise<RunningKafka> => {
  const settings = {
    ...properties('/tmp/kafka', { broker: 9092, controller: 9093 }),
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
  };
  const inside = { ...settings, listeners: 'PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093' };
  const variables = Object.entries(inside).flatMap(([name, value]) => ['-e', `KAFKA_${name.toUpperCase().replaceAll('.', '_')}=${value}`]);
  const args = [
    'run',
    '--rm',
    '-p',
    `127.0.0.1:${port}:9092`,
    '-e',
    'KAFKA_HEAP_OPTS=-Xmx320m',
    ...variables,
    `apache/kafka:${pinnedVersion}`,
  ];
  return up(port, await startSupervised('docker', args), pinnedVersion);
};

type Started = { readonly server: Supervised; readonly output: readonly string[] };

const startSupervised = async (command: string, args: readonly string[], cwd?: string): Promise<Started> => {
  const output: string[] = [];
  const onOutput = (text: string): void => {
    output.push(text);
    if (output.length > 50) output.shift();
  };
  return { server: await supervise({ command, args, signal: 'TERM', onOutput, ...(cwd === undefined ? {} : { cwd }) }), output };
};

/** 3 to 4 s on 2 cores; pulling an image takes as long as it takes. */
const up = async (port: number, { server, output }: Started, version: string): Promise<RunningKafka> => {
  let ended = false;
  void server.exited.then(() => (ended = true));
  for (const deadline = Date.now() + 180_000; Date.now() < deadline;) {
    if (ended) throw new Error(`Kafka did not start:\n${output.join('')}`);
    if (await accepts(port)) return { brokers: [`127.0.0.1:${port}`], version, pid: server.pid, stop: () => server.stop(15_000) };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await server.stop();
  throw new Error(`Kafka did not accept connections within 180 s:\n${output.join('')}`);
};

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

/** 16 random bytes as Kafka writes them; a leading dash would be read as an option. */
const clusterId = (): string => {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
};

const log4j = `
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
`;
