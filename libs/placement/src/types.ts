import type { Amounts, Code, HostFacts, HostState } from '@chrysalis/contracts';

/** A host as the engine sees it. It may be stale: the host's own stream decides. */
export type HostView = Readonly<{
  facts: HostFacts;
  state: HostState;
  /** Is its agent in a session now? Lost is not dead, but nothing can be started there. */
  connected: boolean;
  /** Sum of all holds, of VMs and of moves. */
  held: Amounts;
  /** What each VM itself holds here (without its moves). */
  vms: ReadonlyMap<string, Amounts>;
}>;

/** What is looked for. `amounts` are what the VM shall have in the end. */
export type PlacementRequest = Readonly<{
  vmId: string;
  /** A move to the host that the VM is on needs only what the VM does not hold there yet. */
  consumer: 'vm' | 'move';
  amounts: Amounts;
  cpuModel: string;
  traits: readonly string[];
  networks: readonly string[];
  pools: readonly string[];
  /** A machine type with its version, where the VM has one already. */
  machine?: string | undefined;
  /** Only this host. */
  host?: string | undefined;
  notHost?: string | undefined;
}>;

/** Why not this host: a stable code, words, and what was compared. */
export type Reason = Readonly<{ policy: string; code: Code; message: string; evidence: Readonly<Record<string, unknown>> }>;
export type Verdict = Readonly<{ policy: string; ok: true }> | (Reason & Readonly<{ ok: false }>);

/** A policy is data: a name, and its verdict on one host. */
export type Policy = Readonly<{ name: string; refuses: (host: HostView, request: PlacementRequest) => Omit<Reason, 'policy'> | undefined }>;

/** `share` is how full the host's fullest resource would be, in millionths. */
export type Candidate = Readonly<{ hostId: string; share: number; free: Amounts }>;
export type Refused = Readonly<{ hostId: string; reasons: readonly [Reason, ...Reason[]] }>;
export type Placement = Readonly<{ candidates: readonly Candidate[]; refused: readonly Refused[] }>;
