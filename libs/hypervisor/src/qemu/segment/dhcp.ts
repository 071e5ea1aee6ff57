import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gatewayOf, netmaskOf, rangeOf } from '@chrysalis/contracts';
import { HypervisorError } from '../../errors.ts';
import { identify, isAlive, kill, lastWords, spawnDetached, type ProcessId } from '../process.ts';
import { dhcpsOf } from '../traces/processes.ts';
import { ip, isThere, run } from './host.ts';
import { bridgeName, cableName, hostMac, INSIDE } from './names.ts';
import type { SegmentRecord } from './record.ts';

/**
 * One dnsmasq a segment and host. It knows the VMs that are here and their addresses, and has no other to give: a lease is a NIC's for good.
 *
 * It has a network namespace to itself, which ends when it does, and there alone the first address of the subnet. So the host has no address
 * of any segment: a tenant may choose the subnet that the host itself is in, and the host reaches its own neighbours as before.
 */
export class Dhcp {
  constructor(private readonly dir: string) {}

  #file(vni: number, what: 'hosts' | 'pid' | 'words'): string {
    return join(this.dir, `${vni}.${what}`);
  }

  /** Also where it runs already: then it reads who is here again. */
  async serve(record: SegmentRecord): Promise<void> {
    const { vni } = record;
    const before = this.running(vni);
    if (before && isOurs(before.pid)) await this.end(vni); // of an agent of before, which had it in the host's namespace
    const hosts = Object.values(record.nics).map(({ mac, segment }) => `${mac},${segment.address},infinite`);
    await writeFile(this.#file(vni, 'hosts'), `${hosts.join('\n')}\n`, { mode: 0o644 });
    const there = this.running(vni);
    if (there) process.kill(there.pid, 'SIGHUP');
    await this.#connect(record, there ?? (await this.#start(record)));
  }

  async #start(record: SegmentRecord): Promise<ProcessId> {
    const { vni } = record;
    await rm(this.#file(vni, 'pid'), { force: true });
    await rm(this.#file(vni, 'words'), { force: true });
    const started = await spawnDetached(this.#argv(record), this.#file(vni, 'words'));
    await this.#up(vni, started);
    // The cable of one that ended goes with its namespace, which the kernel takes away some time later.
    await this.#unplug(vni);
    return started;
  }

  /** A cable from its namespace to the bridge. Each of it may be there already. */
  async #connect({ vni, subnet, mtu }: SegmentRecord, { pid }: ProcessId): Promise<void> {
    if (isOurs(pid)) throw new HypervisorError('hypervisor.segment_failed', 'dnsmasq is not in a namespace of its own');
    const cable = cableName(vni);
    if (!isThere(cable)) await ip('link', 'add', cable, 'mtu', `${mtu}`, 'type', 'veth', 'peer', 'name', INSIDE, 'mtu', `${mtu}`, 'netns', `${pid}`); // prettier-ignore
    const inside = ['nsenter', `--target=${pid}`, '--net'];
    // It answers for its one address; it passes nothing on, and has no address of version 6.
    await run([...inside, 'sh', '-c', QUIET]);
    await run(
      [...inside, 'ip', '-batch', '-'],
      `link set ${INSIDE} address ${hostMac(vni)}\naddr replace ${gatewayOf(subnet)}/${rangeOf(subnet).prefix} dev ${INSIDE}\nlink set ${INSIDE} up\n`,
    );
    await ip('link', 'set', cable, 'master', bridgeName(vni), 'up');
    // Known from the start, so that nothing for it is sent to other hosts.
    await run(['bridge', 'fdb', 'replace', hostMac(vni), 'dev', cable, 'master', 'static']);
  }

  async #unplug(vni: number): Promise<void> {
    if (isThere(cableName(vni))) await ip('link', 'delete', 'dev', cableName(vni)).catch(() => undefined);
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
      ...[
        'unshare',
        '--net',
        'dnsmasq',
        '--conf-file=/dev/null',
        '--keep-in-foreground',
        '--log-facility=-',
        '--user=root',
        '--group=root',
      ],
      ...['--port=0', `--interface=${INSIDE}`, '--except-interface=lo', '--no-ping'],
      ...[`--dhcp-range=${subnet.split('/')[0]},static,${netmaskOf(range)}`, '--dhcp-authoritative', '--leasefile-ro'],
      ...[`--dhcp-hostsfile=${this.#file(vni, 'hosts')}`, `--pid-file=${this.#file(vni, 'pid')}`],
      // No router and no name server: the address that it has leads nowhere.
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
    // Also one that nobody has the pid of any more.
    for (const one of [...(there ? [there] : []), ...dhcpsOf(this.#file(vni, 'pid'))])
      await kill(one, 'SIGTERM').then((gone) => gone || kill(one));
    await this.#unplug(vni);
    for (const what of ['hosts', 'pid', 'words'] as const) await rm(this.#file(vni, what), { force: true });
  }
}

const QUIET = `cd /proc/sys/net; for f in ipv4/ip_forward=0 ipv6/conf/${INSIDE}/disable_ipv6=1; do echo "\${f#*=}" > "\${f%=*}"; done 2> /dev/null; true`;
/** Whether the process is in the namespace that this one is in. */
const isOurs = (pid: number): boolean => readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net');
