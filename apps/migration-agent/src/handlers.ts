import { GUEST_PROTOCOL, type AgentIdentity, type GuestInput } from '@chrysalis/contracts';
import { restoreCgroups } from './commands/cgroup.ts';
import { bringCpusOnline, takeCpusOffline } from './commands/cpus.ts';
import { growFileSystem, type ResizeTool } from './commands/filesystem.ts';
import { bringMemoryOnline } from './commands/memory.ts';
import { runScript, type ScriptRequest } from './commands/run-script.ts';
import { verify } from './commands/verify.ts';
import { childProcess } from './guest/child-process.ts';
import { detect } from './guest/detectors.ts';
import { readFacts } from './guest/facts.ts';
import type { Guest } from './guest/guest.ts';
import type { CommandContext, Handlers } from './channel/server.ts';

/** One line a command. A new one: `guestCommands` in contracts, its function in commands/, its line here. */
export const makeHandlers = (guest: Guest, identity: AgentIdentity, resize: ResizeTool): Handlers => ({
  characterise: async (_: unknown, { vmId }: CommandContext) => {
    const facts = await readFacts(guest);
    const capabilities = await detect(guest, facts.os);
    const at = new Date().toISOString();
    return {
      characterisation: {
        vmId,
        source: 'agent',
        at,
        agentVersion: `${identity.version} (protocol ${GUEST_PROTOCOL.max})`,
        facts,
        capabilities,
      },
    };
  },
  facts: async () => ({ facts: await readFacts(guest) }),
  verify: ({ expect }: GuestInput<'verify'>) => verify(guest, expect),
  'online-cpus': ({ vcpus }: GuestInput<'online-cpus'>) => bringCpusOnline(guest, vcpus),
  'offline-cpus': ({ vcpus }: GuestInput<'offline-cpus'>) => takeCpusOffline(guest, vcpus),
  'online-memory': ({ memoryMiB }: GuestInput<'online-memory'>) => bringMemoryOnline(guest, memoryMiB),
  'grow-filesystem': ({ disk }: GuestInput<'grow-filesystem'>) => growFileSystem(guest, disk, resize),
  'run-script': (request: ScriptRequest, { signal, progress, vmId }: CommandContext) =>
    runScript(guest, request, { signal, progress, env: { CHRYSALIS_VM_ID: vmId } }),
  shutdown: async (_: unknown, { cancelAll }: CommandContext) => {
    cancelAll();
    await restoreCgroups(guest);
    return {};
  },
});

/** resize2fs from the agent's own package, on its own libraries. */
export const packagedResize =
  (packageDir: string): ResizeTool =>
  (device) =>
    new Promise((resolve) => {
      const args = ['--library-path', `${packageDir}/lib`, `${packageDir}/bin/resize2fs`, device];
      childProcess().execFile(`${packageDir}/lib/ld-linux-x86-64.so.2`, args, { timeout: 600_000 }, (error, stdout, stderr) =>
        resolve({ ok: error === null, output: `${stdout}${stderr}` }),
      );
    });
