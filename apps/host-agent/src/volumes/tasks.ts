import { freePort, volumeHostTasks as tasks, type Topology } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import type { EnsureDisk } from '../images/from-depot.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { letGo } from '../let-go.ts';
import { asRunner, handler, notInMove, type Admit, type HandlerContext } from '../tasks/handler-context.ts';
import { delivered, unused } from './in-guest.ts';

/** The format of every volume; its file's name says so too. */
const FORMAT = 'qcow2';

/** One thing at a time with a volume of this host. */
const ofVolume = (h: Handler): Handler => ({ ...h, lane: (input: { volume?: unknown }) => `volume-${String(input.volume)}` });
const anyState = (): void => undefined;
/** The VM is this host's, running or off, and stays so. */
const onVm: Admit = (state, input) => {
  asRunner(state, input);
  notInMove(state!);
};

/** What is so already is done: each of these may come twice, late, and after a crash in its middle. */
export const volumeHandlers = (context: HandlerContext, ensure: EnsureDisk): Handler[] => [...ofFiles(context, ensure), ...ofVms(context)];

const ofFiles = ({ driver }: HandlerContext, ensure: EnsureDisk): Handler[] => [
  ofVolume(
    handler(tasks.createVolume, anyState, async ({ from, ...volume }, run) => {
      if (from?.kind === 'image') await ensure(from.image, run);
      return driver.createVolume({ ...volume, format: FORMAT, signal: run.signal, ...(from ? { from } : {}) });
    }),
  ),
  ofVolume(
    handler(tasks.growVolume, anyState, async ({ pool, volume, sizeMiB }) => {
      await driver.growVolume({ pool, volume, sizeMiB, format: FORMAT });
      return {};
    }),
  ),
  ofVolume(
    handler(tasks.deleteVolume, anyState, async ({ pool, volume }) => {
      await driver.deleteVolume(pool, volume);
      return {};
    }),
  ),
];

const ofVms = (context: HandlerContext): Handler[] => [
  handler(tasks.attachVolume, onVm, async ({ vmId, disk }, run) => {
    const { topology } = await context.driver.status(vmId);
    const port = diskOf(topology, disk.id)?.port ?? freePort(topology);
    if (port === undefined) throw new TaskFailure('hypervisor.no_free_port', `${vmId} has no free root port`);
    const shaped = await context.driver.plug(vmId, { kind: 'disk', ...disk, port });
    const seen = await delivered(context, vmId, { serial: disk.serial, sizeMiB: disk.sizeMiB }, run);
    return { ...shaped, ...(seen ? { seen } : {}) };
  }),
  handler(tasks.detachVolume, onVm, async ({ vmId, disk, force }, run) => {
    const { topology, topologyHash } = await context.driver.status(vmId);
    const there = diskOf(topology, disk);
    if (!there) return { topology, topologyHash };
    if (!force) await unused(context, vmId, there.serial);
    return letGo(context, vmId, { kind: 'disk', id: disk }, run);
  }),
  handler(tasks.growAttachedVolume, onVm, async ({ vmId, disk, sizeMiB }, run) => {
    const shaped = await context.driver.resizeDisk(vmId, disk, sizeMiB);
    const { serial } = diskOf(shaped.topology, disk)!;
    const seen = await delivered(context, vmId, { serial, sizeMiB }, run);
    return { ...shaped, ...(seen ? { seen } : {}) };
  }),
];

const diskOf = ({ disks }: Topology, id: string): Topology['disks'][number] | undefined => disks.find((d) => d.id === id);
