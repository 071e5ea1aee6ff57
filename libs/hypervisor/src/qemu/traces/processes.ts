import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Id, type Trace } from '@chrysalis/contracts';
import { young } from '../../traces.ts';
import { identify, isAlive, type ProcessId } from '../process.ts';

const PAGE = 4096;
const TICKS = 100;

type Running = { readonly id: ProcessId; readonly argv: readonly string[] };
const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
};

/** Of a program. A process is told by its whole command line: which program it is, and a path in this host's own state directory. */
export const processesOf = (program: (name: string) => boolean): Running[] =>
  readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((pid) => {
      const argv = read(`/proc/${pid}/cmdline`).split('\0');
      const id = program(basename(argv[0] ?? '')) ? identify(Number(pid)) : undefined;
      return id && isAlive(id) ? [{ id, argv }] : [];
    });

export type QemuOf = { readonly vmId: string; readonly id: ProcessId };
/** The QEMUs of a state directory, whether anybody remembers them or not. */
export const qemusOf = (stateDir: string): QemuOf[] => {
  const under = `${join(stateDir, 'vms')}/`;
  return processesOf((name) => name.startsWith('qemu')).flatMap(({ id, argv }) => {
    const file = argv[argv.indexOf('-pidfile') + 1] ?? '';
    const [folder, name, ...more] = file.startsWith(under) ? file.slice(under.length).split('/') : [];
    const vmId = name === 'qemu.pid' && more.length === 0 ? vmOfFolder(folder ?? '') : undefined;
    return vmId === undefined ? [] : [{ id, vmId }];
  });
};

/** The VM of a folder that we made; undefined where a name is none that we give. */
export const vmOfFolder = (name: string): string | undefined => {
  try {
    const id = Id.safeParse(decodeURIComponent(name));
    return id.success && encodeURIComponent(id.data) === name ? id.data : undefined;
  } catch {
    return undefined;
  }
};

/** The dnsmasq of a segment. */
export const dhcpsOf = (pidFile: string): ProcessId[] =>
  processesOf((name) => name === 'dnsmasq').flatMap(({ id, argv }) => (argv.includes(`--pid-file=${pidFile}`) ? [id] : []));

export const printOf = ({ pid, startTime }: ProcessId): string => `${pid}-${startTime}`;
const ageOf = ({ startTime }: ProcessId): number => (Number(read('/proc/uptime').split(' ')[0]) - startTime / TICKS) * 1000;
const memoryOf = ({ pid }: ProcessId): number => Number(read(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * PAGE;

export const processTraces = (stateDir: string, minAgeMs: number): Trace[] =>
  qemusOf(stateDir).map(({ vmId, id }) => ({
    ...({ kind: 'process', id: vmId, vmId, bytes: memoryOf(id), print: printOf(id) } as const),
    ...young(ageOf(id), minAgeMs),
  }));
