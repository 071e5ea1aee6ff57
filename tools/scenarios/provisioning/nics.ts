import { settles, type Claim, type Seen } from '../claim.ts';
import type { Lab } from './lab.ts';
import { interfaceOf, pairOf, partOf, ping, type Member } from './networks.ts';

const attach = async (lab: Lab, vmId: string, network: string, address?: string): Promise<string> => {
  const body = { network, ...(address ? { address } : {}) };
  const { operation } = await lab.api.post('/v1/vms/{id}/nics', { path: { id: vmId }, body });
  return operation ? (await lab.ended(operation)).state : 'so already';
};
const detach = async (lab: Lab, vmId: string, network: string): Promise<string> => {
  const { operation } = await lab.api.delete('/v1/vms/{id}/nics/{network}', { path: { id: vmId, network } });
  return operation ? (await lab.ended(operation)).state : 'so already';
};
const nicOf = async (lab: Lab, vmId: string, network: string) => (await lab.vm(vmId)).topology.nics.find((n) => n.network === network);
const shownNic = (lab: Lab, vmId: string, network: string) =>
  lab.until(
    'the NIC to be shown',
    () => nicOf(lab, vmId, network),
    (nic) => nic !== undefined,
  );

/** What the guest is told by DHCP on it. */
const leases = async ({ shell }: Member, mac: string): Promise<string | undefined> => {
  await shell(`${interfaceOf(mac)}; ip link set $i up; udhcpc -i $i -n -q -f -t 20 -T 1 -O mtu -s /tmp/dhcp`);
  return /^ip='?([0-9.]+)/m.exec(await shell('cat /tmp/lease'))?.[1];
};

const whileTheyRun: Claim['see'] = async (lab): Promise<Seen> => {
  const { left, right } = await pairOf(lab);
  const [here, there] = [left, right]; // on one host by now, where another scenario has moved one
  const agent = lab.run.hosts.agents.find((a) => a.hostId === left.vm.hostId) ?? lab.host;
  const [a, b] = [here.vm.vmId, there.vm.vmId];
  const hostIds = lab.run.hosts.agents.map((h) => h.hostId);
  const parts = () => Promise.all(hostIds.map((id) => partOf(lab, id)));
  const before = await parts();
  const { networkId } = await lab.api.post('/v1/networks', { body: { name: 'late', subnet: '10.79.0.0/24' } });
  const first = await lab.killedAt(agent, 'task:host.attach-nic:after', {}, () => attach(lab, a, networkId, '10.79.0.10'));
  const ends = [first.done, await attach(lab, b, networkId), await attach(lab, b, networkId)];
  const macs = [(await shownNic(lab, a, networkId))!.mac, (await shownNic(lab, b, networkId))!.mac] as const;
  const addresses = [await leases(here, macs[0]), await leases(there, macs[1])];
  const answered = await ping(here, addresses[1]!);
  ends.push(await detach(lab, a, networkId), await detach(lab, b, networkId), await detach(lab, b, networkId));
  const shown = [await here.shell(`grep -l ${macs[0]} /sys/class/net/*/address || echo none`), await there.shell(`grep -l ${macs[1]} /sys/class/net/*/address || echo none`)]; // prettier-ignore
  const left_ = await settles({ parts: before }, async () => ({ parts: await parts() }));
  const { state } = await lab.api.delete('/v1/networks/{id}', { path: { id: networkId } });
  const ok = 'succeeded';
  return {
    expected: { killed: true, ends: [ok, ok, 'so already', ok, ok, 'so already'], addresses: ['10.79.0.10', '10.79.0.11'], answered: 3, shown: ['none', 'none'], parts: before, network: 'deleted' }, // prettier-ignore
    observed: { killed: first.killed, ends, addresses, answered, shown, ...left_.observed, network: state },
    vm: here.vm,
  };
};

/** Provisioning ends as by kill -9 when the address is taken: asked again there is one. */
const whileItIsOff: Claim['see'] = async (lab): Promise<Seen> => {
  const vm = await lab.stopped('tiny');
  const { networkId } = await lab.api.post('/v1/networks', { body: { name: 'off', subnet: '10.80.0.0/29' } });
  const asked = await lab.killedAt('provisioning', 'network:appended', { command: 'give-address' }, () => attach(lab, vm.vmId, networkId));
  const taps: number[] = [];
  const startAndStop = async (): Promise<void> => {
    await lab.act(vm.vmId, 'start');
    taps.push(lab.outside.taps(vm).length);
    await lab.act(vm.vmId, 'stop', { force: true, timeoutMs: 1_000 });
  };
  await startAndStop();
  const ends = [asked.done, await detach(lab, vm.vmId, networkId)];
  await startAndStop();
  const { state } = await lab.api.delete('/v1/networks/{id}', { path: { id: networkId } });
  const addresses = await lab.events(networkId);
  return {
    expected: { killed: true, ends: ['succeeded', 'succeeded'], taps: [2, 1], network: 'deleted', addresses: ['network.created', 'network.address-given', 'network.address-returned', 'network.deleted'] }, // prettier-ignore
    observed: { killed: asked.killed, ends, taps, network: state, addresses },
    vm,
  };
};

export const nicClaims: readonly Claim[] = [
  {
    name: 'two VMs that run are put on a network and taken from it, with kill -9 of a host agent: they talk, and nothing is left',
    see: whileTheyRun,
  },
  { name: 'a VM that is off is put on a network, starts with its NIC, and without it, with kill -9 of provisioning', see: whileItIsOff },
];
