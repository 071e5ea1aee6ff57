import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Segment } from '@chrysalis/contracts';
import { writeWhole } from '../state.ts';

export type NicRecord = { readonly vmId: string; readonly nic: string; readonly mac: string; readonly segment: Segment };
/** What a host has of a segment: on its disk before anything of it is made, gone after all of it is. */
export type SegmentRecord = {
  readonly v: 1;
  readonly vni: number;
  readonly subnet: string;
  readonly mtu: number;
  /** By the name of its tap. */
  readonly nics: Readonly<Record<string, NicRecord>>;
  /** The other hosts that have a part of it, as the control plane said last. */
  readonly peers: readonly string[];
  readonly peersVersion: number;
};

/** `<state dir>/segments/<vni>.json` */
export class SegmentRecords {
  readonly dir: string;
  readonly #known = new Map<number, SegmentRecord>();

  constructor(stateDir: string) {
    this.dir = join(stateDir, 'segments');
  }

  /** What an earlier life wrote. A file that was torn was never one: those are put there whole. */
  load(): void {
    for (const name of this.#names()) {
      const record = JSON.parse(readFileSync(join(this.dir, name), 'utf8')) as SegmentRecord;
      this.#known.set(record.vni, record);
    }
  }
  #names(): string[] {
    try {
      return readdirSync(this.dir).filter((name) => /^[0-9]+\.json$/.test(name));
    } catch {
      return [];
    }
  }

  all(): SegmentRecord[] {
    return [...this.#known.values()];
  }
  get(vni: number): SegmentRecord | undefined {
    return this.#known.get(vni);
  }
  /** The segment that has this tap. */
  withTap(tap: string): SegmentRecord | undefined {
    return this.all().find((s) => Object.hasOwn(s.nics, tap));
  }

  async keep(record: SegmentRecord): Promise<SegmentRecord> {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    await writeWhole(join(this.dir, `${record.vni}.json`), JSON.stringify(record));
    this.#known.set(record.vni, record);
    return record;
  }

  async forget(vni: number): Promise<void> {
    await rm(join(this.dir, `${vni}.json`), { force: true });
    this.#known.delete(vni);
  }
}
