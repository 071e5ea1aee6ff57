import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ownUserNamespace } from '../../infra/network/user-namespace.ts';
import { addressOf } from './client.ts';
import { netnsOf, qemuProcessesOf } from './processes.ts';
import type { Run } from './run.ts';
import type { VmView } from './story.ts';

/** What the hosts of a run stand on: how an observer outside the product asks a VM's service, and sees on which hosts the VM is. */
export type Ground = {
  readonly network: string;
  /** What the observer asks, and who answers. */
  readonly service: string;
  /** Whether a connection follows the VM. */
  readonly follows: boolean;
  /** What is modelled instead of real; absent where nothing is. */
  readonly simulated?: readonly string[];
  /** One service, by each way that leads to it. */
  serviceUrls(vm: VmView): string[];
  /** Every host that has the VM, in any state. */
  hostsWith(vm: VmView): string[];
};

export const groundOf = (run: Run): Ground => {
  if (run.driver === 'simulated') return simulated(run);
  return run.network === 'loopback' ? withoutNetworks(run) : namespaces(run);
};

const namespaces = (run: Run): Ground => ({
  network: `a network namespace per host, joined by a bridge${ownUserNamespace() ? ', in a user namespace: without root' : ''}`,
  service: 'HTTP requests to the guest',
  follows: true,
  serviceUrls: (vm) => [`http://${addressOf(vm.topology)}/`],
  hostsWith: (vm) => {
    const host = new Map(run.hosts.agents.flatMap((a) => (a.pid() ? [[netnsOf(a.pid()!), a.hostId] as const] : [])));
    return qemuProcessesOf(vm.topology.uuid).map((q) => host.get(q.netns) ?? `elsewhere (pid ${q.pid})`);
  },
});

const withoutNetworks = (run: Run): Ground => ({
  network: 'none: one namespace, in which each host is a loopback address; the guest has its NICs, and they lead nowhere',
  service: 'heartbeats over virtio-serial, in place of HTTP: the guest’s own agent answers at the door of the host where it runs',
  follows: false,
  serviceUrls: (vm) => doorsTo(run, vm),
  hostsWith: (vm) =>
    qemuProcessesOf(vm.topology.uuid).map(
      (q) => run.hosts.agents.find((a) => q.argv.some((arg) => arg.includes(`${a.stateDir}/`)))?.hostId ?? `elsewhere (pid ${q.pid})`,
    ),
});

const simulated = (run: Run): Ground => ({
  network: 'none: each simulated host is a loopback address',
  service: 'heartbeats: the model answers at the door of the host where the guest runs',
  follows: false,
  simulated: [
    'hypervisors: each host agent drives a model (boot, plug, unplug, pre-copy over a link of 1 GiB/s), not QEMU',
    'guests: facts and heartbeats come from the model while it runs; scripts are accepted, their commands are not run',
    'network: no connection can follow a VM, so the client keeps one to each host, and asks the other when one does not answer',
  ],
  serviceUrls: (vm) => doorsTo(run, vm),
  hostsWith: (vm) => run.hosts.agents.filter((a) => simulatedVmsIn(a.stateDir).has(vm.vmId)).map((a) => a.hostId),
});

const doorsTo = (run: Run, { vmId }: VmView): string[] => run.hosts.agents.map((a) => `${a.guestDoor!}/${vmId}`);

/** A simulated VM is a file in its host's state directory, as a real one is a process. */
const simulatedVmsIn = (stateDir: string): Set<string> => {
  const dir = path.join(stateDir, 'simulated');
  const files = readdirSync(dir).filter((f) => f.endsWith('.json'));
  return new Set(files.map((f) => (JSON.parse(readFileSync(path.join(dir, f), 'utf8')) as { vmId: string }).vmId));
};
