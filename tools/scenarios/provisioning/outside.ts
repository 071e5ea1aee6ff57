import { ownPoolOf } from '../../run/hosts.ts';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { ROOT_DISK } from '@chrysalis/contracts';
import { QmpClient } from '@chrysalis/hypervisor';
import { addressOf } from '../../fleet/client.ts';
import { qemuProcessesOf, spareMonitorOf, type QemuProcess } from '../../fleet/processes.ts';
import type { Run } from '../../fleet/run.ts';
import type { VmView } from '../../fleet/story.ts';

const exec = promisify(execFile);
const ANSWER_MS = 3_000;

/** Of the small guest image's service: `requests` is counted on its data disk. */
export type Answer = { readonly bootId: string; readonly uptimeSeconds: number; readonly requests: number };

/** A VM as the machine shows it to somebody who is no part of the product: by the kernel, QEMU's second monitor, and a network's client. */
export class Outside {
  readonly #answers = new Map<string, Answer>();

  constructor(private readonly run: Run) {}

  processes({ topology }: Pick<VmView, 'topology'>): QemuProcess[] {
    return qemuProcessesOf(topology.uuid);
  }

  monitors(vm: Pick<VmView, 'topology'>): string[] {
    return this.processes(vm).flatMap((q) => spareMonitorOf(q) ?? []);
  }

  /** `query-status` of each of its QEMUs. */
  async cpus(vm: VmView): Promise<string[]> {
    return this.#each(vm, async (qmp) => (await qmp.execute<{ status: string }>('query-status', {}, ANSWER_MS)).status);
  }

  /** The boots of the guest of a tiny disk, as it has counted them in the second sector of that disk, whoever listens to what it says. */
  async boots({ topology }: Pick<VmView, 'topology'>): Promise<number[]> {
    const root = topology.disks.find((d) => d.id === ROOT_DISK);
    const file = path.join(this.run.dir, 'shared-pool', root?.volume ?? 'none');
    if (!existsSync(file)) return [];
    const { stdout } = await exec('qemu-io', ['-r', '-U', '-f', root!.format, '-c', 'read -v 512 1', file]);
    const count = parseInt(/^0*200: *([0-9a-f]{2})/m.exec(stdout)?.[1] ?? '0', 16);
    return Array.from({ length: count }, (_, i) => i + 1);
  }

  /**
   * The boots of the guest that counts them in a variable of its UEFI: what stands behind that name where it is written last, in the file that
   * its firmware keeps them in.
   */
  bootsByVariables({ topology: { uefi } }: Pick<VmView, 'topology'>): number {
    const file = path.join(this.run.dir, 'shared-pool', uefi?.volume ?? 'none');
    if (!existsSync(file)) return 0;
    const [bytes, name] = [readFileSync(file).subarray(0, 0x40000), Buffer.from('Boots\0', 'utf16le')]; // behind that is where the firmware tidies up
    const at = bytes.lastIndexOf(name);
    return at < 0 ? 0 : bytes[at + name.length]!;
  }

  /** Bytes of each disk that the guest has, as QEMU shows it. */
  async sizes(vm: VmView): Promise<number[]> {
    type Block = { inserted?: { image: { 'virtual-size': number } } };
    const [blocks = []] = await this.#each(vm, (qmp) => qmp.execute<Block[]>('query-block', {}, ANSWER_MS));
    return blocks.flatMap((b) => b.inserted?.image['virtual-size'] ?? []);
  }

  /** As a panic button does. */
  async nmi(vm: VmView): Promise<void> {
    await this.#each(vm, (qmp) => qmp.execute('inject-nmi', {}, ANSWER_MS));
  }

  /** What the guest's service answers over its network, from outside of all hosts. Nothing where it does not answer in 2 s. */
  async asks(vm: VmView): Promise<Answer | undefined> {
    const url = `http://${addressOf(vm.topology)}/`;
    const script = `fetch(process.argv[1], { signal: AbortSignal.timeout(2000) }).then((a) => a.text()).then((t) => process.stdout.write(t), () => undefined)`;
    const [command, ...args] = this.run.fabric.client.inside([process.execPath, '-e', script, url]);
    const { stdout } = await exec(command!, args);
    if (stdout === '') return undefined;
    const answer = JSON.parse(stdout) as Answer;
    this.#answers.set(vm.vmId, answer);
    return answer;
  }

  /** What it has answered last. */
  answered({ vmId }: VmView): Answer | undefined {
    return this.#answers.get(vmId);
  }

  /** Taps on its QEMUs' command lines. */
  taps(vm: VmView): string[] {
    return this.processes(vm).flatMap((q) => q.argv.flatMap((a) => [...a.matchAll(/"ifname":"([^"]+)"/g)].map((m) => m[1]!)));
  }

  /** Network interfaces in the hosts' namespaces. */
  async links(): Promise<string[]> {
    const of = this.run.fabric.hosts.map(async ({ name, inside }) => {
      const [command, ...args] = inside(['ip', '-j', 'link']);
      const { stdout } = await exec(command!, args);
      return (JSON.parse(stdout) as { ifname: string }[]).map((l) => `${name} ${l.ifname}`);
    });
    return (await Promise.all(of)).flat().sort();
  }

  /** Chains of the hosts' filters, of VMs' NICs and of all. */
  async filters(): Promise<string[]> {
    const of = this.run.fabric.hosts.map(async ({ name, inside }) => {
      const [command, ...args] = inside(['nft', 'list', 'chains']);
      const { stdout } = await exec(command!, args);
      return [...stdout.matchAll(/chain (\S+)/g)].map((m) => `${name} filter ${m[1]}`);
    });
    return (await Promise.all(of)).flat().sort();
  }

  /** Process ids of every dnsmasq that this run's hosts have started; `host`: of that one. */
  dnsmasqs(host?: string): string[] {
    const dir = host === undefined ? `${this.run.dir}/` : `${path.join(this.run.dir, host)}/`;
    return pidsOf((argv) => argv.startsWith('dnsmasq') && argv.includes(dir));
  }

  /** Its disks' files in the pool of the run. */
  disks({ vmId }: Pick<VmView, 'vmId'>): string[] {
    return this.pool().filter((name) => name.startsWith(vmId));
  }

  pool(): string[] {
    return readdirSync(path.join(this.run.dir, 'shared-pool')).sort();
  }

  /** Process ids of every QEMU that this run has started, whoever knows of it. */
  qemus(): string[] {
    return this.qemusOf(`${this.run.dir}/`);
  }

  /** Of those whose command line has this text in it: the id of a VM. */
  qemusOf(text: string): string[] {
    return pidsOf((argv) => argv.includes('qemu-system') && argv.includes(text));
  }

  /** Files of VMs in the hosts' state and in the pool, and what is unfinished in their stores of disks: what is whole there stays, for the next VM of it. */
  files(): string[] {
    const below = (dir: string): string[] =>
      existsSync(dir) ? readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((f) => path.join(dir, f)) : [];
    const hosts = this.run.hosts.agents.flatMap(({ stateDir }) => [
      ...below(path.join(stateDir, 'qemu/vms')),
      ...below(ownPoolOf(stateDir)),
      ...below(path.join(stateDir, 'images')).filter((f) => !/^[^.].*\.(img|json)$/.test(path.basename(f))),
    ]);
    return [...hosts, ...this.pool(), ...below(path.join(this.run.dir, 'small-pool'))].sort();
  }

  async #each<T>(vm: VmView, ask: (qmp: QmpClient) => Promise<T>): Promise<T[]> {
    const answers: T[] = [];
    for (const monitor of this.monitors(vm)) {
      const qmp = await QmpClient.connect(monitor, { timeoutMs: ANSWER_MS });
      try {
        answers.push(await ask(qmp));
      } finally {
        qmp.close();
      }
    }
    return answers;
  }
}

const pidsOf = (ours: (argv: string) => boolean): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && ours(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      return false; // it ended while we looked
    }
  });
