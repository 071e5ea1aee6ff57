import {
  agentGatewayEvents,
  eventsTopic,
  memoryMiBOf,
  plugged,
  reportOf,
  resized,
  tasksTopic,
  TaskDispatch,
  taskKey,
  topologyHash,
  unplugged,
  vcpusOf,
  type Device,
  type HostFacts,
  type Outcome,
  type Topology,
  type VmTypeSpec,
  workflowEvents,
  type Cause,
} from '@chrysalis/contracts';
import { found } from '@chrysalis/migration-templates-core/testing';
import { issueToken, newSigningKey, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { busEvent, serviceConfig, temporaryDatabase, until } from '@chrysalis/testing';
import { readsOf } from './reads.ts';

type Input = Record<string, never> & { vmId: string; topology: Topology };
const starts = ['provisioning', 'resource-allocation', 'workflow', 'migration-templates'] as const;
type Named = (typeof starts)[number];

/**
 * The four services that carry out a move, as they are, in one process on one database; hosts and guests are a model that keeps each
 * VM's hardware and answers its tasks. `fail` lets a task fail for good; `without` are services that the test itself runs.
 */
export const openFleet = async (hosts: readonly HostFacts[], { without = [] }: { without?: readonly Named[] } = {}) => {
  const database = await temporaryDatabase();
  const key = await newSigningKey();
  const token = await issueToken(key.privateJwk, { sub: 'olga', roles: ['admin', 'fleet'], tenant: 'acme' });
  const config: ServiceConfig = serviceConfig(database, key, 6);
  const services: Record<string, RunningService> = {};
  const close = async (): Promise<void> => {
    await Promise.allSettled(Object.values(services).map((s) => s.stop()));
    await database.drop();
  };
  try {
    for (const name of starts.filter((n) => !without.includes(n)))
      services[name] = await (
        (await import(`../../../${name}/src/main.ts`)) as { start: (c: ServiceConfig) => Promise<RunningService> }
      ).start(config);
  } catch (error) {
    await close();
    throw error;
  }
  const { bus } = services['migration-templates']!.service;
  const vms = new Map<string, Topology>();
  const fail = new Map<string, string>();
  const seen: string[] = [];
  let version = 0;

  const tell = (stream: string, type: string, data: unknown) =>
    bus.publish([
      { topic: eventsTopic('agent-gateway'), event: busEvent(stream, type, data, { tenant: 'acme', streamversion: ++version }) },
    ]);

  /** A tenant's grant over these VMs, as the gateway tells it. */
  const grant = (grantId: string, vms: readonly string[]) =>
    tell(`grant-${grantId}`, agentGatewayEvents.grantRegistered.type, {
      grantId,
      tenant: 'acme',
      jws: 'a.signed.grant',
      claims: {
        jti: grantId,
        iss: 'acme',
        iat: 1,
        exp: 4_000_000_000,
        vms,
        packages: [`sha256:${'b'.repeat(64)}`],
        uses: 100,
        actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'],
      },
    });

  const shaped = (vmId: string, t: Topology) => {
    vms.set(vmId, t);
    return { topology: t, topologyHash: topologyHash(t) };
  };
  const bootTopology = (
    i: Input & { uuid: string; spec: VmTypeSpec; image: Topology['image']; nics: Omit<Topology['nics'][number], 'port'>[]; pool: string },
  ): Topology => ({
    uuid: i.uuid,
    machine: 'pc-q35-7.2',
    cpuModel: i.spec.cpuModel,
    vcpus: { boot: i.spec.vcpus.now, max: i.spec.vcpus.max, plugged: [] },
    memory: { bootMiB: i.spec.memoryMiB.now, slots: 8, maxMiB: i.spec.memoryMiB.max, dimms: [] },
    rootPorts: 12,
    disks: i.spec.disks.map((d, n) => ({
      id: d.id,
      port: n,
      serial: d.id,
      sizeMiB: d.sizeMiB,
      format: 'raw',
      pool: i.pool,
      volume: `v.${d.id}`,
      readOnly: false,
    })),
    nics: i.nics.map((n, k) => ({ ...n, port: 6 + k })),
    serialPorts: [],
    image: i.image,
  });
  const guestFacts = (t: Topology) => ({
    bootId: '0199c0de-0000-4000-8000-00000000000a',
    uptimeSeconds: 5,
    os: { id: 'linux', version: '1', kernel: '6.1' },
    vcpus: vcpusOf(t),
    memoryMiB: memoryMiBOf(t),
    disks: t.disks.map((d) => ({ name: d.id, serial: d.serial, bytes: d.sizeMiB * 1_048_576 })),
    fileSystems: [],
    nics: t.nics.map((n) => n.mac),
  });

  const perform = ({ kind, input: raw }: TaskDispatch): Record<string, unknown> => {
    const input = raw as Input & { device: Device; disk: string; sizeMiB: number };
    const { vmId } = input;
    const now = vms.get(vmId)!;
    switch (kind) {
      case 'host.boot-vm':
        return { ...shaped(vmId, bootTopology(input as never)), bootedAt: new Date().toISOString() };
      case 'host.preflight':
        return { blockers: [], facts: hosts[0]! };
      case 'host.plug':
        return shaped(
          vmId,
          [...now.nics, ...now.disks, ...now.vcpus.plugged, ...now.memory.dimms].some((d) => d.id === input.device.id)
            ? now
            : plugged(now, input.device),
        );
      case 'host.unplug':
        return shaped(vmId, unplugged(now, input.device));
      case 'host.resize-disk':
        return shaped(vmId, resized(now, input.disk, input.sizeMiB));
      case 'host.prepare-target':
        return { migrationAddress: 'tcp:h2:1', peerAddress: 'h2:2', peerToken: 'secret' };
      case 'host.transfer':
        return {
          downtimeMs: 12,
          totalMs: 340,
          transferredBytes: 1_000_000,
          stoppedAt: new Date().toISOString(),
          resumedAt: new Date().toISOString(),
        };
      case 'host.confirm-target':
        if (topologyHash(now) !== (raw['topologyHash'] as string)) throw new Error('the target shows another topology');
        return shaped(vmId, now);
      case 'host.add-agent':
        return {
          ...shaped(vmId, now.serialPorts.length ? now : { ...now, serialPorts: [{ id: 'agent', nr: 2, name: 'chrysalis.agent' }] }),
          agentVersion: '0.1.0',
        };
      case 'guest.characterise':
        return { characterisation: { ...found(vmId), facts: guestFacts(now) } };
      case 'guest.facts':
      case 'guest.verify':
        return { facts: guestFacts(now) };
      case 'guest.run-script':
        return { exitCode: 0, stdout: '', stderr: '', truncated: false, ms: 1 };
      case 'guest.online-cpus':
        return { online: vcpusOf(now) };
      case 'guest.online-memory':
        return { onlineMiB: memoryMiBOf(now) };
      case 'guest.grow-filesystem':
        return { beforeBytes: 1, afterBytes: 2 };
      default:
        return {};
    }
  };
  const done = new Set<string>();
  /** Transfers that may not switch over yet, by their moves. */
  const held = new Map<string, (verdict: { approved: boolean; cause?: Cause }) => Promise<void>>();
  const answer = (dispatch: TaskDispatch, startedAt: string, outcome: Outcome) =>
    tell(
      `task-${dispatch.workflowId}`,
      agentGatewayEvents.taskReported.type,
      reportOf(dispatch, outcome, startedAt, new Date().toISOString()),
    );
  await bus.ensureTopics([{ name: tasksTopic('agent-gateway'), partitions: 6 }]);
  const agents = await bus.subscribe({
    group: 'fleet',
    topics: [tasksTopic('agent-gateway')],
    handle: async (events) => {
      for (const event of events) {
        if (event.type !== workflowEvents.taskDispatched.type) continue; // offers, and attempts that are over
        const dispatch = TaskDispatch.parse(event.data);
        if (done.has(taskKey(dispatch))) continue;
        done.add(taskKey(dispatch));
        seen.push(`${dispatch.action} ${dispatch.task}`);
        const code = dispatch.action === 'run' ? fail.get(dispatch.task) : undefined;
        const startedAt = new Date().toISOString();
        const { moveId, awaitsApproval } = dispatch.input as { moveId: string; awaitsApproval?: true };
        if (dispatch.kind === 'host.settle-approval') await held.get(moveId)?.(dispatch.input as never);
        if (awaitsApproval && !code) {
          held.set(moveId, ({ approved, cause }) =>
            answer(dispatch, startedAt, approved ? { ok: true, output: perform(dispatch) } : { ok: false, cause: cause! }),
          );
          continue;
        }
        const outcome: Outcome = code
          ? { ok: false, cause: { code, message: 'as the test wants', retriable: false } }
          : { ok: true, output: perform(dispatch) };
        await answer(dispatch, startedAt, outcome);
      }
    },
  });
  for (const facts of hosts)
    await tell(`host-agent-${facts.hostId}`, agentGatewayEvents.hostAgentEnrolled.type, {
      hostId: facts.hostId,
      sessionId: 's-1',
      agentVersion: '0.1.0',
      facts,
    });

  const call = async <T = Record<string, unknown>>(
    service: (typeof starts)[number],
    method: string,
    path: string,
    body?: unknown,
    as = token,
  ): Promise<T> => {
    const response = await fetch(`${services[service]!.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${as}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as T;
    if (!response.ok) throw Object.assign(new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`), { answer });
    return answer;
  };
  const untilSeen = <T extends object | string | true>(look: () => Promise<T | undefined | false>, ms?: number): Promise<T> =>
    until(look, ms).catch((e: Error) => {
      throw new Error(`${e.message}; the agents saw ${seen.join(', ')}`);
    });
  return {
    config,
    urls: () => Object.fromEntries(Object.entries(services).map(([name, s]) => [name, s.url])),
    pool: services['migration-templates']!.service.pool,
    reads: readsOf(services['migration-templates']!.service),
    tokenOf: (tenant: string, role: 'operator' | 'admin' = 'operator') =>
      issueToken(key.privateJwk, { sub: 'olga', roles: role === 'admin' ? ['admin', 'fleet'] : [role], tenant }),
    call,
    until: untilSeen,
    grant,
    fail,
    seen,
    /** Every transfer that waits for an approval ends so. */
    endHeld: async (code: string) => {
      for (const end of held.values()) await end({ approved: false, cause: { code, message: 'as the test wants', retriable: false } });
    },
    hardware: (vmId: string) => vms.get(vmId)!,
    close: async () => {
      await agents.stop();
      await close();
    },
  };
};
