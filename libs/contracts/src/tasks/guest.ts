import { z } from 'zod';
import { task } from '../define.ts';
import { Characterisation, Count, ExitCodes, GuestFacts, Name, Positive } from '../shapes.ts';
import { onVm } from './common.ts';

/** Relayed by the host agent to the migration agent in the guest; executor `host:<hostId>` of the host that runs the VM. */
export const guestTasks = {
  characterise: task(
    'agent-gateway',
    'guest.characterise',
    'Detect what the guest can do, with evidence',
    z.object({ ...onVm }),
    z.object({ characterisation: Characterisation }),
  ),
  facts: task('agent-gateway', 'guest.facts', 'Read the facts', z.object({ ...onVm }), z.object({ facts: GuestFacts })),
  onlineCpus: task(
    'agent-gateway',
    'guest.online-cpus',
    'Bring plugged CPUs online; fails unless all of them come',
    z.object({ ...onVm, vcpus: Positive }),
    z.object({ online: Count }),
  ),
  offlineCpus: task(
    'agent-gateway',
    'guest.offline-cpus',
    'Take CPUs offline, the highest first',
    z.object({ ...onVm, vcpus: Positive }),
    z.object({ online: Count }),
  ),
  onlineMemory: task(
    'agent-gateway',
    'guest.online-memory',
    'Bring plugged memory blocks online',
    z.object({ ...onVm, memoryMiB: Positive }),
    z.object({ onlineMiB: Count }),
  ),
  growFileSystem: task(
    'agent-gateway',
    'guest.grow-filesystem',
    'Grow the file system to its disk',
    z.object({ ...onVm, disk: Name }),
    z.object({ beforeBytes: Count, afterBytes: Count }),
  ),
  runScript: task(
    'agent-gateway',
    'guest.run-script',
    'Run a script with limits of time, output and privilege; fails, with what it said, on an exit code that is not fine',
    z.object({
      ...onVm,
      script: z.string().max(65_536),
      timeoutMs: Positive.max(600_000),
      maxOutputBytes: Positive.max(65_536),
      okExitCodes: ExitCodes.optional(),
    }),
    z.object({ exitCode: z.int(), stdout: z.string(), stderr: z.string(), truncated: z.boolean(), ms: z.number() }),
  ),
  verify: task(
    'agent-gateway',
    'guest.verify',
    'Delivered, not requested: the guest has exactly this',
    z.object({
      ...onVm,
      expect: z.object({
        bootId: z.string().optional(),
        vcpus: Positive.optional(),
        memoryMiB: Positive.optional(),
        disks: z.array(z.object({ serial: z.string(), minBytes: Count })).optional(),
        macs: z.array(z.string()).optional(),
      }),
      /** A guest whose agent is gone is let be, and nothing is said of it. */
      ifThere: z.boolean().optional(),
    }),
    z.object({ facts: GuestFacts.optional() }),
  ),
} as const;
