import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rest } from '../driver.ts';
import { hasCode, HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { toProgress, type MigrationInfo } from './migration-info.ts';

/**
 * The guest is at the target, and pages of it are here, or the other way round. Of `postcopy-active` a source may still come back, and run on by
 * itself, until it has sent the last of the devices (QEMU 7.2; later ones say `device` so long): the first page that follows them shows it.
 */
const UNDER_WAY = new Set(['postcopy-active', 'postcopy-paused', 'postcopy-recover', 'postcopy-recover-setup']);
const CUT = new Set(['postcopy-paused', 'postcopy-recover', 'postcopy-recover-setup']);
const LOOK_MS = 2_000;

/** Of memory only a source has figures. `begun`: it was told to switch, and does so with its next look at what is left. */
const restIn = (info: MigrationInfo, begun: boolean): Rest => {
  const { status = 'none', ram } = info;
  const progress = { ...toProgress(info), phase: 'post-copy' };
  if (CUT.has(status)) return { is: 'cut', progress };
  if (status === 'completed') return { is: 'whole', progress };
  if (status === 'postcopy-active') return ram && !ram['postcopy-bytes'] ? { is: 'switching' } : { is: 'sending', progress };
  const about = begun && ['active', 'device', 'postcopy-device', 'pre-switchover'].includes(status);
  return { is: about ? 'switching' : 'none' };
};

export const restOf = async (qmp: QmpClient, begun = false): Promise<Rest> =>
  restIn(await qmp.execute<MigrationInfo>('query-migrate', {}, LOOK_MS), begun);

/** The guest is told to go, after which nothing takes it back but QEMU's own failure before it has gone. Resolves when it has, or `ended` says so. */
export const switchOver = async (qmp: QmpClient, ended: () => boolean): Promise<void> => {
  await qmp.execute('migrate-start-postcopy');
  while (!ended()) {
    const { is } = await restOf(qmp, true);
    if (is === 'sending' || is === 'cut') return;
    await sleep(5);
  }
};

/**
 * A guest whose pages are missing may hold up QEMU's main loop, and with it every command that is not carried out beside it. So the port is not
 * asked for but chosen: one that is free now.
 */
export const reopen = async (qmp: QmpClient, host: string): Promise<string> => {
  await qmp.execute('migrate-pause', {}, LOOK_MS, true).catch(refused); // it may not have noticed
  const address = `tcp:${host.includes(':') ? `[${host}]` : host}:${await freePort(host)}`;
  await untilDone(() => qmp.execute('migrate-recover', { uri: address }, LOOK_MS, true));
  return address;
};

export const resend = async (qmp: QmpClient, uri: string): Promise<void> => {
  await qmp.execute('migrate-pause', {}, LOOK_MS, true).catch(refused);
  await untilDone(() => qmp.execute('migrate', { uri, resume: true }));
};

/** What a pause leads to is there a moment later. */
const untilDone = async (work: () => Promise<unknown>): Promise<void> => {
  for (let attempt = 0; ; attempt++) {
    try {
      return void (await work());
    } catch (error) {
      if (attempt >= 20 || !hasCode(error, 'hypervisor.qmp_refused')) throw error;
      await sleep(50);
    }
  }
};

/** What is paused already says so. */
const refused = (error: unknown): void => {
  if (!hasCode(error, 'hypervisor.qmp_refused')) throw error;
};

const freePort = (host: string): Promise<number> =>
  new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, host, () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });

/** Told before a cancel: on its way a guest is not called back, and QEMU 7.2 would let its source run on beside the target. */
export const assertNotUnderWay = async (qmp: QmpClient): Promise<void> => {
  const { status } = await qmp.execute<MigrationInfo>('query-migrate');
  if (status && UNDER_WAY.has(status))
    throw new HypervisorError('hypervisor.not_ready', 'The guest has gone by post-copy: there is no way back', { status });
};

/** QEMU of a source lets it run on where its post-copy fails with the very last of it (7.2): that is undone at once. */
export const keepStanding = (qmp: QmpClient): (() => void) =>
  qmp.on((event) => {
    if (event.event === 'RESUME') void qmp.execute('stop').catch(() => undefined);
  });
