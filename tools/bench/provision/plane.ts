// The whole control plane as `npm run up` has it, in a process of its own.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import path from 'node:path';
import { startEmbedded } from '../../run/embedded.ts';
import { serveAsChild, type Served } from '../workflow/child.ts';

export type PlaneReady = {
  readonly adminUrl: string;
  readonly agentUrl: string;
  readonly token: string;
  readonly databaseUrl: string;
  readonly version: string;
  readonly postgresPid: number;
};
export type PlaneAsk = { readonly tokensOf: readonly string[] } | { readonly profile: string } | 'rss';

const open = async ({ runDir, agentListen }: Record<string, string>): Promise<Served> => {
  const platform = await startEmbedded({ runDir: runDir!, agentListen: agentListen! });
  const profile = profiler();
  const answer = async (ask: PlaneAsk): Promise<unknown> => {
    if (ask === 'rss') return process.memoryUsage.rss() / 1024 ** 2;
    if ('profile' in ask) return profile(ask.profile);
    return Promise.all(ask.tokensOf.map((host) => platform.tokenFor(`host:${host}`, ['host-agent'], '*')));
  };
  const { adminUrl, agentUrl, token, database } = platform;
  const ready: PlaneReady = {
    ...{ adminUrl, agentUrl, token, databaseUrl: database.url, version: database.version },
    postgresPid: platform.pids()['postgresql']!,
  };
  return { ready, answer, close: () => platform.stop() };
};

/** Where CHRYSALIS_PROFILES names a folder: `begin`, and then the name of the file that has what was used since, for Chrome's DevTools. */
const profiler = (): ((what: string) => Promise<boolean>) => {
  const folder = process.env['CHRYSALIS_PROFILES'];
  if (!folder) return () => Promise.resolve(false);
  const session = new Session();
  session.connect();
  return async (what) => {
    if (what === 'begin') {
      await session.post('Profiler.enable');
      await session.post('Profiler.setSamplingInterval', { interval: 500 });
      await session.post('Profiler.start');
    } else writeFileSync(path.join(folder, `${what}.cpuprofile`), JSON.stringify((await session.post('Profiler.stop')).profile));
    return true;
  };
};

await serveAsChild(open);
