import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { locked } from './devices.ts';
import { queryStatus, setCapabilities } from './migration.ts';
import type { MigrationInfo } from './migration-info.ts';
import type { Vm } from './vm.ts';

type Listening = { readonly quiet?: boolean; readonly postCopy?: boolean; readonly streams?: number | undefined };

/** Opens the target's door and says where it is. Port 0: the system chooses a free one. */
export const listen = async (
  qmp: QmpClient,
  host: string,
  { quiet = false, postCopy = false, streams }: Listening = {},
): Promise<string> => {
  await setCapabilities(qmp, true, { postCopy, streams });
  // QEMU, and the guest's own driver, would announce its place with the first instruction.
  if (quiet) await qmp.execute('migrate-set-parameters', { 'announce-rounds': 0 });
  const bracketed = host.includes(':') ? `[${host}]` : host;
  await qmp.execute('migrate-incoming', { uri: `tcp:${bracketed}:0` });
  const info = await qmp.execute<MigrationInfo>('query-migrate');
  const port = info['socket-address']?.[0]?.port;
  if (!port) throw new HypervisorError('hypervisor.migration_failed', 'QEMU does not say where it listens');
  return `tcp:${bracketed}:${port}`;
};

/** By QEMU, and by the guest's driver where it can: RARP, five times within two seconds. */
export const announceSelf = (vm: Pick<Vm, 'qmp'>): Promise<unknown> =>
  vm.qmp.execute('announce-self', { initial: 50, max: 550, rounds: 5, step: 100 });

/** Continues a paused VM and answers with QEMU's own time of it. */
export const continueVm = async (qmp: QmpClient): Promise<number> => {
  const resumed = qmp.waitFor('RESUME', () => true, 10_000);
  try {
    await qmp.execute('cont').catch((error: unknown) => Promise.reject(locked(error)));
    return (await resumed.promise).atUs;
  } finally {
    resumed.cancel();
  }
};

/**
 * The stream is in: `inmigrate` turns to `paused`. A `cont` before that would run the VM at the stream's end, fence or no fence. Asked and not
 * waited for: of a post-copy, whose devices are in and whose memory is not, QEMU says nothing.
 */
const awaitIncoming = async (qmp: QmpClient, deadlineMs: number): Promise<void> => {
  const until = performance.now() + deadlineMs;
  for (;;) {
    const { status: state } = await qmp.execute<{ status: string }>('query-status');
    if (state === 'paused') return;
    if (state !== 'inmigrate') throw new HypervisorError('hypervisor.not_ready', `The target is ${state}`, { state });
    if (performance.now() > until) throw new HypervisorError('hypervisor.not_ready', 'The stream is not in', { state });
    await sleep(3);
  }
};

/**
 * Has the target the whole guest, standing still? False where it runs already. Nothing was told to continue yet, so every failure is
 * `not_ready`: who holds the receipt may then say that the guest did not run here.
 */
export const paused = async (vm: Vm): Promise<boolean> => {
  try {
    const seen = await queryStatus(vm.qmp);
    if (seen?.running) return false;
    // The target has loaded the stream before the source says `completed`: a second is generous.
    if (seen?.status !== 'paused') await awaitIncoming(vm.qmp, 1_000);
    return true;
  } catch (error) {
    if (!(error instanceof HypervisorError) || error.code === 'hypervisor.not_ready') throw error;
    throw new HypervisorError('hypervisor.not_ready', `The target can't be continued: ${error.message}`, error.detail);
  }
};
