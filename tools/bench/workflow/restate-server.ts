import { findPackageJSON } from 'node:module';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../infra/process/free-port.ts';
import { supervise } from '../../../infra/process/supervise.ts';
import { versionOf } from './version.ts';

export type RestateServer = {
  readonly version: string;
  readonly pid: number;
  readonly ingress: string;
  readonly admin: string;
  readonly stop: () => Promise<void>;
};

/** The server with its defaults but for the partitions (its log is synced to disk) on loopback, its data beside PostgreSQL's in the folder for temporary files. */
export const startRestate = async (): Promise<RestateServer> => {
  const binaries = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  const folder = path.dirname(findPackageJSON(binaries, import.meta.url)!);
  const [ingress, admin, fabric] = await Promise.all([freePort(), freePort(), freePort()]);
  const data = mkdtempSync(path.join(tmpdir(), 'chrysalis-restate-'));
  const output: string[] = [];
  const server = await supervise({
    command: path.join(folder, 'bin/restate-server'),
    args: [
      '--base-dir',
      data,
      '--node-name',
      'bench',
      '--listen-mode',
      'tcp',
      '--bind-ip',
      '127.0.0.1',
      '--bind-port',
      String(fabric),
      '--no-logo',
    ],
    signal: 'TERM',
    remove: data,
    cwd: data,
    env: {
      PATH: process.env['PATH'],
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_DEFAULT_NUM_PARTITIONS: '4', // on 2 cores the default of 24 takes twice the CPU and does half the work
      RESTATE_LOG_FILTER: 'warn',
      RESTATE_INGRESS__BIND_PORT: String(ingress),
      RESTATE_ADMIN__BIND_PORT: String(admin),
    },
    onOutput: (text) => void output.splice(0, Math.max(0, output.push(text) - 50)),
  });
  const urls = { ingress: `http://127.0.0.1:${ingress}`, admin: `http://127.0.0.1:${admin}` };
  for (const end = Date.now() + 60_000; ; await sleep(100)) {
    const healthy = await Promise.all([`${urls.admin}/health`, `${urls.ingress}/restate/health`].map(isUp));
    if (healthy.every(Boolean)) return { version: versionOf(binaries), pid: server.pid, ...urls, stop: () => server.stop() };
    if (Date.now() < end) continue;
    await server.stop();
    throw new Error(`Restate did not start:\n${output.join('')}`);
  }
};

const isUp = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
};
