import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gatewayOf, netmaskOf, rangeOf } from '@chrysalis/contracts';
import { HypervisorError } from '../../errors.ts';
import { identify, isAlive, kill, lastWords, spawnDetached, type ProcessId } from '../process.ts';
import { bridgeName } from './names.ts';
import type { SegmentRecord } from './record.ts';

/** One dnsmasq a segment and host. It knows the VMs that are here and their addresses, and has no other to give: a lease is a NIC's for good. */
export class Dhcp {
  constructor(private readonly dir: string) {}

  #file(vni: number, what: 'hosts' | 'pid' | 'words'): string {
    return join(this.dir, `${vni}.${what}`);
  }

  /** Also where it runs already: then it reads who is here again. */
  async serve(record: SegmentRecord): Promise<void> {
    const { vni } = record;
    const hosts = Object.values(record.nics).map(({ mac, segment }) => `${mac},${segment.address},infinite`);
    await writeFile(this.#file(vni, 'hosts'), `${hosts.join('\n')}\n`, { mode: 0o644 });
    const there = this.running(vni);
    if (there) return void process.kill(there.pid, 'SIGHUP');
    await rm(this.#file(vni, 'pid'), { force: true });
    await rm(this.#file(vni, 'words'), { force: true });
    const started = await spawnDetached(this.#argv(record), this.#file(vni, 'words'));
    await this.#up(vni, started);
  }

  /** It writes its pid when it listens. */
  async #up(vni: number, started: ProcessId): Promise<void> {
    const until = performance.now() + 5_000;
    while (!existsSync(this.#file(vni, 'pid'))) {
      if (!isAlive(started) || performance.now() > until)
        throw new HypervisorError('hypervisor.segment_failed', `dnsmasq does not start: ${await lastWords(this.#file(vni, 'words'))}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #argv({ vni, subnet, mtu }: SegmentRecord): string[] {
    const range = rangeOf(subnet);
    return [
      ...['dnsmasq', '--conf-file=/dev/null', '--keep-in-foreground', '--log-facility=-', '--user=root', '--group=root'],
      ...['--port=0', `--interface=${bridgeName(vni)}`, '--except-interface=lo', '--bind-interfaces', '--no-ping'],
      ...[`--dhcp-range=${subnet.split('/')[0]},static,${netmaskOf(range)}`, '--dhcp-authoritative', '--leasefile-ro'],
      ...[`--dhcp-hostsfile=${this.#file(vni, 'hosts')}`, `--pid-file=${this.#file(vni, 'pid')}`],
      // No router and no name server: the host's own address on the segment leads nowhere.
      ...['--dhcp-option=3', '--dhcp-option=6', `--dhcp-option=26,${mtu}`, `--dhcp-option=54,${gatewayOf(subnet)}`],
    ];
  }

  /** The process that our pid file names, if it is one of ours: a pid is used again. */
  running(vni: number): ProcessId | undefined {
    try {
      const id = identify(Number(readFileSync(this.#file(vni, 'pid'), 'utf8').trim()));
      return id && isAlive(id) && readFileSync(`/proc/${id.pid}/cmdline`, 'utf8').includes(this.#file(vni, 'hosts')) ? id : undefined;
    } catch {
      return undefined;
    }
  }

  async end(vni: number): Promise<void> {
    const there = this.running(vni);
    if (there) await kill(there, 'SIGTERM').then((gone) => gone || kill(there));
    for (const what of ['hosts', 'pid', 'words'] as const) await rm(this.#file(vni, what), { force: true });
  }
}
