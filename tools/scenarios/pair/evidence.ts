import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { QmpClient } from '@chrysalis/hypervisor';
import type { Pair } from './pair.ts';

const asked = ['query-status', 'query-migrate', 'query-migrate-parameters', 'query-migrate-capabilities', 'query-cpus-fast'] as const;
const registers = { 'command-line': 'info registers -a' };

/** Whatever both ends can be asked, beside their drivers: their second monitor, QEMU's own words, the guest's console. */
export const keepEvidence = async (pair: Pair, vmId: string, into: string, more: unknown): Promise<string> => {
  for (const host of ['a', 'b'] as const) {
    const from = path.join(pair.dir, host, 'vms', vmId);
    const to = path.join(into, vmId, host);
    mkdirSync(to, { recursive: true });
    for (const file of ['vm.json', 'words', 'console.log'])
      if (existsSync(path.join(from, file))) copyFileSync(path.join(from, file), path.join(to, file));
    writeFileSync(path.join(to, 'monitor.json'), JSON.stringify(await answers(path.join(from, 'qmp-spare.sock')), undefined, 2));
  }
  writeFileSync(path.join(into, vmId, 'seen.json'), JSON.stringify(more, undefined, 2));
  return path.join(into, vmId);
};

const answers = async (socket: string): Promise<unknown> => {
  if (!existsSync(socket)) return 'no monitor';
  try {
    const qmp = await QmpClient.connect(socket, { timeoutMs: 3_000 });
    const said: Record<string, unknown> = {};
    for (const command of asked) said[command] = await qmp.execute(command, {}, 3_000).catch(String);
    said['registers'] = await qmp.execute('human-monitor-command', registers, 3_000).catch(String);
    qmp.close();
    return said;
  } catch (error) {
    return String(error);
  }
};
