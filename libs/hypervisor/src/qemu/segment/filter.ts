import { addressOf, gatewayOf, rangeOf, type FilterRule, type Segment } from '@chrysalis/contracts';
import { BRIDGES, HOST_MACS, TUNNELS, VXLAN_PORT } from './names.ts';

/**
 * What nft is told; each text is one transaction: all of it, or nothing. Each may be said again.
 *
 * No connection is followed, so that none has to be carried along in a move: of TCP only what would begin a connection is judged, answers to
 * UDP by what the VM itself sent in the last two minutes. (The bridge family follows none on many kernels either.)
 */
const T = 'bridge chrysalis';
const chains = (tap: string) => ({ from: `from_${tap}`, to: `to_${tap}`, asked: `asked_${tap}` });

/** The table, and what goes between hosts: none of what is each host's own (DHCP, the address that all of them have). */
export const baseFilter = (): string =>
  lines(
    `add table ${T}`,
    `add map ${T} from_nic { type ifname : verdict ; }`,
    `add map ${T} to_nic { type ifname : verdict ; }`,
    `add chain ${T} between_hosts`,
    `flush chain ${T} between_hosts`,
    `add rule ${T} between_hosts ether saddr & ff:ff:ff:00:00:00 == ${HOST_MACS} drop`,
    `add rule ${T} between_hosts udp dport { 67, 68 } drop`,
    ...hook('bridge', 'pre', 'prerouting', ['iifname vmap @from_nic', `iifname "${TUNNELS}*" jump between_hosts`]),
    ...hook('bridge', 'post', 'postrouting', ['oifname vmap @to_nic', `oifname "${TUNNELS}*" jump between_hosts`]),
    // The host itself is on no segment: a bridge is no way in, and no way out. Its DHCP is in a namespace of its own.
    'add table inet chrysalis',
    'add set inet chrysalis hosts { type ipv4_addr ; }',
    ...hook('inet', 'in', 'input', [`udp dport ${VXLAN_PORT} ip saddr != @hosts drop`, `iifname "${BRIDGES}*" drop`]),
    // Where the kernel shows bridged frames here too (`bridge-nf-call-iptables`), they come from a bridge and go to it; no route leads there.
    ...hook('inet', 'through', 'forward', [
      `iifname "${BRIDGES}*" oifname "${BRIDGES}*" accept`,
      `iifname "${BRIDGES}*" drop`,
      `oifname "${BRIDGES}*" drop`,
    ]),
  );

const hook = (family: string, chain: string, at: string, rules: readonly string[]): string[] => [
  `add chain ${family} chrysalis ${chain} { type filter hook ${at} priority 0 ; policy accept ; }`,
  `flush chain ${family} chrysalis ${chain}`,
  ...rules.map((rule) => `add rule ${family} chrysalis ${chain} ${rule}`),
];

/** From whom this host takes what comes from a segment: the hosts that have a part of one that it has a part of too. */
export const hostsFilter = (hosts: readonly string[]): string =>
  lines(
    'add table inet chrysalis',
    'add set inet chrysalis hosts { type ipv4_addr ; }',
    'flush set inet chrysalis hosts',
    ...(hosts.length > 0 ? [`add element inet chrysalis hosts { ${hosts.join(', ')} }`] : []),
  );

/** Before the tap is a port of its bridge. */
export const nicFilter = (tap: string, mac: string, segment: Segment): string => {
  const { from, to, asked } = chains(tap);
  return lines(
    `add set ${T} ${asked} { type ipv4_addr . inet_service . inet_service ; flags dynamic,timeout ; timeout 2m ; size 4096 ; }`,
    `add chain ${T} ${from}`,
    `flush chain ${T} ${from}`,
    ...outgoing(mac, segment, asked).map((rule) => `add rule ${T} ${from} ${rule}`),
    `add chain ${T} ${to}`,
    `flush chain ${T} ${to}`,
    ...incoming(segment, asked).map((rule) => `add rule ${T} ${to} ${rule}`),
    `add element ${T} from_nic { "${tap}" : jump ${from} }`,
    `add element ${T} to_nic { "${tap}" : jump ${to} }`,
  );
};

/** Its own addresses and no others, as ARP says them too; QEMU's announcement (0x8035) has its MAC alone. */
const outgoing = (mac: string, segment: Segment, asked: string): string[] => [
  `ether saddr != ${mac} counter drop`,
  `ether type arp arp saddr ether ${mac} arp saddr ip { ${[...ownOf(segment), '0.0.0.0'].join(', ')} } accept`,
  'ether type 0x8035 accept',
  'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept',
  'udp sport 67 counter drop',
  `ip saddr != { ${ownOf(segment).join(', ')} } counter drop`,
  `ip protocol udp update @${asked} { ip daddr . udp dport . udp sport }`,
  'ether type ip accept',
  'counter drop',
];
const ownOf = ({ address, further = [] }: Segment): string[] => [address, ...further];

/** What is for another address of the subnet is not for this NIC: a peer that does not know yet that it has gone from here is not heard. */
const incoming = (segment: Segment, asked: string): string[] => [
  'ether type arp accept',
  'ether type != ip drop',
  `ip daddr ${segment.subnet} ip daddr != { ${[...ownOf(segment), addressOf(rangeOf(segment.subnet).last)].join(', ')} } counter drop`,
  ...allowed(segment, asked),
];
const allowed = ({ subnet, allow }: Segment, asked: string): string[] => [
  'ip frag-off & 0x1fff != 0 accept', // without its first part it is nothing
  'icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem } accept',
  `ip saddr ${gatewayOf(subnet)} udp sport 67 udp dport 68 accept`,
  'tcp flags & (syn | ack) != syn accept',
  `ip saddr . udp sport . udp dport @${asked} accept`,
  ...allow.map(ruleText),
  'counter drop',
];

const ruleText = ({ protocol, ports, from }: FilterRule): string =>
  [
    ...(from ? [`ip saddr ${from}`] : []),
    ports && protocol !== 'icmp' ? `${protocol} dport ${ports.first}-${ports.last}` : `ip protocol ${protocol}`,
    'accept',
  ].join(' ');

/** After the tap is gone; also where there is nothing. */
export const withoutNic = (tap: string): string => {
  const { from, to, asked } = chains(tap);
  return lines(
    `add table ${T}`,
    `add map ${T} from_nic { type ifname : verdict ; }`,
    `add map ${T} to_nic { type ifname : verdict ; }`,
    `add set ${T} ${asked} { type ipv4_addr . inet_service . inet_service ; flags dynamic,timeout ; timeout 2m ; size 4096 ; }`,
    ...[from, to].flatMap((chain) => [`add chain ${T} ${chain}`, `flush chain ${T} ${chain}`]),
    `add element ${T} from_nic { "${tap}" : jump ${from} }`,
    `add element ${T} to_nic { "${tap}" : jump ${to} }`,
    `delete element ${T} from_nic { "${tap}" }`,
    `delete element ${T} to_nic { "${tap}" }`,
    ...[from, to].map((chain) => `delete chain ${T} ${chain}`),
    `delete set ${T} ${asked}`,
  );
};

/** When the last segment is gone. */
export const withoutFilter = (): string =>
  lines(`add table ${T}`, `delete table ${T}`, 'add table inet chrysalis', 'delete table inet chrysalis');

const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`;
