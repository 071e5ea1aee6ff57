import { vcpusOf, type Topology } from '@chrysalis/contracts';
import { HypervisorError, hasCode } from '../errors.ts';
import { QmpClient } from '../qmp.ts';
import { commandLine, type KernelFiles } from './command-line.ts';
import { isLockRefusal } from './devices.ts';
import { isAlive, lastWords, spawnDetached } from './process.ts';
import type { Vm } from './vm.ts';

export type Launch = {
  readonly qemu: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly kernel: KernelFiles | undefined;
  readonly uefi: string | undefined;
  readonly incoming: boolean;
};

/** Starts the VM's QEMU, paused, and takes its monitor. The hardware is compared before anything runs or arrives. */
export const launch = async (vm: Vm, { qemu, accelerator, kernel, uefi, incoming }: Launch): Promise<void> => {
  const { files, topology, parts } = vm;
  for (const disk of topology.disks) parts.volumes.assertThere(disk);
  if (topology.uefi) parts.volumes.assertThere({ id: 'uefi', ...topology.uefi });
  for (const nic of topology.nics) await parts.networks.attach(vm.vmId, nic);
  const argv = commandLine(
    topology,
    {
      name: vm.vmId,
      accelerator,
      kernel,
      uefi,
      volumePath: (pool, volume) => parts.volumes.path(pool, volume),
      netdev: (nic) => parts.networks.netdev(vm.vmId, nic, files.socket(`net-${nic.id}`)),
      socket: (name) => files.socket(name),
      pidFile: files.pidFile,
    },
    { incoming },
  );
  const process = await spawnDetached([qemu, ...argv], files.words);
  await vm.save({ process, cpuThreads: vcpusOf(topology) });
  await connect(vm);
  await Promise.all([vm.verified(topology), vm.console.begin(vm.qmp)]);
};

/** Also after a restart of the host agent: QEMU's monitor takes the next client when the last one is gone. */
export const connect = async (vm: Vm): Promise<void> => {
  const { process } = vm.record;
  if (!process) return;
  try {
    vm.attach(await QmpClient.connect(vm.files.socket('qmp'), { alive: () => isAlive(process) }));
  } catch (error) {
    if (!hasCode(error, 'hypervisor.qmp_closed')) throw error;
    throw startFailure(await lastWords(vm.files.words), error);
  }
};

const startFailure = (words: string, error: HypervisorError): HypervisorError => {
  const last = words.split('\n').at(-1) || error.message;
  const detail = { lastWords: words };
  if (isLockRefusal(words)) return new HypervisorError('hypervisor.volume_locked', `Another QEMU has a volume: ${last}`, detail);
  if (/unsupported machine type/i.test(words)) return new HypervisorError('hypervisor.machine_unsupported', last, detail);
  if (/doesn't support requested feature|unable to find CPU model/i.test(words))
    return new HypervisorError('hypervisor.cpu_unsupported', last, detail);
  return new HypervisorError('hypervisor.qemu_exited', `QEMU does not start: ${last}`, detail);
};

/** The process, its taps and its files. */
export const tearDown = async (vm: Vm): Promise<void> => {
  await endProcess(vm);
  await vm.console.over();
  await vm.files.remove();
};

/** The process and its taps: nothing is left that could run. */
export const endProcess = async (vm: Vm): Promise<void> => {
  const ended = await vm.end();
  if (!ended)
    throw new HypervisorError('hypervisor.not_ready', `QEMU ${vm.record.process?.pid} of ${vm.vmId} does not end`, {
      process: vm.record.process,
    });
  vm.detach();
  for (const nic of (vm.topology as Topology | undefined)?.nics ?? []) await vm.parts.networks.detach(vm.vmId, nic.id);
};
