import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Erased, Trace } from '@chrysalis/contracts';
import { HypervisorError } from '../../errors.ts';
import { assertUnattached } from '../../shape.ts';
import { gone, otherwise, removed, stays } from '../../traces.ts';
import type { Fleet } from '../fleet.ts';
import { kill } from '../process.ts';
import { tapName } from '../segment/names.ts';
import { VmFiles } from '../state.ts';
import type { Networks } from '../tap.ts';
import type { Pool, Volumes } from '../volumes.ts';
import { diskTrace, diskTraces, folderTraces } from './files.ts';
import { inUse, nicTraces, segmentTraces } from './networks.ts';
import { printOf, processTraces, qemusOf } from './processes.ts';

type Parts = {
  readonly stateDir: string;
  readonly pools: Readonly<Record<string, Pool>>;
  readonly fleet: Fleet;
  readonly volumes: Volumes;
  readonly networks: Networks;
};

/** What this host has, found by looking at it and not at what is remembered; and its end, one by one, each looked at once more. */
export class Traces {
  constructor(private readonly parts: Parts) {}

  async all(minAgeMs: number): Promise<Trace[]> {
    const { stateDir, pools, networks } = this.parts;
    return [
      ...processTraces(stateDir, minAgeMs),
      ...(await folderTraces(stateDir, minAgeMs)),
      ...(await this.nics()),
      ...(await diskTraces(pools, minAgeMs)),
      ...segmentTraces(networks.segments.parts().map((p) => p.vni)),
    ];
  }

  /** Nobody makes or ends the VM meanwhile. */
  erase(trace: Trace): Promise<Erased> {
    const { vmId } = trace;
    const end = (): Promise<Erased> => this.ends[trace.kind](trace);
    return vmId === undefined ? end() : this.parts.fleet.gate(vmId, end);
  }

  /** How a kind of trace ends. */
  private readonly ends: Readonly<Record<Trace['kind'], (trace: Trace) => Promise<Erased>>> = {
    process: (trace) => this.process(trace),
    folder: (trace) => this.folder(trace),
    nic: (trace) => this.nic(trace),
    disk: (trace) => this.disk(trace),
    segment: (trace) => this.segment(trace),
  };

  private async process(trace: Trace): Promise<Erased> {
    const there = qemusOf(this.parts.stateDir).find((q) => q.vmId === trace.id && printOf(q.id) === trace.print);
    if (!there) return gone(trace);
    const vm = this.parts.fleet.find(trace.id);
    // Its end is no news then, and a monitor that we hold lets QEMU write out its images.
    if (vm?.record.process?.pid === there.id.pid) await vm.end();
    const ended = (await kill(there.id, 'SIGTERM')) || (await kill(there.id));
    return ended ? removed(trace) : stays(trace, 'its process does not end');
  }

  private async folder(trace: Trace): Promise<Erased> {
    const { stateDir, fleet } = this.parts;
    const [now] = await folderTraces(stateDir, 0, trace.id);
    const other = otherwise(trace, now);
    if (other) return other;
    if (now!.vmId === undefined) return stays(trace, 'it is no folder');
    if (qemusOf(stateDir).some((q) => q.vmId === trace.id)) return stays(trace, 'its QEMU runs');
    const vm = fleet.find(trace.id);
    await (vm ? fleet.destroy(vm) : new VmFiles(stateDir, trace.id).remove());
    return removed(trace);
  }

  private async nic(trace: Trace): Promise<Erased> {
    const { fleet, networks } = this.parts;
    const other = otherwise(
      trace,
      (await this.nics()).find((t) => t.id === trace.id),
    );
    if (other) return other;
    const vm = trace.vmId === undefined ? undefined : fleet.find(trace.vmId);
    if (vm?.alive || inUse(trace.id)) return stays(trace, 'it is in use');
    await networks.segments.sweepTap(trace.id);
    return removed(trace);
  }

  private async disk(trace: Trace): Promise<Erased> {
    const { pools } = this.parts;
    const pool = pools[trace.pool ?? ''];
    const file = trace.id.slice((trace.pool ?? '').length + 1);
    if (!pool || trace.pool === undefined || file.includes('/')) return gone(trace);
    const now = await diskTrace(trace.pool, pool, file, 0);
    const other = otherwise(trace, now);
    if (other) return other;
    const why = await this.heldBack(now!, trace.pool, file);
    if (why !== undefined) return stays(trace, why);
    await rm(join(pool.directory, file), { force: true });
    return removed(trace);
  }

  /** Why a file is to stay. Of a VM's seed and its firmware's variables no lock is asked for: they stay while it could be run here. */
  private async heldBack({ vmId, volumeId, savedState }: Trace, pool: string, file: string): Promise<string | undefined> {
    const { fleet, volumes, stateDir } = this.parts;
    if (vmId === undefined && volumeId === undefined) return 'its name says not whose it is';
    if (savedState) return undefined; // of a move that is over, by its name: none begins again, and its VM needs it nowhere
    if (vmId !== undefined && fleet.find(vmId)) return 'its VM is on this host';
    if (qemusOf(stateDir).some((q) => q.vmId === vmId)) return 'its QEMU runs';
    try {
      assertUnattached(new Map(fleet.list().map((id) => [id, fleet.get(id).topology])), pool, file);
      await volumes.assertUnlocked(pool, file);
      return undefined;
    } catch (error) {
      if (error instanceof HypervisorError) return error.message;
      throw error;
    }
  }

  private async segment(trace: Trace): Promise<Erased> {
    const { segments } = this.parts.networks;
    const other = otherwise(trace, segmentTraces(segments.parts().map((p) => p.vni)).find((t) => t.id === trace.id)); // prettier-ignore
    if (other) return other;
    const why = await segments.sweep(trace.vni!);
    return why === undefined ? removed(trace) : stays(trace, why);
  }

  private nics(): Promise<Trace[]> {
    const { fleet, networks } = this.parts;
    const known = new Map(
      fleet.list().flatMap((vmId) => fleet.get(vmId).topology.nics.map(({ id }) => [tapName(vmId, id), vmId] as const)),
    );
    return nicTraces((tap) => networks.segments.ownerOf(tap) ?? known.get(tap));
  }
}
