import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { taskKey, type Outcome, type OutputOf, type TaskContract, type TaskDispatch, type TaskReport } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { claims, dispatch, publish, sign, tenantKey, world, type Gateway, type World } from '../../../agent-gateway/src/test/harness.ts';

const root = resolve(import.meta.dirname, '../../../..');
const inventory = (total: number) => ({ total, reserved: 0, ratioPerMille: 1000, min: 1, max: total, step: 1 });
export type HostOptions = {
  readonly hostId: string;
  /** The process and its directory, where two have one host id. */
  readonly as?: string;
  readonly driver: 'qemu' | 'simulated';
  readonly address?: string;
  /** Of several, the one that it connects to. */
  readonly gateway?: Gateway;
  readonly pool?: string;
  readonly networks?: Record<string, string>;
  readonly imageStore?: string;
  readonly packageStore?: string;
  /** How far the machine's clock is ahead. */
  readonly clockAheadMs?: number;
  readonly inside?: (argv: readonly string[]) => string[];
};

/** A gateway, and host agents as processes of their own. What the workflow service would say, tests say. */
export class Fleet {
  readonly failpoints: string;
  readonly agents = new Map<string, ChildProcess>();
  #configs = new Map<string, { file: string; options: HostOptions }>();
  #token = Date.now() * 1000;

  private constructor(
    readonly world: World,
    public gateway: Gateway,
    /** Its folder `depot` is where the gateway has disks. */
    readonly dir: string,
  ) {
    this.failpoints = join(dir, 'failpoints.json');
  }

  static async open(agentListen = '127.0.0.1:0'): Promise<Fleet> {
    const w = await world();
    const dir = mkdtempSync(join(tmpdir(), 'chrysalis-fleet-'));
    return new Fleet(w, await w.start({ heartbeatMs: 500, lostAfterMs: 5_000 }, agentListen, join(dir, 'depot')), dir);
  }

  async host(options: HostOptions): Promise<void> {
    const { hostId, as = hostId, driver, address = '127.0.0.1' } = options;
    const stateDir = join(this.dir, as);
    const pool = options.pool ?? join(this.dir, 'pool');
    for (const made of [stateDir, pool]) mkdirSync(made, { recursive: true });
    const config = {
      hostId,
      address,
      place: { site: 's', room: 'r', rack: 'k' },
      inventory: { vcpu: inventory(8), memoryMiB: inventory(8192), diskMiB: inventory(8192) },
      networks: options.networks ?? { lan: 'isolated' },
      pools: { shared: pool },
      imageStore: options.imageStore ?? this.dir,
      packageStore: options.packageStore ?? this.dir,
      stateDir,
      gatewayUrl: (options.gateway ?? this.gateway).agentsUrl,
      token: await this.world.token(`host:${hostId}`, 'host-agent'),
      driver,
      reconnect: { minMs: 50, maxMs: 500 },
    };
    const file = join(this.dir, `${as}.json`);
    writeFileSync(file, JSON.stringify(config));
    this.#configs.set(as, { file, options });
    await this.start(as);
  }

  async start(hostId: string): Promise<void> {
    const { file, options } = this.#configs.get(hostId)!;
    const argv = [
      join(root, 'node_modules/.bin/node'),
      '--disable-warning=ExperimentalWarning',
      '--import',
      join(root, 'tools/node/register.mjs'),
      ...(options.clockAheadMs === undefined ? [] : ['--import', join(import.meta.dirname, 'clock-ahead.mjs')]),
      join(root, 'apps/host-agent/src/main.ts'),
      file,
    ];
    const [command, ...args] = options.inside?.(argv) ?? argv;
    const CLOCK_AHEAD_MS = String(options.clockAheadMs ?? 0);
    const env = {
      ...process.env,
      CLOCK_AHEAD_MS,
      CHRYSALIS_FAILPOINTS: this.failpoints,
      CHRYSALIS_LOG: process.env['CHRYSALIS_LOG'] ?? 'error',
    };
    const child = spawn(command!, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env });
    this.agents.set(hostId, child);
    await new Promise<void>((done, fail) => {
      child.once('message', () => done());
      child.once('exit', (code) => fail(new Error(`the agent of ${hostId} ended with ${code}`)));
    });
    child.removeAllListeners('exit');
  }

  async ended(hostId: string): Promise<void> {
    const child = this.agents.get(hostId)!;
    if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done));
  }

  async kill(hostId: string): Promise<void> {
    this.agents.get(hostId)!.kill('SIGKILL');
    await this.ended(hostId);
  }

  /** Another gateway in the place of the first, as a supervisor does it. */
  async restartGateway(): Promise<void> {
    const { agentsUrl } = this.gateway;
    await this.gateway.stop();
    this.world.gateways.splice(0);
    this.gateway = await this.world.start({ heartbeatMs: 500, lostAfterMs: 5_000 }, new URL(agentsUrl).host);
  }

  /** Rules of service-kit's failpoints. */
  fail(rules: Record<string, unknown>): void {
    writeFileSync(this.failpoints, JSON.stringify(rules));
  }

  /** Says a task and waits for its report. */
  async run<C extends TaskContract>(
    contract: C,
    hostId: string,
    input: Record<string, unknown>,
    given: Partial<TaskDispatch> = {},
  ): Promise<Outcome> {
    return this.reported(await this.begin(contract, hostId, input, given));
  }

  async begin(
    contract: TaskContract,
    hostId: string,
    input: Record<string, unknown>,
    given: Partial<TaskDispatch> = {},
  ): Promise<TaskDispatch> {
    const task = dispatch({
      kind: contract.kind,
      executor: `host:${hostId}`,
      input,
      token: ++this.#token,
      task: `t-${randomUUID().slice(0, 8)}`,
      ...given,
    });
    await publish(this.gateway, task);
    return task;
  }

  async reported(task: TaskDispatch, withinMs = 60_000): Promise<Outcome> {
    const report = await until(async () => {
      const events = await this.world.events(this.gateway, `task-${task.workflowId}`);
      const reports = events.filter((e) => e.type.endsWith('.task.reported.v1')).map((e) => e.data as unknown as TaskReport);
      return reports.find((r) => taskKey(r) === taskKey(task));
    }, withinMs);
    return report.outcome;
  }

  /** The output, or the failure as an error. */
  async must<C extends TaskContract>(
    contract: C,
    hostId: string,
    input: Record<string, unknown>,
    given: Partial<TaskDispatch> = {},
  ): Promise<OutputOf<C>> {
    const outcome = await this.run(contract, hostId, input, given);
    if (!outcome.ok) throw new Error(`${contract.kind}: ${JSON.stringify(outcome.cause)}`);
    return outcome.output as OutputOf<C>;
  }

  /** A tenant key, and a grant over everything for these VMs. */
  async grant(
    vms: readonly string[],
    packages: readonly string[],
    tenant = undefined as Awaited<ReturnType<typeof tenantKey>> | undefined,
  ): Promise<string> {
    const key = tenant ?? (await tenantKey(`kid-${randomUUID()}`));
    const admin = await this.world.token('root', 'admin');
    await this.world.api(this.gateway, admin, 'POST', '/v1/tenant-keys', { tenant: 'acme', kid: key.kid, publicKeyJwk: key.jwk });
    const jws = await sign(key, claims({ vms, packages, uses: 1000, actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'] }));
    const { status, body } = await this.world.api(this.gateway, admin, 'POST', '/v1/grants', { jws });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return jws;
  }

  /** `after`: what the agents leave behind on purpose. */
  async stop(after: () => Promise<unknown> = async () => undefined): Promise<void> {
    for (const [hostId, child] of this.agents) {
      child.kill('SIGTERM');
      await this.ended(hostId);
    }
    await after();
    await this.world.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
