import { writeFile } from 'node:fs/promises';
import { type Nic, type SegmentFacts, type SegmentPart } from '@chrysalis/contracts';
import { HypervisorError } from '../../errors.ts';
import { Mutexes } from '../../mutexes.ts';
import { announce } from './announce.ts';
import { Dhcp } from './dhcp.ts';
import { baseFilter, hostsFilter, nicFilter, withoutFilter, withoutNic } from './filter.ts';
import { filteredTaps, strangersOn } from '../traces/networks.ts';
import { ip, ipBatch, isThere, nft, run, segmentFacts } from './host.ts';
import { bridgeMac, bridgeName, cableName, tapAddress, tapName, tunnelName, VXLAN_PORT } from './names.ts';
import { SegmentRecords, type SegmentRecord } from './record.ts';

const LOOK_MS = 2_000;
const FLOOD = '00:00:00:00:00:00';

/**
 * This host's parts of segments: for each a bridge, a VXLAN to the other hosts that have a part, a dnsmasq, and for each NIC its tap and its
 * filter. Made when the first VM comes, gone with the last. Everything may be done again, and begins with its record on disk: who is killed
 * in the middle finds there what to make whole or take away.
 */
export class Segments {
  private readonly records: SegmentRecords;
  private readonly dhcp: Dhcp;
  private readonly turns = new Mutexes();
  private readonly listeners = new Set<() => void>();
  /** Of announcements by the tap that they are of. */
  private readonly speakers = new Map<string, readonly (() => void)[]>();
  private readonly address: string;
  private known: Promise<SegmentFacts> | undefined;
  private looking: NodeJS.Timeout | undefined;

  /** `address`: where other hosts reach this one. */
  constructor(stateDir: string, address: string) {
    this.records = new SegmentRecords(stateDir);
    this.dhcp = new Dhcp(this.records.dir);
    this.address = address;
  }

  facts(): Promise<SegmentFacts> {
    return (this.known ??= segmentFacts(this.address));
  }

  parts(): SegmentPart[] {
    return this.records.all().map(({ vni, peersVersion }) => ({ vni, peersVersion }));
  }
  /** This host has a part of a segment, or has none any more. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The filter stands before the tap can carry a frame. */
  async attach(vmId: string, nic: Omit<Nic, 'port'>): Promise<void> {
    const { id, mac, segment } = nic;
    if (!segment) throw new Error(`${id} is on no segment`);
    await this.assertCan(segment.mtu);
    const tap = tapName(vmId, id);
    await this.turns.run('all', async () => {
      const { vni, subnet, mtu } = segment;
      const before = this.records.get(vni);
      const record = await this.records.keep({
        ...(before ?? { v: 1, vni, subnet, mtu, peers: [], peersVersion: 0 }),
        nics: { ...before?.nics, [tap]: { vmId, nic: id, mac, segment } },
      });
      try {
        await this.make(record);
        await this.makeNic(record, tap);
      } catch (error) {
        await this.leave(record, tap).catch(() => undefined); // the record stays where that fails too: the next start sees to it
        throw error;
      }
      if (!before) this.tell();
    });
  }

  /** Of a NIC that carries frames already: its rules alone, from one frame to the next. It stays as it was where that fails. */
  async refilter(vmId: string, nic: Omit<Nic, 'port'>): Promise<void> {
    const { id, mac, segment } = nic;
    const tap = tapName(vmId, id);
    await this.turns.run('all', async () => {
      const before = this.records.withTap(tap);
      if (!segment || !before) throw new Error(`${id} is on no segment here`);
      await this.records.keep({ ...before, nics: { ...before.nics, [tap]: { vmId, nic: id, mac, segment } } });
      this.silence(tap); // what it is to have no more is not said after this
      await nft(nicFilter(tap, mac, segment));
    });
  }

  /** Whoever is on the segment, here and at other hosts, hears that the address is at this NIC now; once before it ends, and again after. */
  async announce(vmId: string, nic: string, address: string): Promise<void> {
    const tap = tapName(vmId, nic);
    const { vni, mtu, nics } = this.records.withTap(tap) ?? {};
    if (vni === undefined || mtu === undefined) throw new Error(`${nic} is on no segment here`);
    const { silence } = await announce({ bridge: bridgeName(vni), mtu, mac: nics![tap]!.mac, address });
    this.speakers.set(tap, [...(this.speakers.get(tap) ?? []), silence]);
  }
  private silence(tap: string): void {
    for (const silence of this.speakers.get(tap) ?? []) silence();
    this.speakers.delete(tap);
  }

  /** Of a NIC that is not here: nothing to do. */
  async detach(vmId: string, nic: string): Promise<void> {
    const tap = tapName(vmId, nic);
    await this.turns.run('all', async () => {
      const record = this.records.withTap(tap);
      if (record) await this.leave(record, tap);
    });
  }

  /** Word of before is not taken again; and none of a segment that this host has left. */
  async setPeers(vni: number, version: number, peers: readonly string[]): Promise<void> {
    await this.turns.run('all', async () => {
      const before = this.records.get(vni);
      if (!before || version <= before.peersVersion) return;
      const record = await this.records.keep({ ...before, peers: peers.filter((p) => p !== this.address), peersVersion: version });
      await this.flood(record);
    });
  }

  /** At a start: what there is is made whole for those NICs, and taken away for all others that an earlier life had. */
  async reconcile(wanted: readonly { readonly vmId: string; readonly nic: string }[]): Promise<void> {
    this.records.load();
    const taps = new Set(wanted.map(({ vmId, nic }) => tapName(vmId, nic)));
    await this.turns.run('all', async () => {
      for (const record of this.records.all()) {
        const here = Object.keys(record.nics);
        for (const tap of here.filter((t) => !taps.has(t))) await this.leave(this.records.get(record.vni)!, tap);
        const left = this.records.get(record.vni);
        if (!left) continue;
        await this.make(left);
        for (const tap of Object.keys(left.nics)) await this.makeNic(left, tap);
      }
    });
    this.look();
  }

  /** Whose a tap is, by what is on record here. */
  ownerOf(tap: string): string | undefined {
    return this.records.withTap(tap)?.nics[tap]?.vmId;
  }

  /** A tap that is nobody's any more, with its filter; on a segment or not, on record or not. */
  async sweepTap(tap: string): Promise<void> {
    await this.turns.run('all', async () => {
      const record = this.records.withTap(tap);
      if (record) return this.leave(record, tap);
      if (isThere(tap)) await ip('link', 'delete', 'dev', tap);
      if ((await filteredTaps()).includes(tap)) await nft(withoutNic(tap));
    });
  }

  /** A segment that no VM of this host is on, and no record is of. Why not, where that is not so. */
  async sweep(vni: number): Promise<string | undefined> {
    return this.turns.run('all', async () => {
      if (this.records.get(vni)) return 'VMs of this host are on it';
      const [stranger] = strangersOn(bridgeName(vni));
      if (stranger !== undefined) return `${stranger} is on its bridge, and not ours`;
      await this.dhcp.end(vni);
      for (const link of [tunnelName(vni), bridgeName(vni)]) if (isThere(link)) await ip('link', 'delete', 'dev', link);
      return undefined;
    });
  }

  close(): void {
    clearInterval(this.looking);
    this.looking = undefined;
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private async assertCan(mtu: number): Promise<void> {
    const { lacking, mtu: most } = await this.facts();
    if (lacking.length > 0)
      throw new HypervisorError('hypervisor.segment_failed', `This host carries no segments: it lacks ${lacking.join(', ')}`, { lacking });
    if (mtu > most)
      throw new HypervisorError('hypervisor.segment_failed', `Frames of ${mtu} do not fit: this host carries ${most}`, { mtu, most });
  }

  /** Bridge, VXLAN, DHCP. */
  private async make(record: SegmentRecord): Promise<void> {
    const { vni, mtu } = record;
    const bridge = bridgeName(vni);
    const tunnel = tunnelName(vni);
    await nft(baseFilter());
    await ipBatch([
      ...(isThere(bridge) ? [] : [`link add ${bridge} type bridge mcast_snooping 0 forward_delay 0`]),
      ...(isThere(tunnel) ? [] : [`link add ${tunnel} type vxlan id ${vni} local ${this.address} dstport ${VXLAN_PORT}`]),
      `link set ${tunnel} mtu ${mtu} master ${bridge}`,
      `link set ${bridge} address ${bridgeMac(vni)} mtu ${mtu}`,
    ]);
    // The host has no address on it (an agent of before had one there), and answers there for none of those that it has elsewhere.
    await setting(`ipv4/conf/${bridge}/arp_ignore`, '1');
    await setting(`ipv6/conf/${bridge}/disable_ipv6`, '1');
    await ipBatch([`addr flush dev ${bridge}`, `link set ${tunnel} up`, `link set ${bridge} up`]);
    await this.flood(record);
    await this.dhcp.serve(record);
    this.look();
  }

  private async makeNic({ vni, mtu, nics }: SegmentRecord, tap: string): Promise<void> {
    const { mac, segment } = nics[tap]!;
    await nft(nicFilter(tap, mac, segment));
    await ipBatch([
      ...(isThere(tap) ? [] : [`tuntap add dev ${tap} mode tap`]),
      `link set dev ${tap} mtu ${mtu} address ${tapAddress(tap)} master ${bridgeName(vni)} up`,
    ]);
  }

  /** The NIC, and with the last one all of it; at the end the record. */
  private async leave(record: SegmentRecord, tap: string): Promise<void> {
    this.silence(tap);
    if (isThere(tap)) await ip('link', 'delete', 'dev', tap);
    await nft(withoutNic(tap));
    const { [tap]: _, ...nics } = record.nics;
    if (Object.keys(nics).length > 0) {
      const left = await this.records.keep({ ...record, nics });
      return this.dhcp.serve(left);
    }
    const { vni } = record;
    await this.dhcp.end(vni);
    for (const link of [tunnelName(vni), bridgeName(vni)]) if (isThere(link)) await ip('link', 'delete', 'dev', link);
    if (this.records.all().length === 1) await nft(withoutFilter());
    await this.records.forget(vni);
    if (this.records.all().length > 0) await nft(hostsFilter([...new Set(this.records.all().flatMap((r) => r.peers))]));
    this.tell();
  }

  /** To whom goes what is for all, and what is for a place not known. */
  private async flood({ vni, peers }: SegmentRecord): Promise<void> {
    await nft(hostsFilter([...new Set(this.records.all().flatMap((r) => r.peers))]));
    const tunnel = tunnelName(vni);
    const shown = await run(['bridge', 'fdb', 'show', 'dev', tunnel]);
    const there = [...shown.matchAll(/^00:00:00:00:00:00 dst ([0-9.]+) /gm)].map((m) => m[1]!);
    for (const peer of peers.filter((p) => !there.includes(p))) await run(['bridge', 'fdb', 'append', FLOOD, 'dev', tunnel, 'dst', peer]);
    for (const old of there.filter((p) => !peers.includes(p))) await run(['bridge', 'fdb', 'delete', FLOOD, 'dev', tunnel, 'dst', old]);
  }

  /** What somebody took away beside us, or what ended, is made again: links, filters and DHCP are looked at while there is any. */
  private look(): void {
    this.looking ??= setInterval(() => void this.mend().catch(() => undefined), LOOK_MS).unref();
  }

  private mend(): Promise<void> {
    return this.turns.run('all', async () => {
      const records = this.records.all();
      if (records.length === 0 || this.looking === undefined) return;
      const filtered = await run(['nft', 'list', 'map', 'bridge', 'chrysalis', 'from_nic']).catch(() => '');
      for (const record of records) {
        const { vni, nics } = record;
        const taps = Object.keys(nics);
        const links = [bridgeName(vni), tunnelName(vni), cableName(vni), ...taps];
        if (links.every(isThere) && taps.every((t) => filtered.includes(`"${t}"`)) && this.dhcp.running(vni)) continue;
        await this.make(record);
        for (const tap of taps) await this.makeNic(record, tap);
      }
    });
  }
}

/** Where the kernel has no such setting there is nothing to set. */
const setting = (path: string, value: string): Promise<void> => writeFile(`/proc/sys/net/${path}`, value).catch(() => undefined);
