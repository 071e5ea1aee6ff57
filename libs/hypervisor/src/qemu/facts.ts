import { hasCode } from '../errors.ts';
import { withToolQemu } from './tool.ts';

type CpuDefinition = { name: string; 'migration-safe'?: boolean; 'unavailable-features'?: string[]; deprecated?: boolean };
type Machine = { name: string; deprecated?: boolean };

export type QemuFacts = {
  readonly version: string;
  readonly cpuModels: string[];
  /** Models this host cannot give, and the features it lacks for each. */
  readonly cpuBlockers: Record<string, string[]>;
  readonly machineTypes: string[];
  readonly mappedRam: boolean;
};

/** The commands work without a machine. Only models and machines that keep their meaning elsewhere are named. */
export const readFacts = (qemu: string, accelerator: 'kvm' | 'tcg'): Promise<QemuFacts> =>
  withToolQemu(qemu, accelerator, async (qmp) => {
    const definitions = await qmp.execute<CpuDefinition[]>('query-cpu-definitions');
    const machines = await qmp.execute<Machine[]>('query-machines');
    const capabilities = await qmp.execute<{ capability: string }[]>('query-migrate-capabilities');
    const safe = definitions.filter(
      (d) => d['migration-safe'] === true && d.name !== 'base' && /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(d.name),
    );
    const blockers = (d: CpuDefinition): string[] => d['unavailable-features'] ?? [];
    return {
      version: qmp.greeting.qemu,
      cpuModels: safe
        .filter((d) => blockers(d).length === 0)
        .map((d) => d.name)
        .sort(),
      cpuBlockers: Object.fromEntries(safe.filter((d) => blockers(d).length > 0).map((d) => [d.name, blockers(d)])),
      machineTypes: machines
        .map((m) => m.name)
        .filter((name) => /^pc-q35-[0-9.]+$/.test(name))
        .sort(),
      mappedRam: capabilities.some((c) => c.capability === 'mapped-ram'),
    };
  });

/** Whether a guest may run here before all of its memory is: QEMU asks the kernel for that (userfaultfd, and the right to it), as a target would. */
export const takesPostCopy = (qemu: string, accelerator: 'kvm' | 'tcg'): Promise<boolean> =>
  withToolQemu(
    qemu,
    accelerator,
    async (qmp) => {
      try {
        await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'postcopy-ram', state: true }] });
        return true;
      } catch (error) {
        if (hasCode(error, 'hypervisor.qmp_refused')) return false;
        throw error;
      }
    },
    ['-incoming', 'defer'],
  );
