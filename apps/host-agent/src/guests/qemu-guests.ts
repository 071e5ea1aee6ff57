import { setTimeout as sleep } from 'node:timers/promises';
import { agentDiskOf, guestTasks, isGuestCommand, type OutputOf, type TaskContract, type Topology } from '@chrysalis/contracts';
import {
  addAgent,
  AgentChannel,
  bootIdOf,
  QgaClient,
  qgaCarry,
  qgaCharacterise,
  qgaDisk,
  qgaFacts,
  qgaMacs,
  removeAgent,
  type GuestDisk,
  type HypervisorDriver,
} from '@chrysalis/hypervisor';
import { AGENT_PORT, agentHardware } from './agent-hardware.ts';
import type { PoolPlaces } from '../config.ts';
import type { AddAgent, Added, Guests, Relay } from './guests.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { look } from '../move/look.ts';

const QGA_PORT = 'qga';
const LOOK_EVERY_MS = 20;
/** A guest that runs has its agent answer in a moment; a busy one in seconds. */
const AGENT_PATIENCE_MS = 5_000;
type Open = { readonly grant: string; readonly channel: Promise<AgentChannel>; readonly commands: Set<Promise<unknown>> };

/** Real guests, by way of their serial ports. A connection is opened when it is needed and kept until the VM leaves. */
export class QemuGuests implements Guests {
  readonly #qga = new Map<string, Promise<QgaClient>>();
  readonly #open = new Map<string, Open>();

  constructor(
    private readonly driver: HypervisorDriver,
    private readonly pools: PoolPlaces,
  ) {}

  async waitUntilUp(vmId: string, deadlineMs: number): Promise<void> {
    const qga = await this.#guestAgent(vmId);
    await qga.sync(deadlineMs).catch((error: Error) => {
      throw new TaskFailure('host.guest_silent', `the guest did not answer in ${deadlineMs} ms: ${error.message}`);
    });
  }

  async answers(vmId: string): Promise<boolean> {
    const over = new AbortController();
    try {
      if (!(await this.#runs(vmId))) return false;
      const qga = await this.#guestAgent(vmId);
      return await Promise.race([qga.ping().then(() => true), this.#standsStill(vmId, over.signal)]);
    } catch {
      return false; // nobody in it speaks, or its port closed as it left
    } finally {
      over.abort();
    }
  }

  async shutDown(vmId: string, mode: 'powerdown' | 'reboot'): Promise<boolean> {
    try {
      const qga = await this.#guestAgent(vmId);
      await qga.sync(AGENT_PATIENCE_MS);
      await qga.shutdown(mode);
      return true;
    } catch {
      return false; // nobody in it speaks, or not of this
    }
  }

  async bootId(vmId: string): Promise<string | undefined> {
    try {
      const qga = await this.#guestAgent(vmId);
      await qga.sync(AGENT_PATIENCE_MS);
      return await bootIdOf(qga);
    } catch {
      return undefined; // nobody in it speaks
    }
  }

  async disk(vmId: string, serial: string): Promise<GuestDisk | undefined> {
    try {
      const qga = await this.#guestAgent(vmId);
      await qga.sync(AGENT_PATIENCE_MS);
      return await qgaDisk(qga, serial);
    } catch {
      return undefined; // nobody in it speaks, or not of this
    }
  }

  async macs(vmId: string): Promise<readonly string[] | undefined> {
    try {
      const qga = await this.#guestAgent(vmId);
      await qga.sync(AGENT_PATIENCE_MS);
      return await qgaMacs(qga);
    } catch {
      return undefined; // nobody in it speaks, or not of this
    }
  }

  async carry(vmId: string, nic: { mac: string; address: string }, carry: boolean): Promise<boolean | undefined> {
    try {
      const qga = await this.#guestAgent(vmId);
      await qga.sync(AGENT_PATIENCE_MS);
      return await qgaCarry(qga, nic, carry);
    } catch {
      return undefined; // nobody in it speaks, or not of this
    }
  }

  async addAgent(vmId: string, { package: digest, packageFile, grant }: AddAgent, deadlineMs: number): Promise<Added> {
    await this.#close(vmId); // a serial port has one client at a time
    const hardware = agentHardware(this.driver, vmId, { pools: this.pools, package: { digest, file: packageFile }, deadlineMs });
    const qga = await this.#guestAgent(vmId);
    const channel = await addAgent({ qga, hardware, vmId, grant, packageDigest: digest, timeoutMs: deadlineMs });
    this.#open.set(vmId, { grant, channel: Promise.resolve(channel), commands: new Set() });
    return { ...(await this.driver.topology(vmId)), agentVersion: channel.agent.version };
  }

  async removeAgent(vmId: string, deadlineMs: number): Promise<Omit<Added, 'agentVersion'>> {
    const { state, topology, topologyHash } = await this.driver.status(vmId);
    const off = state === 'halted' || state === 'gone';
    if (off && !hasAgentHardware(topology)) return { topology, topologyHash }; // what could not be added has nothing to be taken out
    const channel = await this.#open.get(vmId)?.channel.catch(() => undefined);
    this.#open.delete(vmId);
    const hardware = agentHardware(this.driver, vmId, { pools: this.pools, deadlineMs });
    await removeAgent({ qga: await this.#guestAgent(vmId), hardware, ...(channel ? { channel } : {}) });
    return this.driver.topology(vmId);
  }

  async command<C extends TaskContract>(contract: C, relay: Relay): Promise<OutputOf<C>> {
    const name = contract.kind.slice('guest.'.length);
    const { topology } = await this.driver.status(relay.vmId);
    if (!topology.serialPorts.some((p) => p.id === AGENT_PORT)) return (await this.#bridge(contract.kind, relay.vmId)) as OutputOf<C>;
    if (!isGuestCommand(name)) throw new TaskFailure('guest.command_unknown', `no command ${name}`);
    const { key: id, deadlineMs: timeoutMs, signal } = relay;
    return this.#with(
      relay,
      async (channel) => (await channel.command(name, relay.input as never, { id, timeoutMs, signal })) as OutputOf<C>,
    );
  }

  forget(vmId: string): void {
    void this.#close(vmId);
    void this.#qga.get(vmId)?.then(
      (qga) => qga.close(),
      () => undefined,
    );
    this.#qga.delete(vmId);
  }

  /** What qemu-ga alone tells. It can be no more than that: it does not know who asks, nor limits what it runs. */
  async #bridge(kind: string, vmId: string): Promise<unknown> {
    const qga = await this.#guestAgent(vmId);
    if (kind === guestTasks.facts.kind) return { facts: await qgaFacts(qga) };
    if (kind === guestTasks.characterise.kind) return { characterisation: await qgaCharacterise(qga, vmId, new Date()) };
    throw new TaskFailure('guest.agent_absent', `${kind} needs the migration agent, and ${vmId} has none`);
  }

  /** Commands of one grant share a connection; one under another grant comes after them, as a port has one client at a time. */
  async #with<T>(relay: Relay, work: (channel: AgentChannel) => Promise<T>): Promise<T> {
    const open = await this.#opened(relay);
    const command = open.channel.then(work);
    open.commands.add(command);
    try {
      return await command;
    } finally {
      open.commands.delete(command);
    }
  }

  async #opened(relay: Relay): Promise<Open> {
    const { vmId, grant } = relay;
    if (!grant) throw new TaskFailure('grant.unknown', 'no grant came with the task');
    const open = this.#open.get(vmId);
    const channel = open?.grant === grant ? await open.channel.catch(() => undefined) : undefined;
    if (open && channel && !channel.isClosed) return open;
    if (this.#open.get(vmId) !== open) return this.#opened(relay); // another command opened it meanwhile
    const opened: Open = { grant, channel: this.#reopened(relay, grant, open), commands: new Set() };
    this.#open.set(vmId, opened);
    return opened;
  }

  async #reopened({ vmId, deadlineMs }: Relay, grant: string, before: Open | undefined): Promise<AgentChannel> {
    await Promise.allSettled(before?.commands ?? []);
    (await before?.channel.catch(() => undefined))?.close();
    const { openAgentPort } = agentHardware(this.driver, vmId, { pools: this.pools, deadlineMs });
    return AgentChannel.open({ connect: openAgentPort, vmId, grant, timeoutMs: deadlineMs });
  }

  async #runs(vmId: string): Promise<boolean> {
    const seen = await look(this.driver, vmId);
    return seen !== 'unclear' && seen.running;
  }

  /** A guest that a switch-over stops never answers here: who asks is to ask elsewhere at once. */
  async #standsStill(vmId: string, signal: AbortSignal): Promise<false> {
    while (await this.#runs(vmId)) await sleep(LOOK_EVERY_MS, undefined, { signal });
    return false;
  }

  async #close(vmId: string): Promise<void> {
    const open = this.#open.get(vmId);
    this.#open.delete(vmId);
    (await open?.channel.catch(() => undefined))?.close();
  }

  async #guestAgent(vmId: string): Promise<QgaClient> {
    const open = this.#qga.get(vmId);
    const known = await open?.catch(() => undefined);
    if (known && !known.isClosed) return known;
    if (this.#qga.get(vmId) !== open) return this.#guestAgent(vmId); // another one opened it meanwhile: a port has one client at a time
    const made = this.driver.openSerialPort(vmId, QGA_PORT).then((stream) => new QgaClient(stream));
    this.#qga.set(vmId, made);
    return made;
  }
}

const hasAgentHardware = (topology: Topology): boolean =>
  agentDiskOf(topology) !== undefined || topology.serialPorts.some((p) => p.id === AGENT_PORT);
