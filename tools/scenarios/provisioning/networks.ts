import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { VmView } from '../../fleet/story.ts';
import { settles, type Claim, type Seen } from '../claim.ts';
import { guests } from './guests.ts';
import { openShell } from './in-guest.ts';
import type { Lab } from './lab.ts';
import { refusal } from './look.ts';

const exec = promisify(execFile);
const SUBNET = '10.77.0.0/24';
type Shell = Awaited<ReturnType<typeof openShell>>;
export type Member = { readonly vm: VmView; readonly shell: Shell; readonly address: string };
type Pair = { readonly networkId: string; readonly left: Member; readonly right: Member };

/** Two VMs of the small image on one network, one a host. Both let ping in, and what comes to port 7. */
const pairs = new WeakMap<Lab, Promise<Pair>>();
export const pairOf = (lab: Lab): Promise<Pair> => {
  const made = pairs.get(lab) ?? makePair(lab);
  pairs.set(lab, made);
  return made;
};
const makePair = async (lab: Lab): Promise<Pair> => {
  const { networkId } = await lab.api.post('/v1/networks', { body: { name: 'back', subnet: SUBNET } });
  // The one that is to move, `right`, begins on the smaller host: by then the other scenarios' VMs may have filled it.
  const [right, left] = lab.run.hosts.agents.map((a) => a.hostId) as [string, string];
  return { networkId, left: await member(lab, networkId, 'left', left, '10.77.0.10'), right: await member(lab, networkId, 'right', right) };
};

/** `ip`, the lease's other words, and what the guest has of it. */
const DHCP = `cat > /tmp/dhcp <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
env > /tmp/lease
X
chmod +x /tmp/dhcp`;

export const member = async (lab: Lab, networkId: string, name: string, host: string, address?: string): Promise<Member> => {
  const allow = [
    { protocol: 'icmp' as const },
    ...(['tcp', 'udp'] as const).map((protocol) => ({ protocol, ports: { first: 7, last: 7 } })),
  ];
  const networks = [{ network: networkId, ...(address ? { address } : {}) }];
  const body = { name, type: 'small', image: 'linux@1', host, networks, allow };
  const { vmId, operation } = await lab.api.post('/v1/vms', { body });
  const end = await lab.ended(operation);
  if (end.state !== 'succeeded') throw new Error(`${name} was not made: ${JSON.stringify(end.cause)}`);
  const vm = await lab.until(`${name} to be shown`, () => lab.vm(vmId), (v) => v.state === 'running' && v.topology !== undefined); // prettier-ignore
  const shell = await openShell(lab, vm);
  await shell(DHCP);
  const nic = vm.topology.nics.find((n) => n.network === networkId)!;
  await shell(`${interfaceOf(nic.mac)}; udhcpc -i $i -n -q -f -t 20 -T 1 -O mtu -s /tmp/dhcp; echo $i > /tmp/back`);
  await shell(ECHO);
  lab.share(name, vmId);
  return { vm, shell, address: nic.segment!.address };
};
export const interfaceOf = (mac: string): string => `i=$(basename $(dirname $(grep -l ${mac} /sys/class/net/*/address)))`;

/** How many of three were answered. */
export const ping = async ({ shell }: Member, to: string, more = ''): Promise<number> =>
  Number(/(\d+) packets received/.exec(await shell(`ping -c 3 -W 1 ${more} ${to} || true`))?.[1] ?? -1);

/** `open`, `refused`, or `silent`: nothing came back. */
const connects = async ({ shell }: Member, to: string, port: number): Promise<string> => {
  const said = await shell(`timeout 2 nc ${to} ${port} < /dev/null; echo "ended $?"`);
  return /refused/.test(said) ? 'refused' : /ended 0/.test(said) ? 'open' : 'silent';
};

/** Port 80 in place of 7, and back. */
const refilter = async (lab: Lab, from: Member, { vm, address }: Member): Promise<object> => {
  const before = vm.topology.nics.flatMap((n) => n.segment?.allow ?? []);
  const set = async (allow: typeof before): Promise<string> => {
    const { operation } = await lab.api.post('/v1/vms/{id}/filter', { path: { id: vm.vmId }, body: { allow } });
    return operation ? (await lab.ended(operation)).state : 'so already';
  };
  const port80 = [{ protocol: 'tcp' as const, ports: { first: 80, last: 80 } }];
  const ended = await set(port80);
  const seen = { ended, port80: await connects(from, address, 80), port7: await connects(from, address, 7) };
  await lab.until('the filter to be shown', () => lab.vm(vm.vmId), (v) => v.action === undefined); // prettier-ignore
  const again = await set(port80);
  await set(before);
  return { ...seen, again };
};

const talk: Claim['see'] = async (lab): Promise<Seen> => {
  const { left, right, networkId } = await pairOf(lab);
  const lease = async ({ shell }: Member) => {
    const text = await shell(
      '. /tmp/lease 2>/dev/null; cat /sys/class/net/$(cat /tmp/back)/mtu; ip -o -4 addr show dev $(cat /tmp/back); cat /tmp/lease',
    );
    return { mtu: Number(text.split('\n')[0]), address: / inet ([0-9.]+)\//.exec(text)?.[1], told: /^ip='?([0-9.]+)/m.exec(text)?.[1], mtuTold: Number(/^mtu='?(\d+)/m.exec(text)?.[1]) }; // prettier-ignore
  };
  const leases = { left: await lease(left), right: await lease(right) };
  const of = (address: string) => ({ mtu: 1450, address, told: address, mtuTold: 1450 });
  return {
    expected: {
      leases: { left: of('10.77.0.10'), right: of(right.address) },
      answered: 3,
      answeredWholeFrames: 3,
      port7: 'open',
      port80: 'silent',
      filtered: { ended: 'succeeded', port80: 'open', port7: 'silent', again: 'so already' },
      itself80: 'open',
      outside: 0,
      deletion: { refused: 'network.in_use', status: 409 },
    },
    observed: {
      leases,
      answered: await ping(left, right.address),
      answeredWholeFrames: await ping(left, right.address, '-s 1422'),
      port7: await connects(left, right.address, 7),
      port80: await connects(left, right.address, 80),
      filtered: await refilter(lab, left, right),
      itself80: await connects(right, right.address, 80),
      // The hosts' own network is another one, and nobody's way leads there from the segment.
      outside: await ping(left, '198.18.255.254', `-I $(cat /tmp/back)`),
      deletion: await refusal(lab.api.delete('/v1/networks/{id}', { path: { id: networkId } })),
    },
    vm: left.vm,
  };
};

/** What comes of a packet that says it is from somebody else: by IP, by MAC, by ARP. */
const spoofs = async (from: Member, to: Member): Promise<object> => {
  const arrived = `cat /proc/net/arp; cat /tmp/seen 2>/dev/null`;
  const ip = Number(/(\d+) packets received/.exec(await from.shell(`i=$(cat /tmp/back); ip addr add 10.77.0.99/32 dev $i; ping -c 3 -W 1 -I 10.77.0.99 ${to.address} || true; ip addr del 10.77.0.99/32 dev $i`))?.[1]); // prettier-ignore
  const mac = Number(/(\d+) packets received/.exec(await from.shell(`i=$(cat /tmp/back); m=$(cat /sys/class/net/$i/address); ip link set $i address 52:54:00:99:99:99; ping -c 3 -W 1 ${to.address} || true; ip link set $i address $m`))?.[1]); // prettier-ignore
  await from.shell(`i=$(cat /tmp/back); ip addr add 10.77.0.98/32 dev $i; arping -c 2 -w 2 -A -I $i -s 10.77.0.98 10.77.0.98 || true; ip addr del 10.77.0.98/32 dev $i; true`); // prettier-ignore
  const known = await to.shell(arrived);
  return { ip, mac, arp: /10\.77\.0\.9[89]/.test(known) ? 'believed' : 'not believed' };
};
const none = { ip: 0, mac: 0, arp: 'not believed' };

/** A datagram each 10 ms to one who answers each, and a line on one connection each 10 ms: how many came back, and the longest time that none did. */
const ECHO = `cat > /tmp/echo.pl <<'X'
socket(my $u, 2, 2, 0); bind($u, pack('S n a4 x8', 2, 7, "\\0\\0\\0\\0")) or die $!;
if (!fork) { while (my $from = recv($u, my $d, 2000, 0)) { send($u, $d, 0, $from) } }
socket(my $l, 2, 1, 0); setsockopt($l, 1, 2, pack('i', 1)); bind($l, pack('S n a4 x8', 2, 7, "\\0\\0\\0\\0")) or die $!; listen($l, 8);
while (accept(my $s, $l)) { next if fork; while (sysread($s, my $d, 2000)) { syswrite($s, $d) } exit }
X
perl /tmp/echo.pl > /dev/null 2>&1 < /dev/null &`;
const WATCH = (to: string) => `cat > /tmp/watch.pl <<'X'
sub now { my $b = pack('q2'); syscall(228, 1, $b); my ($s, $n) = unpack('q2', $b); $s * 1000 + $n / 1e6 }
my ($mode, $a) = @ARGV; my $at = pack('S n a4 x8', 2, 7, pack('C4', split /\\./, $a));
socket(my $s, 2, $mode eq 'udp' ? 2 : 1, 0); connect($s, $at) or die $!; setsockopt($s, 6, 1, pack('i', 1)) if $mode eq 'tcp';
my ($sent, $back, $gap, $last, $errors) = (0, 0, 0, now(), 0); $SIG{TERM} = sub { our $over = 1 };
while (!our $over) {
  syswrite($s, "x") // $errors++; $sent++; my $until = now() + 10;
  while ((my $left = $until - now()) > 0) { my $r = ''; vec($r, fileno($s), 1) = 1;
    if (select($r, undef, undef, $left / 1000) > 0) { my $n = sysread($s, my $d, 2000); if (!$n) { $errors++; select(undef, undef, undef, 0.01); next }
      my $t = now(); $gap = $t - $last if $t - $last > $gap; $last = $t; $back += $mode eq 'udp' ? 1 : $n } } }
open(my $o, '>', "/tmp/watched.$mode"); printf $o "%d %d %d %d\\n", $sent, $back, $gap, $errors;
X
rm -f /tmp/watched.*; for m in udp tcp; do perl /tmp/watch.pl $m ${to} > /tmp/watch.$m.log 2>&1 < /dev/null & echo $! > /tmp/watch.$m.pid; done`;
const WATCHED = `kill $(cat /tmp/watch.*.pid); sleep 1; cat /tmp/watched.udp; cat /tmp/watched.tcp; cat /tmp/watch.*.log`;

/** To the other host, as it is. */
const migrate = async (lab: Lab, vmId: string): Promise<string> => {
  const { queryId } = await lab.api.post('/v1/migration-options-queries', { body: { vmIds: [vmId] } });
  const query = await lab.until(
    'the options',
    () => lab.api.get('/v1/migration-options-queries/{id}', { path: { id: queryId } }),
    (q) => q.state === 'answered',
  );
  const option = query.options?.find((o) => o.move && o.targetType.name === 'small' && o.method === 'pre-copy');
  if (!option) throw new Error(`it cannot move: ${JSON.stringify(query.refused)}`);
  const name = `shift-${(shifts += 1)}`;
  const made = await lab.api.post('/v1/migration-templates', { body: { name, fromOption: { queryId, optionId: option.id } } });
  const { planId } = await lab.api.post('/v1/migration-plans', { body: { template: `${made.name}@${made.version}`, vmIds: [vmId] } });
  const { migrationId } = await lab.api.post('/v1/migrations', { body: { planId } });
  const end = await lab.ended(migrationId);
  return end.state === 'succeeded' ? end.state : JSON.stringify(end.cause ?? end.state);
};
let shifts = 0;

/** What of the segment a host has, as its kernel and its processes show it. */
export const partOf = async (lab: Lab, hostId: string): Promise<{ links: number; dhcp: number; filters: number }> => {
  const links = (await lab.outside.links()).filter((l) => l.startsWith(`${hostId} chyb`) || l.startsWith(`${hostId} chyv`)).length;
  const filters = (await lab.outside.filters()).filter((f) => f.startsWith(`${hostId} filter from_chyt`)).length;
  return { links, dhcp: lab.outside.dnsmasqs(hostId).length, filters };
};

const moved: Claim['see'] = async (lab): Promise<Seen> => {
  const { left, right } = await pairOf(lab);
  const { hostId: from } = await lab.vm(right.vm.vmId);
  const to = lab.run.hosts.agents.find((a) => a.hostId !== from)!.hostId;
  const before = { spoofed: await spoofs(left, right), answered: await ping(left, right.address), source: await partOf(lab, from!) };
  await left.shell(WATCH(right.address));
  const ended = await migrate(lab, right.vm.vmId);
  const [udp = [], tcp = []] = (await left.shell(WATCHED)).split('\n').map((line) => line.split(' ').map(Number));
  const there = { links: 2, dhcp: 1, filters: 1 };
  const gone = { links: 0, dhcp: 0, filters: 0 };
  process.stderr.write(`  udp sent back gap errors: ${udp.join(' ')}; tcp: ${tcp.join(' ')}\n`);
  const leaves = await settles(gone, () => partOf(lab, from!));
  return {
    expected: {
      before: { spoofed: none, answered: 3, source: there },
      ended: 'succeeded',
      host: to,
      udpGapUnder1s: true,
      tcpGapUnder2s: true,
      tcp: { errors: 0, answered: true },
      source: gone,
      target: { ...there, filters: 2 },
      after: { spoofed: none, spoofedByIt: none, answered: 3, address: right.address },
    },
    observed: {
      before,
      ended,
      host: (await lab.vm(right.vm.vmId)).hostId,
      udpGapUnder1s: (udp[1] ?? 0) > 50 && (udp[2] ?? Infinity) < 1_000,
      tcpGapUnder2s: (tcp[2] ?? Infinity) < 2_000,
      tcp: { errors: tcp[3], answered: (tcp[1] ?? 0) > 50 },
      source: leaves.observed,
      target: await partOf(lab, to),
      after: {
        spoofed: await spoofs(left, right),
        spoofedByIt: await spoofs(right, left),
        answered: await ping(left, right.address),
        address: (await lab.vm(right.vm.vmId)).topology.nics.find((n) => n.segment)?.segment?.address,
      },
    },
    vm: right.vm,
  };
};

/** While no agent is there, what is beside QEMU is taken away behind its back. */
const broken = async (lab: Lab, hostId: string): Promise<void> => {
  for (const pid of lab.outside.dnsmasqs(hostId)) process.kill(Number(pid), 'SIGKILL');
  const host = lab.run.fabric.hosts.find((h) => h.name === hostId)!;
  const [command, ...args] = host.inside(['nft', 'flush', 'ruleset']);
  await exec(command!, args);
};

const whole: Claim['see'] = async (lab): Promise<Seen> => {
  const { left, right } = await pairOf(lab);
  const { hostId } = await lab.vm(left.vm.vmId);
  const before = await partOf(lab, hostId!);
  const agent = lab.run.hosts.agents.find((a) => a.hostId === hostId)!;
  const first = agent.pid();
  await Promise.all([broken(lab, hostId!), agent.kill()]);
  await lab.until('another agent', async () => agent.pid(), (pid) => pid !== undefined && pid !== first); // prettier-ignore
  const back = await settles(before, () => partOf(lab, hostId!));
  const spoofed = (await settles(none, () => spoofs(left, right))).observed;
  return { expected: { back: before, spoofed: none }, observed: { back: back.observed, spoofed }, vm: left.vm };
};

/** A VM that rests, on a network of its own: its host agent ends as by kill -9 when it has been booted and again when it is to go, provisioning when its address was given. */
const killed: Claim['see'] = async (lab): Promise<Seen> => {
  const { hostId } = lab.host;
  const before = await partOf(lab, hostId);
  const { networkId } = await lab.api.post('/v1/networks', { body: { name: 'short', subnet: '10.78.0.0/29' } });
  const body = { name: 'short', ...guests.tiny, host: hostId, networks: [{ network: networkId }] };
  const asked = await lab.killedAt('provisioning', 'network:appended', { command: 'give-address' }, () =>
    lab.api.post('/v1/vms', { body }),
  );
  const { vmId, operation } = asked.done;
  const made = await lab.killedAt('host agent', 'task:host.boot-vm:after', {}, () => lab.ended(operation));
  const there = { links: before.links + 2, dhcp: before.dhcp + 1, filters: before.filters + 1 };
  const has = (await settles(there, () => partOf(lab, hostId))).observed;
  const gone = await lab.killedAt('host agent', 'task:host.destroy-vm:after', {}, () => lab.remove(vmId));
  const left = (await settles(before, () => partOf(lab, hostId))).observed;
  const deleted = await lab.api.delete('/v1/networks/{id}', { path: { id: networkId } });
  return {
    expected: {
      killed: [true, true, true],
      ended: ['succeeded', 'succeeded'],
      there,
      left: before,
      network: 'deleted',
      addresses: ['network.created', 'network.address-given', 'network.address-returned', 'network.deleted'],
    },
    observed: {
      killed: [asked.killed, made.killed, gone.killed],
      ended: [made.done.state, gone.done.state],
      there: has,
      left,
      network: deleted.state,
      addresses: await lab.events(networkId),
    },
  };
};

export const networkClaims: readonly Claim[] = [
  { name: 'two VMs on two hosts talk over one network: by DHCP, in whole frames, and nothing comes in that is not allowed', see: talk },
  { name: 'a VM on a network moves: what it says and is told goes on, a spoofed packet is dropped before and after', see: moved },
  { name: 'kill -9 of a host agent, its DHCP and its filter: a network’s part of a host is whole again', see: whole },
  {
    name: 'kill -9 of provisioning and of the host agent while a VM is put on a network and deleted: one address, and none; one part, and none',
    see: killed,
  },
];
