import type { SegmentPart } from '@chrysalis/contracts';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import { signal } from '../delivery/wire.ts';
import { currentSessions } from '../sql/agent-sessions.ts';
import type { Connection } from '../sessions/connection.ts';
import { lockSegments, partsOf, riseVersions, wordsOf, writeParts } from './sql.ts';

type Talks = Pick<Connection, 'id' | 'hostId' | 'ended' | 'send'>;
type Here = {
  readonly connection: Talks;
  readonly address: string;
  parts: readonly SegmentPart[];
  /** The segments that were written of it last, over this connection. */
  written: string | undefined;
};
const keyOf = (parts: readonly SegmentPart[]): string => [...parts.map((p) => p.vni)].sort((a, b) => a - b).join();

/**
 * Who has a part of which segment. Hosts say what they have, and are told who else has a part: at once when that changes, and again for as
 * long as they do not show that they have heard. An agent that does not speak of segments is told nothing.
 */
export class Segments {
  readonly #here = new Map<string, Here>();
  #flushing: Promise<void> | undefined;

  constructor(private readonly service: ServiceContext) {}

  /** `address`: of a hello. */
  heard(connection: Talks, parts: readonly SegmentPart[] | undefined, address?: string): void {
    if (connection.hostId === undefined || connection.ended || !parts) return;
    const known = this.#here.get(connection.id);
    if (known) known.parts = parts;
    else if (address !== undefined) this.#here.set(connection.id, { connection, address, parts, written: undefined });
    if (this.#unwritten().length > 0) void this.flush();
  }

  left({ id }: Pick<Connection, 'id'>): void {
    this.#here.delete(id);
  }

  #unwritten(): Here[] {
    return [...this.#here.values()].filter((h) => !h.connection.ended && h.written !== keyOf(h.parts));
  }

  /** One at a time; what comes meanwhile goes into the next. */
  flush(): Promise<void> {
    return (this.#flushing ??= this.#flush()
      .catch((err: unknown) => this.service.log.error({ err }, 'who has a part of a segment was not written; it comes again'))
      .finally(() => (this.#flushing = undefined)));
  }

  async #flush(): Promise<void> {
    for (let [one] = this.#unwritten(); one; [one] = this.#unwritten()) {
      const { parts } = one;
      const changed = await this.#write(one, parts.map((p) => p.vni)); // prettier-ignore
      one.written = keyOf(parts);
      if (changed.length > 0) await this.tell(changed);
    }
  }

  /** Of a host whose session is another connection's by now nothing is written; that one says it itself. */
  #write({ connection, address }: Here, vnis: readonly number[]): Promise<number[]> {
    const hostId = connection.hostId!;
    return this.service.store.transaction(
      async (tx) => {
        await lockSegments(tx, hostId, vnis);
        if (!(await currentSessions(tx, [connection.id])).has(connection.id)) return [];
        const before = await partsOf(tx, hostId);
        const changed = [...vnis.filter((vni) => before.get(vni) !== address), ...[...before.keys()].filter((vni) => !vnis.includes(vni))];
        if (changed.length === 0) return [];
        await failpoint('gateway:segments:before', { hostId });
        await writeParts(tx, hostId, address, vnis);
        await riseVersions(tx, changed);
        await signal(this.service.pool, { to: 'segments', vnis: changed });
        return changed;
      },
      { attempts: 5 },
    );
  }

  /** Those hosts that are connected here. */
  async tell(vnis: readonly number[]): Promise<void> {
    const here = [...this.#here.values()].filter((h) => !h.connection.ended && h.parts.some((p) => vnis.includes(p.vni)));
    if (here.length === 0) return;
    for (const word of await wordsOf(this.service.pool, vnis))
      for (const { connection, parts } of here)
        if (parts.some((p) => p.vni === word.vni && p.peersVersion < word.version)) connection.send({ type: 'segment-peers', ...word });
  }

  /** Who did not show that it has heard is told again: a signal or a frame may be lost. */
  async again(): Promise<void> {
    await this.flush();
    await this.tell([...new Set([...this.#here.values()].flatMap((h) => h.parts.map((p) => p.vni)))]);
  }
}
