import {
  agentDiskOf,
  capabilityNames,
  freePort,
  guestTasks,
  GUEST_PORT_NAME,
  GuestError,
  type InputOf,
  type OutputOf,
  type TaskContract,
} from '@chrysalis/contracts';
import { HypervisorError, type GuestDisk, type HypervisorDriver, type SimulatedGuest } from '@chrysalis/hypervisor';
import { AGENT_PORT, packageDisk, unplugPackage } from './agent-hardware.ts';
import type { AddAgent, Added, Guests, Relay } from './guests.ts';
import { TaskFailure } from '../execution/task-failure.ts';

type Verify = InputOf<typeof guestTasks.verify>;
const MAX_REMEMBERED = 1_000;

/** The guests of simulated VMs: they answer what a migration agent would, under the same rules, and remember what they did by its key. */
export class SimulatedGuests implements Guests {
  readonly #done = new Map<string, unknown>();

  constructor(private readonly driver: HypervisorDriver) {}

  async waitUntilUp(vmId: string): Promise<void> {
    this.#guest(vmId).facts();
  }

  answers(vmId: string): Promise<boolean> {
    return this.waitUntilUp(vmId).then(
      () => true,
      () => false,
    );
  }

  async shutDown(vmId: string, mode: 'powerdown' | 'reboot'): Promise<boolean> {
    return this.#guest(vmId).shutDown(mode);
  }

  async bootId(vmId: string): Promise<string | undefined> {
    return this.#guest(vmId).facts().bootId;
  }

  /** Its file systems are mounted. */
  async disk(vmId: string, serial: string): Promise<GuestDisk | undefined> {
    if ((await this.driver.status(vmId)).state !== 'running') return undefined;
    const { disks, fileSystems } = this.#guest(vmId).facts();
    const found = disks.find((d) => d.serial === serial);
    if (!found) return { there: false };
    const uses = fileSystems.filter((f) => f.disk === found.name).map((f) => `/dev/${found.name} is mounted at ${f.mount}`);
    return { there: true, name: found.name, bytes: found.bytes, uses };
  }

  async macs(vmId: string): Promise<readonly string[] | undefined> {
    return (await this.driver.status(vmId)).state === 'running' ? this.#guest(vmId).facts().nics : undefined;
  }

  async carry(vmId: string, { mac, address }: { mac: string; address: string }, carry: boolean): Promise<boolean | undefined> {
    if ((await this.driver.status(vmId)).state !== 'running') return undefined;
    return this.#guest(vmId).carry(mac, address, carry);
  }

  async addAgent(vmId: string, { package: digest }: AddAgent, _deadlineMs: number): Promise<Added> {
    const { topology } = await this.driver.status(vmId);
    if (!agentDiskOf(topology)) {
      const port = freePort(topology);
      if (port === undefined) throw new TaskFailure('hypervisor.no_free_port', 'no free root port for the agent’s disk');
      await this.driver.plug(vmId, { kind: 'disk', ...packageDisk(digest, { port, sizeMiB: 64, pool: 'packages' }) });
    }
    const nr = 1 + Math.max(0, ...topology.serialPorts.map((p) => p.nr));
    if (!topology.serialPorts.some((p) => p.id === AGENT_PORT))
      await this.driver.plugSerialPort(vmId, { id: AGENT_PORT, nr, name: GUEST_PORT_NAME });
    this.#guest(vmId).listen(AGENT_PORT);
    return { ...(await this.driver.topology(vmId)), agentVersion: 'simulated' };
  }

  async removeAgent(vmId: string, deadlineMs: number): Promise<Omit<Added, 'agentVersion'>> {
    await unplugPackage(this.driver, vmId, deadlineMs);
    await this.driver.unplugSerialPort(vmId, AGENT_PORT, deadlineMs);
    return this.driver.topology(vmId);
  }

  async command<C extends TaskContract>(contract: C, { vmId, input, key }: Relay): Promise<OutputOf<C>> {
    const { topology } = await this.driver.status(vmId);
    const hasAgent = topology.serialPorts.some((p) => p.id === AGENT_PORT);
    const asking = contract.kind === guestTasks.facts.kind || contract.kind === guestTasks.characterise.kind;
    if (hasAgent && !(await this.driver.guestListens(vmId, AGENT_PORT)))
      throw new GuestError('guest.unreachable', 'no migration agent answers');
    if (!hasAgent && !asking)
      throw new TaskFailure('guest.agent_absent', `${contract.kind} needs the migration agent, and ${vmId} has none`);
    if (!this.#done.has(key)) this.#remember(key, this.#perform(contract.kind, vmId, input, hasAgent));
    return this.#done.get(key) as OutputOf<C>;
  }

  forget(): void {
    /* nothing is held */
  }

  #perform(kind: string, vmId: string, input: Record<string, unknown>, hasAgent: boolean): unknown {
    const guest = this.#guest(vmId);
    switch (kind) {
      case guestTasks.facts.kind:
        return { facts: guest.facts() };
      case guestTasks.characterise.kind:
        return { characterisation: characterisation(vmId, guest, hasAgent) };
      case guestTasks.onlineCpus.kind:
        return { online: enough('guest.cpus_not_online', guest.onlineCpus(input['vcpus'] as number), input['vcpus'] as number) };
      case guestTasks.offlineCpus.kind:
        return { online: guest.offlineCpus(input['vcpus'] as number) };
      case guestTasks.onlineMemory.kind:
        return {
          onlineMiB: enough('guest.memory_not_online', guest.onlineMemory(input['memoryMiB'] as number), input['memoryMiB'] as number),
        };
      case guestTasks.growFileSystem.kind:
        return guest.growFileSystem(input['disk'] as string);
      case guestTasks.runScript.kind:
        return guest.runScript(input['script'] as string);
      case guestTasks.verify.kind:
        return verified(guest, input['expect'] as Verify['expect']);
      default:
        throw new GuestError('guest.command_unknown', `no ${kind}`);
    }
  }

  #remember(key: string, output: unknown): void {
    this.#done.set(key, output);
    if (this.#done.size > MAX_REMEMBERED) this.#done.delete(this.#done.keys().next().value!);
  }

  #guest(vmId: string): SimulatedGuest {
    const guest = this.driver.simulatedGuest?.(vmId);
    if (!guest) throw new HypervisorError('hypervisor.vm_unknown', `${vmId} is not simulated`, { vmId });
    return guest;
  }
}

const enough = (code: 'guest.cpus_not_online' | 'guest.memory_not_online', have: number, wanted: number): number => {
  if (have < wanted) throw new GuestError(code, `${have} of ${wanted} came`, { have, wanted });
  return have;
};

const characterisation = (
  vmId: string,
  guest: SimulatedGuest,
  hasAgent: boolean,
): OutputOf<typeof guestTasks.characterise>['characterisation'] => ({
  vmId,
  source: hasAgent ? 'agent' : 'qemu-ga',
  at: new Date().toISOString(),
  ...(hasAgent ? { agentVersion: 'simulated' } : {}),
  facts: guest.facts(),
  capabilities: capabilityNames.map((name) =>
    hasAgent
      ? { name, state: 'present' as const, evidence: 'simulated' }
      : { name, state: 'unknown' as const, evidence: 'nobody is in the simulated guest', addableBy: 'migration-agent' },
  ),
});

/** What a kernel keeps for itself is not missing. */
const KERNEL_SHARE = 0.85;

const verified = (guest: SimulatedGuest, expect: Verify['expect']): { facts: ReturnType<SimulatedGuest['facts']> } => {
  const facts = guest.facts();
  const differences = [
    ...(expect.bootId && expect.bootId !== facts.bootId ? [`boot id ${facts.bootId}, expected ${expect.bootId}`] : []),
    ...(expect.vcpus && expect.vcpus !== facts.vcpus ? [`${facts.vcpus} CPUs, expected ${expect.vcpus}`] : []),
    ...(expect.memoryMiB && facts.memoryMiB < expect.memoryMiB * KERNEL_SHARE
      ? [`${facts.memoryMiB} MiB, expected ${expect.memoryMiB}`]
      : []),
    ...(expect.disks ?? []).flatMap(({ serial, minBytes }) => {
      const bytes = facts.disks.find((d) => d.serial === serial)?.bytes ?? 0;
      return bytes < minBytes ? [`disk ${serial} has ${bytes} bytes, expected ${minBytes}`] : [];
    }),
    ...(expect.macs ?? []).filter((mac) => !facts.nics.includes(mac)).map((mac) => `no NIC ${mac}`),
  ];
  if (differences.length > 0) throw new GuestError('guest.not_delivered', differences.join('; '), { differences });
  return { facts };
};
