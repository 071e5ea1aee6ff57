import { z } from 'zod';
import { Count, Id, Name, PoolId, Positive } from './shapes.ts';

/**
 * What a host has of VMs, volumes and networks. `process`: a QEMU. `folder`: its record, sockets, words, console log. `disk`: a file in a pool,
 * of a VM or a volume. `nic`: a tap and its filter. `segment`: bridge, VXLAN and DHCP.
 */
export const traceKinds = ['process', 'folder', 'disk', 'nic', 'segment'] as const;

/**
 * One of these, as a host shows it. Whose it is is said by a mark that nobody else makes: the host's own state directory in a command line or
 * a path, or a name made of an id. Without one it is nobody's that we know.
 */
export const Trace = z.object({
  kind: z.enum(traceKinds),
  /** Names it on its host: `vm-…`, `pool/file`, a tap, a segment's number. */
  id: z.string().min(1).max(400),
  vmId: Id.optional(),
  volumeId: Id.optional(),
  vni: Count.optional(),
  /** A file of a pool that brings the migration agent to guests: its name is made of its content’s digest, and it has that content. */
  agentPackage: z.literal(true).optional(),
  /** A file of what a VM had in memory, for one move: of no use when that has ended, wherever its VM is. */
  savedState: z.literal(true).optional(),
  pool: Name.optional(),
  poolId: PoolId.optional(),
  /** Of a pool that other hosts see too. */
  shared: z.boolean().optional(),
  /** Of the disk or memory of its host. */
  bytes: Count,
  /** This very one: another of its name, or the same after it was written to, has another. */
  print: z.string().max(128),
  /** Why it is to be left alone now, as the host sees it. */
  busy: z.string().max(255).optional(),
});
export type Trace = z.infer<typeof Trace>;

/**
 * `orphan`: ours, and not to be there. `missing`: to be there, and is not. `busy`: something is under way with it, or it is too young to say.
 * `unknown`: no stream of ours ever heard of it, so that it is not ours to remove.
 */
export const traceVerdicts = ['orphan', 'missing', 'busy', 'unknown'] as const;
export const Finding = z.object({
  verdict: z.enum(traceVerdicts),
  kind: z.enum([...traceKinds, 'vm']),
  id: z.string().max(400),
  of: z.string().max(127).optional(),
  why: z.string().max(255),
  bytes: Count,
});
export type Finding = z.infer<typeof Finding>;

/** What was judged to be taken away: of one VM, at the epoch that it has by then or had last. */
export const VmTraces = z.object({ vmId: Id, epoch: Positive, traces: z.array(Trace) });
/** The same of a volume or a segment. */
export const OtherTraces = z.object({ of: Id, traces: z.array(Trace) });

/** `gone`: it was not there any more. `stays`: it is not what was judged any more, or is in use. */
export const Erased = z.object({
  kind: z.enum(traceKinds),
  id: z.string(),
  done: z.enum(['removed', 'gone', 'stays']),
  bytes: Count,
  why: z.string().max(255).optional(),
});
export type Erased = z.infer<typeof Erased>;
