import { settles, type Claim, type Seen } from '../claim.ts';
import type { Lab } from './lab.ts';
import { refusal } from './look.ts';
import { member, pairOf, ping, type Member } from './networks.ts';

const VIP = '10.77.0.50';

/**
 * An echo request each 10 ms to the address, by whoever has it: how many were sent, how many were answered, and the longest time in ms that
 * none was. The kernel of who has it answers, from the address that was asked.
 */
const WATCH = `cat > /tmp/ask.pl <<'X'
sub now { my $b = pack('q2'); syscall(228, 1, $b); my ($s, $n) = unpack('q2', $b); $s * 1000 + $n / 1e6 }
sub sum { my $t = 0; $t += $_ for unpack('n*', $_[0]); $t = ($t & 0xffff) + ($t >> 16) while $t >> 16; ~$t & 0xffff }
my $at = pack('S n a4 x8', 2, 0, pack('C4', split /\\./, $ARGV[0])); socket(my $s, 2, 3, 1) or die $!; connect($s, $at) or die $!;
my ($sent, $back, $gap, $last, $seq) = (0, 0, 0, now(), 0); $SIG{TERM} = sub { our $over = 1 };
while (!our $over) {
  $seq = ($seq + 1) & 0xffff; my $p = pack('C C n n n a8', 8, 0, 0, 7, $seq, 'chrysali'); substr($p, 2, 2) = pack('n', sum($p));
  $sent++ if syswrite($s, $p); my $until = now() + 10;
  while ((my $left = $until - now()) > 0) { my $r = ''; vec($r, fileno($s), 1) = 1;
    if (select($r, undef, undef, $left / 1000) > 0) { next unless sysread($s, my $d, 2000); next unless ord(substr($d, 20, 1)) == 0;
      my $t = now(); $gap = $t - $last if $t - $last > $gap; $last = $t; $back++ } } }
my $t = now(); $gap = $t - $last if $t - $last > $gap;
open(my $o, '>', '/tmp/asked'); printf $o "%d %d %d\\n", $sent, $back, $gap;
X
rm -f /tmp/asked; perl /tmp/ask.pl ${VIP} > /tmp/ask.log 2>&1 < /dev/null & echo $! > /tmp/ask.pid; sleep 1`;
const WATCHED = 'kill $(cat /tmp/ask.pid); sleep 1; cat /tmp/asked /tmp/ask.log';

/** How many of three are answered that it sends as the address, which its guest carries for that time at least. */
const as = async ({ shell }: Member, to: string): Promise<number> => {
  const had = `ip addr show dev $i | grep -q ' ${VIP}/'`;
  const said = await shell(
    `i=$(cat /tmp/back); ${had} || { new=1; ip addr add ${VIP}/32 dev $i; }; ping -c 3 -W 1 -I ${VIP} ${to} || true; [ -z "$new" ] || ip addr del ${VIP}/32 dev $i`,
  );
  return Number(/(\d+) packets received/.exec(said)?.[1] ?? -1);
};
const carries = async ({ shell }: Member): Promise<boolean> => / 10\.77\.0\.50\//.test(await shell('ip -4 addr show'));

const bind = async (lab: Lab, id: string, { vm }: Member): Promise<string> => {
  const { operation } = await lab.api.post('/v1/addresses/{id}/bind', { path: { id }, body: { vm: vm.vmId, move: true } });
  const end = await lab.ended(operation!);
  return end.state === 'succeeded' ? end.state : JSON.stringify(end.cause ?? end.state);
};
/** As the API shows it, and which of them the hosts' filters let have it. */
const shown = async (lab: Lab, id: string, members: readonly Member[]): Promise<object> => {
  const { state, vmId, seen } = await lab.api.get('/v1/addresses/{id}', { path: { id } });
  const vms = await Promise.all(members.map(({ vm }) => lab.vm(vm.vmId)));
  const has = vms.filter((vm) => vm.topology.nics.some((n) => n.segment?.further?.includes(VIP))).map((vm) => vm.vmId);
  return { state, vmId, seen, has };
};
const of = ({ vm }: Member): object => ({ state: 'bound', vmId: vm.vmId, seen: true, has: [vm.vmId] });

/** Three that are on one network: two who have the address in turn, on two hosts, and one who asks for it. */
type Round = { readonly lab: Lab; readonly id: string; readonly left: Member; readonly third: Member; readonly right: Member };
const answers = async ({ left, third, right }: Omit<Round, 'lab' | 'id'>): Promise<object> => ({
  left: await as(left, right.address),
  third: await as(third, right.address),
  answered: await ping(right, VIP),
});
const is = (left: number, third: number, answered = 3): object => ({ left, third, answered });

/** From one to the other while the third asks, and back while a host agent ends as by kill -9. */
const goes = async (round: Round): Promise<{ expected: object; observed: object }> => {
  const { lab, id, left, third, right } = round;
  const all = [left, third];
  const first = await bind(lab, id, left);
  const bound = await settles(of(left), () => shown(lab, id, all));
  const before = await answers(round);
  await right.shell(WATCH);
  const there = await bind(lab, id, third);
  const [sent = 0, back = 0, gap = Infinity] = (await right.shell(WATCHED)).split('\n')[0]!.split(' ').map(Number);
  process.stderr.write(`  an address moved: ${sent} sent, ${back} answered, ${gap} ms without an answer at most\n`);
  const moved = await settles(of(third), () => shown(lab, id, all));
  const after = await answers(round);
  const carried = { left: await carries(left), third: await carries(third) };
  const kill = await lab.killedAt('host agent', 'task:host.unbind-address:after', {}, () => bind(lab, id, left));
  const home = await settles(of(left), () => shown(lab, id, all));
  return {
    expected: {
      ended: ['succeeded', 'succeeded', 'succeeded'],
      ...{ bound: of(left), before: is(3, 0), answered: true, gapUnder1s: true, moved: of(third), after: is(0, 3) },
      ...{ carried: { left: false, third: true }, killed: true, home: of(left), again: is(3, 0) },
    },
    observed: {
      ended: [first, there, kill.done],
      ...{ bound: bound.observed, before, answered: back > sent / 2, gapUnder1s: gap < 1_000, moved: moved.observed, after },
      ...{ carried, killed: kill.killed, home: home.observed, again: await answers(round) },
    },
  };
};

const travels: Claim['see'] = async (lab): Promise<Seen> => {
  const { left, right, networkId } = await pairOf(lab);
  const { hostId } = await lab.vm(left.vm.vmId);
  const elsewhere = lab.run.hosts.agents.find((a) => a.hostId !== hostId)!.hostId;
  const third = await member(lab, networkId, 'third', elsewhere);
  const { addressId: id } = await lab.api.post('/v1/addresses', { body: { network: networkId, address: VIP, name: 'web' } });
  const nobody = await answers({ left, third, right });
  const { expected, observed } = await goes({ lab, id, left, third, right });
  const last = await bind(lab, id, third);
  const inTheWay = await refusal(lab.api.delete('/v1/addresses/{id}', { path: { id } }));
  const gone = (await lab.remove(third.vm.vmId)).state;
  const state = async (): Promise<object> => ({ state: (await lab.api.get('/v1/addresses/{id}', { path: { id } })).state });
  const kept = await settles({ state: 'reserved' }, state);
  const taken = await refusal(lab.api.post('/v1/addresses', { body: { network: networkId, address: VIP } }));
  const released = await refusal(lab.api.delete('/v1/addresses/{id}', { path: { id } }));
  return {
    expected: {
      nobody: is(0, 0, 0),
      ...expected,
      inTheWay: { refused: 'address.bound', status: 409 },
      gone: 'succeeded',
      kept: { state: 'reserved' },
      taken: { refused: 'network.address_taken', status: 409 },
      released: { refused: 'no' },
      last: 'succeeded',
    },
    observed: { nobody, ...observed, inTheWay, gone, kept: kept.observed, taken, released, last },
    vm: left.vm,
  };
};

export const addressClaims: readonly Claim[] = [
  {
    name: 'a reserved address goes from VM to VM on two hosts in less than a second, and back over a kill -9; who has it not is dropped, and it outlives its VM',
    see: travels,
  },
];
