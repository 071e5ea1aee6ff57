import { execFile } from 'node:child_process';
import { createConnection } from 'node:net';
import { QgaClient } from '@chrysalis/hypervisor';
import { addressOf } from '../../fleet/client.ts';
import type { VmView } from '../../fleet/story.ts';
import type { Lab } from './lab.ts';

const PORT = 8080;
const DOOR = `mkdir -p /tmp/www/cgi-bin
cat > /tmp/www/cgi-bin/run <<'X'
#!/bin/sh
printf '\\r\\n'
exec sh 2>&1
X
chmod +x /tmp/www/cgi-bin/run
httpd -p ${PORT} -h /tmp/www`;
const ASK = `let text = '';
process.stdin.on('data', (d) => (text += d)).on('end', async () => {
  const answer = await fetch(process.argv[1], { method: 'POST', body: text, signal: AbortSignal.timeout(Number(process.argv[2])) });
  process.stdout.write(await answer.text());
});`;

export type Shell = (script: string, timeoutMs?: number) => Promise<string>;
type Ground = Pick<Lab, 'run'> & { readonly outside: Pick<Lab['outside'], 'processes'> };

/**
 * A shell in the small guest, by its network `front`, wherever it runs. It is put there through the guest's agent, once: whose port the host
 * agent holds, so that one ends as by kill -9, and is back a moment later.
 */
export const openShell = async (lab: Ground, vm: VmView): Promise<Shell> => {
  const [path] = lab.outside.processes(vm).flatMap((q) => q.argv.flatMap((a) => /id=char-qga,path=([^,]+),/.exec(a)?.[1] ?? []));
  const socket = createConnection(path!);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  await lab.run.hosts.agents.find((a) => a.hostId === vm.hostId)!.kill();
  const qga = new QgaClient(socket);
  try {
    await qga.sync(20_000);
    await qga.exec('/bin/sh', ['-c', DOOR]);
  } finally {
    qga.close();
    socket.destroy();
  }
  const url = `http://${addressOf(vm.topology)}:${PORT}/cgi-bin/run`;
  return (script, timeoutMs = 30_000) => {
    const [command, ...args] = lab.run.fabric.client.inside([process.execPath, '-e', ASK, url, String(timeoutMs)]);
    return new Promise((resolve, reject) => {
      const child = execFile(command!, args, (error, stdout, stderr) =>
        error ? reject(new Error(`in ${vm.vmId}: ${stderr.slice(-500)}`)) : resolve(stdout.trim()),
      );
      child.stdin!.end(script);
    });
  };
};
