import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capacity, HostFacts, Name, USUAL_CAPACITY } from '@chrysalis/contracts';
import { z } from 'zod';

/** The configuration file of a host agent; its path is the only argument of main.ts. Times are milliseconds. */
export const HostAgentConfig = z.object({
  hostId: Name,
  /** Where other hosts reach this one: migration streams, disk mirrors and the peer link listen here. */
  address: z.string().min(1).max(255),
  place: HostFacts.shape.place,
  traits: z.array(z.string().max(64)).max(256).default([]),
  /** CPU models this host may offer; absent: every migration-safe one that its hypervisor can give. */
  cpuModels: z.array(z.string().max(64)).max(512).optional(),
  machineTypes: z.array(z.string().max(64)).max(512).optional(),
  inventory: HostFacts.shape.inventory,
  /** Network name -> bridge; `isolated` leads nowhere. */
  networks: z.record(Name, z.string()),
  /** Storage pool name -> directory. A bare path is one that all hosts see; volumes of others go when their VM leaves this host. */
  pools: z.record(
    Name,
    z.union([
      z.string().transform((directory) => ({ directory, shared: true, kind: 'folder' as const })),
      z.object({ directory: z.string(), shared: z.boolean(), kind: z.enum(['folder']).default('folder') }),
    ]),
  ),
  /** How often it looks at the room in its pools. */
  lookAtPoolsEveryMs: z.int().positive().default(10_000),
  /** How often it asks whether images that it has were deleted. */
  lookAtImagesEveryMs: z.int().positive().default(60_000),
  imageStore: z.string(),
  packageStore: z.string(),
  /** Disk images that tasks make or fetch; absent: `images` in the state directory. */
  diskImages: z.string().optional(),
  /** Where other hosts fetch them. */
  imagePort: z.int().min(0).max(65_535).default(0),
  /** Tasks at a time that it bids for. */
  capacity: Capacity.default(USUAL_CAPACITY),
  stateDir: z.string(),
  /** How often it looks at each VM, beside what its hypervisor tells by itself. */
  lookEveryMs: z.int().positive().default(2_000),
  /** `ws://address:port/v1/agents`. */
  gatewayUrl: z.url(),
  token: z.string().min(1).max(4096),
  driver: z.enum(['qemu', 'simulated']),
  /** Where on `address` it says whether a guest answers: for hosts whose guests no network leads to. */
  guestDoorPort: z.int().min(1).max(65_535).optional(),
  accelerator: z.enum(['kvm', 'tcg', 'auto']).default('auto'),
  /** The program that runs the VMs; absent: the `qemu-system-x86_64` that the system has. */
  qemu: z.string().min(1).optional(),
  peerPort: z.int().min(0).max(65_535).default(0),
  reconnect: z.object({ minMs: z.int().positive(), maxMs: z.int().positive() }).default({ minMs: 100, maxMs: 10_000 }),
  /** How long a guest may stand still before its fence is written; then the source takes it back. */
  maxPauseMs: z.int().positive().default(5_000),
  /** A transfer that sends nothing for so long, or whose passes get no smaller, has failed (`hypervisor.migration_stalled`). */
  stallMs: z.int().positive().default(30_000),
  /** How long a target waits for its receipt before it gives the move up and says so. */
  targetPatienceMs: z.int().positive().default(600_000),
});
export type HostAgentConfig = z.infer<typeof HostAgentConfig>;

/** Where each pool's files are. */
export type PoolPlaces = Readonly<Record<string, Readonly<{ directory: string; shared: boolean }>>>;

export const diskImagesOf = ({ diskImages, stateDir }: HostAgentConfig): string => diskImages ?? join(stateDir, 'images');

export const readConfig = (path: string): HostAgentConfig => HostAgentConfig.parse(JSON.parse(readFileSync(path, 'utf8')));
