import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@chrysalis/api-client';
import type { ServiceName } from '../run/platform.ts';
import type { Run } from '../fleet/run.ts';
import { bar, mib, type Screen } from '../fleet/screen.ts';
import { hasEnded, type MigrationView } from '../fleet/story.ts';

const MOVE_DEADLINE_MS = 180_000;
/** Steps and migration come by different streams: after the end the read models get so long to show the last step. */
const SETTLE_MS = 15_000;
const UNDER_WAY = ['running', 'dispatched', 'retrying', 'compensating'];
export type Watch = {
  readonly run: Run;
  readonly api: Client;
  readonly screen: Screen;
  /** Gets SIGKILL once the move is under way. */
  readonly kill: ServiceName | undefined;
};

/** `killedAt`: when the SIGKILL was sent, in ms since 1970. */
export type Watched = { readonly migration: MigrationView; readonly killedAt?: number };

/** Until the migration is in a final state; shows phase, bytes remaining and dirty rate. */
export const watch = async ({ run, api, screen, kill }: Watch, migrationId: string): Promise<Watched> => {
  const abort = new AbortController();
  void showProgress(api, screen, abort.signal);
  let killedAt: number | undefined;
  let shown = '';
  let endedAt: number | undefined;
  try {
    for (const end = Date.now() + MOVE_DEADLINE_MS; Date.now() < end; await sleep(50)) {
      const view = await api.get('/v1/migrations/{id}', { path: { id: migrationId } });
      const steps = view.moves[0]?.steps ?? [];
      const done = steps.filter((s) => s.state === 'done' || s.state === 'succeeded');
      const text = stepsText(steps, done.length);
      if (text !== shown) screen.live((shown = text));
      if (kill && !killedAt && done.some((s) => s.section === 'pre-migration')) {
        killedAt = Date.now();
        screen.line(`SIGKILL to ${kill}`);
        await run.platform.kill!(kill);
      }
      if (!hasEnded(view)) continue;
      endedAt ??= Date.now();
      if (isSettled(view) || Date.now() > endedAt + SETTLE_MS) return { migration: view, ...sent(killedAt) };
    }
  } finally {
    abort.abort();
    screen.settle();
  }
  throw new Error(`migration ${migrationId} had no final state after ${MOVE_DEADLINE_MS / 1000} s`);
};

const sent = (killedAt: number | undefined): { readonly killedAt?: number } => (killedAt ? { killedAt } : {});

/** Empty before there are any. */
const stepsText = (steps: readonly { readonly name: string; readonly state: string }[], done: number): string => {
  if (steps.length === 0) return '';
  const now = steps.filter((s) => UNDER_WAY.includes(s.state)).map((s) => s.name);
  return `${bar(done, steps.length)} ${done}/${steps.length}  ${now.join(', ')}`;
};

const isSettled = ({ state, moves }: MigrationView): boolean => {
  const atRest =
    state === 'succeeded' ? (s: string) => ['done', 'succeeded', 'skipped'].includes(s) : (s: string) => !UNDER_WAY.includes(s);
  return moves.every((move) => move.steps.every((step) => atRest(step.state)));
};

const showProgress = async (api: Client, screen: Screen, signal: AbortSignal): Promise<void> => {
  try {
    for await (const p of api.progress({ signal }))
      screen.live(
        `${p.phase}: ${mib(p.bytesRemaining)} of ${mib(p.bytesTotal)} remain, ${p.mbps.toFixed(0)} Mbit/s, ${p.dirtyPagesPerSecond} dirty pages/s`,
      );
  } catch {
    // telemetry may be lost; the migration's state is asked for apart from it
  }
};
