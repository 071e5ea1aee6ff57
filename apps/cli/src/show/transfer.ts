import type { Progress, SseEvent } from '@chrysalis/api-client';
import type { DataOf, migrationTemplatesEvents, workflowEvents } from '@chrysalis/contracts';
import { mib } from './output.ts';

type Started = DataOf<typeof migrationTemplatesEvents.moveStarted>;
type Dispatched = DataOf<typeof workflowEvents.taskDispatched>;
type Seen = Progress & { readonly done: number; readonly shownAt: number };

export const bar = (done: number, total: number, width = 20): string => {
  const filled = total > 0 ? Math.round((Math.min(done, total) / total) * width) : 0;
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
};

/** How long a line stands where each one stays. */
const LINE_MS = 2_000;

/**
 * The transfers of some moves, as telemetry tells them. Samples may be lost, late, or of moves that are not ours; what was sent, and how
 * far it is, never runs backwards within one transfer, though what remains may: the guest writes meanwhile.
 */
export class Transfers {
  readonly #seen = new Map<string, Seen>();
  readonly #ours = new Set<string>();

  /** Which moves are ours, and when one of them is transferred anew. */
  heard({ event, data }: SseEvent): void {
    if (event.includes('.move.started.')) this.#ours.add((data as { data: Started }).data.moveId);
    if (!event.includes('.task.dispatched.')) return;
    const { kind, workflowId } = (data as { data: Dispatched }).data;
    if (kind !== 'host.transfer') return;
    this.#ours.add(workflowId);
    this.#seen.delete(workflowId);
  }

  /** The line of a sample, or nothing where it says nothing new; `due`: so much time has passed that it may have a line to itself. */
  sample(p: Progress, now = Date.now()): { readonly text: string; readonly due: boolean } | undefined {
    if (!this.#ours.has(p.moveId)) return undefined;
    const before = this.#seen.get(p.moveId);
    if (before && p.at <= before.at) return undefined;
    const { bytesTransferred, done } = forward(p, before);
    const due = !before || before.phase !== p.phase || now - before.shownAt >= LINE_MS;
    this.#seen.set(p.moveId, { ...p, bytesTransferred, done, shownAt: due ? now : before.shownAt });
    return { text: lineOf({ ...p, bytesTransferred }, done), due };
  }
}

/** What was sent, and how far it is: no less than it was. */
const forward = (p: Progress, before: Pick<Seen, 'bytesTransferred' | 'done'> = { bytesTransferred: 0, done: 0 }) => {
  const share = p.bytesTotal > 0 ? (p.bytesTotal - p.bytesRemaining) / p.bytesTotal : 0;
  return { bytesTransferred: Math.max(p.bytesTransferred, before.bytesTransferred), done: Math.min(1, Math.max(share, before.done)) };
};

const lineOf = (p: Progress, done: number): string =>
  `${bar(done, 1)} ${p.vmId} ${p.phase}: ${mib(p.bytesTransferred)} transferred, ${mib(p.bytesRemaining)} of ${mib(p.bytesTotal)} remain, ${p.mbps.toFixed(0)} Mbit/s, ${p.dirtyPagesPerSecond} dirty pages/s`;
