import type { Amounts, Code, HostFacts, HostState, RoomWanted } from '@chrysalis/contracts';

/** A host as known: the facts on which "does it fit" is decided, whoever asks. It may be stale: the host's own stream decides. */
export type HostView = Readonly<{
  facts: HostFacts;
  state: HostState;
  /** Why its agent is in no session now; absent while it is. Lost is not dead, but nothing can be started there. */
  away?: string | undefined;
  /** Sum of all holds, of VMs and of moves. */
  held: Amounts;
  /** What each VM itself holds here (without its moves). */
  vms: ReadonlyMap<string, Amounts>;
  /** The pools that it has, by their ids, as far as their room is known. */
  pools?: ReadonlyMap<string, PoolView> | undefined;
}>;

/** A pool as known: what may be promised of it in all, and what is. */
export type PoolView = Readonly<{ poolId: string; name: string; capacityMiB: number; heldMiB: number }>;

/** What a VM's hardware asks of the host that carries it. */
export type HardwareRequest = Readonly<{
  cpuModel: string;
  traits: readonly string[];
  networks: readonly string[];
  /** The largest MTU of the segments that span hosts; absent: it is on none. */
  segmentMtu?: number | undefined;
  /** What it boots by; absent: what each host has. */
  firmware?: 'uefi' | undefined;
  pools: readonly string[];
  /** A machine type with its version, where the VM has one already. */
  machine?: string | undefined;
}>;

/** What a consumer asks of a host's ledger. `amounts` are what the VM shall have in the end. */
export type LedgerRequest = Readonly<{
  vmId: string;
  /** A move to the host that the VM is on needs only what the VM does not hold there yet. */
  consumer: 'vm' | 'move';
  amounts: Amounts;
  /** Of its own disks, in pools by the names they have on the host. */
  room?: readonly RoomWanted[] | undefined;
}>;

export type PlacementRequest = HardwareRequest &
  LedgerRequest &
  Readonly<{
    /** Only this host. */
    host?: string | undefined;
    notHost?: string | undefined;
  }>;

/** Those that a host's own stream refuses with. */
export type LedgerCode = StateCode | 'host.amount_unsupported' | 'host.capacity_exceeded';
export type StateCode = 'host.cordoned' | 'host.draining' | 'host.retiring' | 'host.lost';

/** Why a policy refuses: a stable code, words that name the host, what to do, and what was compared. */
export type Objection<C extends Code = Code> = Readonly<{
  code: C;
  message: string;
  remedy: string;
  evidence: Readonly<Record<string, unknown>>;
}>;
export type Reason<C extends Code = Code> = Objection<C> & Readonly<{ policy: string }>;
export type Verdict = Readonly<{ policy: string; ok: true }> | (Reason & Readonly<{ ok: false }>);

/** A policy is data: a name, and its verdict on one host. It says by its type which facts it reads: a host judges itself by fewer. */
export type Policy<H = HostView, R = PlacementRequest, C extends Code = Code> = Readonly<{
  name: string;
  refuses: (host: H, request: R) => Objection<C> | undefined;
}>;

/** `share` is how full the host's fullest resource would be, in millionths. */
export type Candidate = Readonly<{ hostId: string; share: number; free: Amounts }>;
export type Refused = Readonly<{ hostId: string; reasons: readonly [Reason, ...Reason[]] }>;
export type Placement = Readonly<{ candidates: readonly Candidate[]; refused: readonly Refused[] }>;
