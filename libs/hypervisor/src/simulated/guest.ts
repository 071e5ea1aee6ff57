import { memoryMiBOf, vcpusOf } from '@chrysalis/contracts';
import type { GuestFacts } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import type { Clock } from './clock.ts';
import type { SimulatedVm } from './state.ts';

const MiB = 1024 * 1024;
/** What a kernel keeps for itself. */
const KERNEL_MIB = 48;
/** ext4's own share of a disk. */
const USABLE = 0.97;
export const fileSystemBytes = (sizeMiB: number): number => Math.floor(sizeMiB * USABLE) * MiB;

/** The inside of a simulated VM, with the answers that a migration agent would give. What is plugged is not online by itself. */
export class SimulatedGuest {
  private readonly vm: () => SimulatedVm;
  private readonly clock: Clock;
  private readonly changed: (vm: SimulatedVm) => void;
  private readonly machine: { poweroff(): void; reboot(): void };

  constructor(vm: () => SimulatedVm, clock: Clock, changed: (vm: SimulatedVm) => void, machine: { poweroff(): void; reboot(): void }) {
    this.vm = vm;
    this.clock = clock;
    this.changed = changed;
    this.machine = machine;
  }

  private get inside(): { vm: SimulatedVm; guest: NonNullable<SimulatedVm['guest']> } {
    const vm = this.vm();
    if (vm.state !== 'running' || !vm.guest)
      throw new HypervisorError('hypervisor.not_ready', `The guest of ${vm.vmId} does not run`, { state: vm.state });
    return { vm, guest: vm.guest };
  }

  facts(): GuestFacts {
    const { vm, guest } = this.inside;
    const names = vm.topology.disks.map((d, i) => ({ ...d, name: `vd${String.fromCharCode(97 + i)}` }));
    return {
      bootId: guest.bootId,
      uptimeSeconds: (this.clock.now() - guest.bootedAtMs) / 1000,
      os: { id: 'simulated', version: '1', kernel: 'simulated' },
      vcpus: guest.onlineCpus,
      memoryMiB: guest.onlineMiB - KERNEL_MIB,
      disks: names.map((d) => ({ name: d.name, serial: d.serial, bytes: d.sizeMiB * MiB })),
      fileSystems: names
        .filter((d) => guest.fileSystems[d.id] !== undefined)
        .map((d) => ({ mount: `/${d.id}`, disk: d.name, type: 'ext4', bytes: guest.fileSystems[d.id]! })),
      nics: vm.topology.nics.map((n) => n.mac),
    };
  }

  onlineCpus(vcpus: number): number {
    const { vm, guest } = this.inside;
    guest.onlineCpus = Math.max(guest.onlineCpus, Math.min(vcpus, vcpusOf(vm.topology)));
    this.changed(vm);
    return guest.onlineCpus;
  }

  offlineCpus(vcpus: number): number {
    const { vm, guest } = this.inside;
    guest.onlineCpus = Math.max(1, Math.min(guest.onlineCpus, vcpus));
    this.changed(vm);
    return guest.onlineCpus;
  }

  onlineMemory(memoryMiB: number): number {
    const { vm, guest } = this.inside;
    guest.onlineMiB = Math.max(guest.onlineMiB, Math.min(memoryMiB, memoryMiBOf(vm.topology)));
    this.changed(vm);
    return guest.onlineMiB;
  }

  /** As a guest knows it: by its serial number. */
  growFileSystem(disk: string): { beforeBytes: number; afterBytes: number } {
    const { vm, guest } = this.inside;
    const found = vm.topology.disks.find((d) => d.serial === disk);
    const beforeBytes = found && guest.fileSystems[found.id];
    if (!found || beforeBytes === undefined) throw new HypervisorError('hypervisor.device_unknown', `No file system on ${disk}`, { disk });
    const afterBytes = Math.max(beforeBytes, fileSystemBytes(found.sizeMiB));
    guest.fileSystems[found.id] = afterBytes;
    this.changed(vm);
    return { beforeBytes, afterBytes };
  }

  /** Knows `true`, `false`, `exit N`, `echo TEXT`, `mount SERIAL`, `umount SERIAL`, `poweroff` and `reboot`, line by line; any other line succeeds in silence. */
  runScript(script: string): { exitCode: number; stdout: string; stderr: string; truncated: boolean; ms: number } {
    void this.inside;
    let stdout = '';
    let exitCode = 0;
    for (const line of script.split('\n').map((l) => l.trim())) {
      if (line.startsWith('echo ')) stdout += `${line.slice(5)}\n`;
      this.mountBy(line);
      if (line === 'poweroff' || line === 'reboot') {
        this.machine[line]();
        break; // nothing comes after it
      }
      const exit = /^exit ([0-9]{1,3})$/.exec(line);
      if (line === 'false') exitCode = 1;
      if (line === 'true') exitCode = 0;
      if (!exit) continue;
      exitCode = Number(exit[1]);
      break;
    }
    return { exitCode, stdout, stderr: '', truncated: false, ms: 1 };
  }

  private mountBy(line: string): void {
    const [, word, serial] = /^(mount|umount) (\S+)$/.exec(line) ?? [];
    if (serial !== undefined) this.mount(serial, word === 'mount');
  }

  /** Whether its NIC of that MAC carries the address then. What it was told it forgets at its next boot. */
  carry(mac: string, address: string, carry: boolean): boolean {
    const { vm, guest } = this.inside;
    if (!vm.topology.nics.some((n) => n.mac === mac)) return false;
    const before = guest.addresses?.boot === guest.bootId ? guest.addresses.all : [];
    const others = before.filter((a) => a !== address);
    guest.addresses = { boot: guest.bootId, all: carry ? [...others, address] : others };
    this.changed(vm);
    return carry;
  }

  /** False where it ignores who asks. */
  shutDown(mode: 'powerdown' | 'reboot'): boolean {
    if (this.inside.guest.power === 'ignores') return false;
    if (mode === 'reboot') this.machine.reboot();
    else this.machine.poweroff();
    return true;
  }

  /** Something in the guest opens a serial port; a boot later it does not have it open any more. */
  listen(portId: string): void {
    const { vm, guest } = this.inside;
    guest.listening = { ...guest.listening, [portId]: guest.bootId };
    this.changed(vm);
  }

  /** For tests: what had it open ends. */
  hangUp(portId: string): void {
    const { vm, guest } = this.inside;
    const { [portId]: _, ...listening } = guest.listening ?? {};
    guest.listening = listening;
    this.changed(vm);
  }

  /** A file system over the whole disk, as a guest knows it: by its serial number; mounted, or not any more. */
  private mount(serial: string, mounted: boolean): void {
    const { vm, guest } = this.inside;
    const found = vm.topology.disks.find((d) => d.serial === serial);
    if (!found) throw new HypervisorError('hypervisor.device_unknown', `No disk ${serial}`, { serial });
    const { [found.id]: _, ...others } = guest.fileSystems;
    guest.fileSystems = mounted ? { ...others, [found.id]: fileSystemBytes(found.sizeMiB) } : others;
    this.changed(vm);
  }

  /** For tests: how fast the guest writes its memory, and what it answers to an unplug. */
  behave(change: { dirtyMiBps?: number; unplug?: 'agrees' | 'refuses' | 'silent'; power?: 'goes-off' | 'ignores' }): void {
    const { vm, guest } = this.inside;
    Object.assign(guest, change);
    this.changed(vm);
  }
}
