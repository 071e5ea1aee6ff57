import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { FilterRule } from '@chrysalis/contracts';
import { onQemu, until } from '@chrysalis/testing';
import { tapName } from './names.ts';

/** Two hosts in namespaces with a cable between them; a guest is a third kernel's worth of network, at the end of what would be its tap. */
const id = `chy-s${process.pid}`;
const NETWORK = 'network-0199c0de-0000-7000-8000-0000000000e1';
const sh = (line: string): { ok: boolean; text: string } => {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' });
  return { ok: status === 0, text: `${stdout}${stderr}` };
};
const must = (line: string): string => {
  const { ok, text } = sh(line);
  if (!ok) throw new Error(`${line}: ${text}`);
  return text;
};
const inside = (ns: string, line: string) => sh(`ip netns exec ${id}${ns} ${line}`);

class Host {
  readonly dir = mkdtempSync(path.join(tmpdir(), 'chy-segments-'));
  #child!: ReturnType<typeof spawn>;
  #answers!: AsyncIterator<string>;

  constructor(
    readonly ns: string,
    readonly address: string,
  ) {
    this.start();
  }
  start(): void {
    const register = path.resolve(import.meta.dirname, '../../../../../tools/node/register.mjs');
    const program = [process.execPath, '--disable-warning=ExperimentalWarning', '--import', register];
    const argv = [
      'netns',
      'exec',
      `${id}${this.ns}`,
      ...program,
      path.join(import.meta.dirname, 'testing/one-host.ts'),
      this.dir,
      this.address,
    ];
    this.#child = spawn('ip', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }
  async call<T>(method: string, ...args: unknown[]): Promise<T> {
    this.#child.stdin!.write(`${JSON.stringify([method, ...args])}\n`);
    const { value, error } = JSON.parse((await this.#answers.next()).value as string) as { value: T; error?: string };
    if (error) throw new Error(error);
    return value;
  }
  kill(): Promise<unknown> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    return gone;
  }
  /** What is there of it, by the kernel. */
  left(): string[] {
    const links = [...inside(this.ns, 'ip -br link').text.matchAll(/^(chy[bdvt]\w+)/gm)].map((m) => m[1]!);
    const dhcp = sh(`pgrep -f "[d]nsmasq.*${this.dir}/"`).text.trim().split('\n').filter(Boolean).map(() => 'dnsmasq'); // prettier-ignore
    return [...links, ...dhcp, ...(/chrysalis/.test(inside(this.ns, 'nft list tables').text) ? ['filter'] : [])].sort();
  }
}

onQemu(
  'segments of two hosts',
  () => {
    let a: Host, b: Host;
    beforeAll(() => {
      must(`for n in a b ga gb; do ip netns add ${id}$n; ip -n ${id}$n link set lo up; done`);
      must(`ip link add wire netns ${id}a type veth peer name wire netns ${id}b`);
      must(`ip -n ${id}a addr add 198.19.7.1/24 dev wire && ip -n ${id}b addr add 198.19.7.2/24 dev wire`);
      must(`for n in a b; do ip -n ${id}$n link set wire up; done`);
      [a, b] = [new Host('a', '198.19.7.1'), new Host('b', '198.19.7.2')];
    });
    afterAll(async () => {
      await Promise.all([a, b].map((h) => h?.kill()));
      sh(`for n in a b ga gb; do ip netns pids ${id}$n | xargs -r kill -9; ip netns delete ${id}$n; done`);
      for (const h of [a, b].filter(Boolean)) rmSync(h.dir, { recursive: true, force: true });
    });

    const macs = { ga: '52:54:00:02:10:01', gb: '52:54:00:02:10:02' } as const;
    const addresses = { ga: '10.9.0.10', gb: '10.9.0.11' } as const;
    type Guest = keyof typeof macs;
    const nicOf = (guest: Guest, allow: readonly FilterRule[] = []) => ({
      id: NETWORK,
      network: NETWORK,
      mac: macs[guest],
      segment: { vni: 5000, subnet: '10.9.0.0/24', address: addresses[guest], mtu: 1450, allow },
    });
    const wanted = (guest: Guest) => [{ vmId: guest, nic: NETWORK }];
    /** The guest's cable ends at this host now. */
    const wire = (guest: Guest, host: Host): void => {
      const tap = tapName(guest, NETWORK);
      sh(`for n in a b; do ip -n ${id}$n link delete ${tap} 2>/dev/null; done; ip -n ${id}${guest} link delete eth0 2>/dev/null`);
      must(`ip link add ${tap} netns ${id}${host.ns} type veth peer name eth0 netns ${id}${guest}`);
      must(
        `ip -n ${id}${guest} link set eth0 address ${macs[guest]} mtu 1450 up && ip -n ${id}${guest} addr add ${addresses[guest]}/24 dev eth0`,
      );
    };
    const LISTEN = `require('net').createServer((s) => s.on('error', () => 0).end()).listen(7)`;
    const ASK = `const [to, port, from] = process.argv.slice(1);
const s = require('net').connect({ host: to, port: Number(port), ...(from ? { localAddress: from } : {}) });
const end = (code) => process.exit(code);
s.on('connect', () => end(0)).on('error', () => end(2));
setTimeout(() => end(1), 500);`;
    /** Whether a connection comes about; \`from\`: as whom it is asked for. */
    const asked = (ns: string, to: string, { port = 7, from = '' } = {}): string | undefined =>
      ['open', 'silent', 'refused'][
        spawnSync('ip', ['netns', 'exec', `${id}${ns}`, process.execPath, '-e', ASK, to, `${port}`, from]).status ?? 1
      ];
    const reaches = (guest: Guest, to: string, of = {}): boolean => asked(guest, to, of) === 'open';
    /** As QEMU does when a guest runs on at another host: it is heard by all. */
    const announced = (guest: Guest): boolean => !reaches(guest, '10.9.0.1');
    const port7: readonly FilterRule[] = [{ protocol: 'tcp', ports: { first: 7, last: 7 } }];

    test('a segment spans hosts; a guest hears what it is allowed to, and says nothing in another’s name', async () => {
      for (const host of [a, b]) expect(await host.call('facts')).toEqual({ mtu: 1450, lacking: [] });
      wire('ga', a);
      await a.call('attach', 'ga', nicOf('ga', port7));
      wire('gb', b);
      await b.call('attach', 'gb', nicOf('gb'));
      for (const g of ['ga', 'gb']) spawn('ip', ['netns', 'exec', `${id}${g}`, process.execPath, '-e', LISTEN], { stdio: 'ignore' });
      expect(await a.call('parts')).toEqual([{ vni: 5000, peersVersion: 0 }]);
      for (const host of [a, b]) await host.call('setPeers', 5000, 3, ['198.19.7.1', '198.19.7.2']);
      await a.call('setPeers', 5000, 2, []); // late
      await until(async () => reaches('gb', addresses.ga));
      expect(reaches('ga', addresses.gb)).toBe(false); // nothing is allowed
      expect(reaches('gb', addresses.ga, { port: 8 })).toBe(false);
      await b.call('attach', 'gb', nicOf('gb', port7));
      expect(reaches('ga', addresses.gb)).toBe(true);
      inside('gb', 'ip addr add 10.9.0.99/32 dev eth0');
      expect(reaches('gb', addresses.ga, { from: '10.9.0.99' })).toBe(false);
      inside('gb', 'ip addr delete 10.9.0.99/32 dev eth0');
      inside('gb', 'ip link set eth0 address 52:54:00:99:99:99');
      expect(reaches('gb', addresses.ga)).toBe(false);
      inside('gb', `ip link set eth0 address ${macs.gb}`);
      expect(reaches('gb', addresses.ga)).toBe(true);
      expect(inside('b', 'nft list ruleset').text).toMatch(/counter packets [1-9]/);
      // DHCP's address answers, at each host its own; the host itself takes nothing there, and has not that address.
      for (const g of ['ga', 'gb'] as const) expect(asked(g, '10.9.0.1')).toBe('refused');
      expect(inside('a', 'ip -4 -br addr').text).not.toContain('10.9.0.1');
      spawn('ip', ['netns', 'exec', `${id}a`, process.execPath, '-e', LISTEN], { stdio: 'ignore' });
      expect(reaches('ga', '10.9.0.1')).toBe(false);
      expect(inside('ga', 'ip neigh show 10.9.0.1').text).toContain('02:63:68:00:13:88');
    });

    test('a subnet that the hosts themselves are in takes none of them from each other', async () => {
      const segment = { ...nicOf('gb').segment, vni: 5001, subnet: '198.19.7.0/24', address: '198.19.7.9' };
      await b.call('attach', 'gc', { ...nicOf('gb'), segment });
      expect(asked('b', '198.19.7.1', { port: 9 })).toBe('refused'); // by the other host
      expect(inside('b', 'ip route get 198.19.7.1').text).toMatch(/^198\.19\.7\.1 dev wire /);
      await b.call('detach', 'gc', NETWORK);
    });

    test('a guest that is at another host now is found there, and nothing is left where it was', async () => {
      wire('gb', a);
      await a.call('attach', 'gb', nicOf('gb', port7));
      await b.call('detach', 'gb', NETWORK);
      expect(b.left()).toEqual([]);
      await until(async () => announced('gb') && reaches('ga', addresses.gb));
      await a.call('detach', 'gb', NETWORK);
      wire('gb', b);
      await b.call('attach', 'gb', nicOf('gb', port7));
      await b.call('setPeers', 5000, 4, ['198.19.7.1', '198.19.7.2']);
      await until(async () => reaches('gb', addresses.ga));
    });

    test('a further address is its guest’s while it is bound; it goes to another host’s guest from one moment to the next', async () => {
      const VIP = '10.9.0.50';
      const with_ = (guest: Guest, has: boolean) => {
        const nic = nicOf(guest, port7);
        return { ...nic, segment: { ...nic.segment, ...(has ? { further: [VIP] } : {}) } };
      };
      const carries = (guest: Guest, carry: boolean) => inside(guest, `ip addr ${carry ? 'add' : 'delete'} ${VIP}/32 dev eth0`);
      // A third one, at a, asks for it all the time.
      must(`ip netns add ${id}gc; ip -n ${id}gc link set lo up`);
      const tap = tapName('gc', NETWORK);
      must(`ip link add ${tap} netns ${id}a type veth peer name eth0 netns ${id}gc`);
      must(`ip -n ${id}gc link set eth0 address 52:54:00:02:10:03 mtu 1450 up && ip -n ${id}gc addr add 10.9.0.12/24 dev eth0`);
      const gc = { id: NETWORK, network: NETWORK, mac: '52:54:00:02:10:03' };
      await a.call('attach', 'gc', { ...gc, segment: { ...nicOf('ga', port7).segment, address: '10.9.0.12' } });
      /** It listens to nobody, and says so to whom it hears. */
      const says = (guest: Guest) => asked(guest, '10.9.0.12', { from: VIP });

      for (const g of ['ga', 'gb'] as const) carries(g, true);
      expect(asked('gc', VIP)).not.toBe('open'); // both say that it is theirs, and neither is let
      expect([says('ga'), says('gb')]).toEqual(['silent', 'silent']);
      await a.call('refilter', 'ga', with_('ga', true));
      await a.call('announce', 'ga', NETWORK, VIP);
      expect(asked('gc', VIP)).toBe('open');
      expect([says('ga'), says('gb')]).toEqual(['refused', 'silent']);
      const known = () => inside('gc', `ip neigh show ${VIP}`).text;
      expect(known()).toContain(macs.ga);
      const place = () => inside('a', `bridge fdb show br chyb5000`).text.split('\n').filter((l) => l.startsWith(`${macs.ga} `)); // prettier-ignore
      expect(place().every((l) => l.includes(tapName('ga', NETWORK)))).toBe(true);

      const moved = performance.now();
      await a.call('refilter', 'ga', with_('ga', false));
      await b.call('refilter', 'gb', with_('gb', true));
      await b.call('announce', 'gb', NETWORK, VIP);
      expect(known()).toContain(macs.gb); // at another host, over the VXLAN, which knows from it where that MAC is
      expect(asked('gc', VIP)).toBe('open');
      expect(performance.now() - moved).toBeLessThan(1_000);
      expect(asked('gc', VIP)).toBe('open'); // and stays there: what was said last of a's is said no more
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      expect(known()).toContain(macs.gb);
      expect(place().every((l) => l.includes(tapName('ga', NETWORK)))).toBe(true);
      expect([...a.left(), ...b.left()].filter((l) => l.startsWith('chya'))).toEqual([]);
      expect(inside('b', 'ip -br link').text).not.toMatch(/^chya/m);

      expect([says('ga'), says('gb')]).toEqual(['silent', 'refused']);
      await b.call('refilter', 'gb', with_('gb', false));
      expect([says('ga'), says('gb')]).toEqual(['silent', 'silent']);
      expect(asked('gc', VIP)).not.toBe('open');
      for (const g of ['ga', 'gb'] as const) carries(g, false);
      await a.call('detach', 'gc', NETWORK);
      sh(`ip netns delete ${id}gc`);
      await expect(a.call('refilter', 'nobody', with_('ga', true))).rejects.toThrow(/no segment here/);
    });

    test('killed in any state, it is made whole for those who are there and taken away for all others', async () => {
      const before = a.left();
      expect(before).toEqual(
        ['chyb5000', 'chyd5000', 'chyt', 'chyv5000', 'dnsmasq', 'filter'].map((x) => (x === 'chyt' ? tapName('ga', NETWORK) : x)).sort(),
      );
      await a.kill();
      must(`pkill -9 -f "[d]nsmasq.*${a.dir}/"; ip netns exec ${id}a nft flush ruleset; ip -n ${id}a link delete chyv5000`);
      // As an agent of before had it: address and DHCP in the host's own namespace.
      must(`ip -n ${id}a addr add 10.9.0.1/24 dev chyb5000 noprefixroute`);
      const files = ['hosts', 'pid'].map((x) => `--${x === 'pid' ? 'pid-file' : 'dhcp-hostsfile'}=${a.dir}/segments/5000.${x}`).join(' ');
      must(`ip netns exec ${id}a dnsmasq --conf-file=/dev/null --user=root --port=0 --dhcp-range=10.9.0.0,static --leasefile-ro ${files}`);
      a.start();
      await a.call('reconcile', wanted('ga'));
      expect(inside('a', 'ip -4 -br addr').text).not.toContain('10.9.0.1');
      expect(a.left()).toEqual(before);
      expect(reaches('gb', addresses.ga)).toBe(true); // and its peers are known
      await a.kill();
      a.start();
      await a.call('reconcile', []);
      expect(a.left()).toEqual([]);
      expect(await a.call('parts')).toEqual([]);
      await a.call('detach', 'ga', NETWORK);
      await b.call('detach', 'gb', NETWORK);
      await b.call('detach', 'gb', NETWORK);
      expect(b.left()).toEqual([]);
    });

    test('what somebody takes away beside it is made again', async () => {
      wire('ga', a);
      await a.call('attach', 'ga', nicOf('ga'));
      const before = a.left();
      must(`pkill -9 -f "[d]nsmasq.*${a.dir}/"; ip -n ${id}a link delete chyv5000; ip netns exec ${id}a nft delete table bridge chrysalis`);
      expect(a.left()).not.toEqual(before);
      await until(async () => a.left().join() === before.join() && inside('a', 'nft list map bridge chrysalis from_nic').ok);
      await a.call('detach', 'ga', NETWORK);
      expect(a.left()).toEqual([]);
    });

    test('frames that do not fit are refused before anything is made', async () => {
      const nic = nicOf('ga');
      await expect(a.call('attach', 'ga', { ...nic, segment: { ...nic.segment, mtu: 1500 } })).rejects.toThrow(/1450/);
      expect(a.left()).toEqual([]);
    });
  },
  ['nft', 'dnsmasq'],
);
