import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isStateFile, isVolumeFile } from '@chrysalis/contracts';

type Kept = {
  readonly sizeMiB: number;
  /** The VM that has it open. */
  readonly holder?: string;
  /** Made for a copy, of which nothing has come yet. */
  readonly blank?: boolean;
  /** Of a saved state: all that is in it. */
  readonly state?: string;
};
/** Pools that one host alone sees. */
type Own = { readonly host: string; readonly pools: readonly string[] };

/**
 * The volumes of simulated pools, by `pool/name`. Those that are resources of their own are files where their pool has a directory, so that
 * hosts that are processes of their own see the same ones.
 */
export class SimulatedVolumes {
  private readonly kept: Map<string, Kept>;
  private readonly directories: Readonly<Record<string, string>>;

  private readonly own: Own;

  constructor(kept: Map<string, Kept>, directories: Readonly<Record<string, string>> = {}, own: Own = { host: '', pools: [] }) {
    this.kept = kept;
    this.directories = directories;
    this.own = own;
  }

  get(pool: string, volume: string): Kept | undefined {
    const file = this.file(pool, volume);
    if (file === undefined) return this.kept.get(this.key(pool, volume));
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Kept) : undefined;
  }

  all(): [pool: string, volume: string][] {
    const files = Object.entries(this.directories).flatMap(([pool, directory]) =>
      (existsSync(directory) ? readdirSync(directory) : [])
        .filter((f) => isVolumeFile(f) || isStateFile(f))
        .map((file): [string, string] => [pool, file]),
    );
    const kept = [...this.kept.keys()].map((key): [string, string] => [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)]);
    const seen = kept.flatMap(([place, volume]): [string, string][] => {
      const [pool = '', host] = place.split('@');
      return host === undefined || host === this.own.host ? [[pool, volume]] : [];
    });
    return [...seen, ...files];
  }

  set(pool: string, volume: string, kept: Kept): void {
    const file = this.file(pool, volume);
    if (file === undefined) return void this.kept.set(this.key(pool, volume), kept);
    mkdirSync(this.directories[pool]!, { recursive: true });
    writeFileSync(`${file}.new-${process.pid}`, JSON.stringify(kept));
    renameSync(`${file}.new-${process.pid}`, file);
  }

  delete(pool: string, volume: string): void {
    const file = this.file(pool, volume);
    if (file === undefined) this.kept.delete(this.key(pool, volume));
    else rmSync(file, { force: true });
  }

  private key(pool: string, volume: string): string {
    return this.own.pools.includes(pool) ? `${pool}@${this.own.host}/${volume}` : `${pool}/${volume}`;
  }

  private file(pool: string, volume: string): string | undefined {
    const directory = this.directories[pool];
    return directory !== undefined && (isVolumeFile(volume) || isStateFile(volume)) ? join(directory, volume) : undefined;
  }
}
