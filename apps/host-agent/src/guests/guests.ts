import type { GuestDisk } from '@chrysalis/hypervisor';
import type { OutputOf, TaskContract, Topology } from '@chrysalis/contracts';

/** `key` is the idempotency id in the guest: what was done under it is answered, not done again. */
export type Relay = {
  readonly vmId: string;
  readonly input: Record<string, unknown>;
  readonly key: string;
  readonly grant: string | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
};

export type AddAgent = { readonly package: string; readonly packageFile: string; readonly grant: string };
export type Added = { readonly topology: Topology; readonly topologyHash: string; readonly agentVersion: string };

/** The guests of this host, spoken to from outside: qemu-ga, and the migration agent where one was added. */
export interface Guests {
  /** Resolves when the guest's own agent answers. */
  waitUntilUp(vmId: string, deadlineMs: number): Promise<void>;
  addAgent(vmId: string, request: AddAgent, deadlineMs: number): Promise<Added>;
  /** Without trace; a guest that has no agent is done. */
  removeAgent(vmId: string, deadlineMs: number): Promise<Omit<Added, 'agentVersion'>>;
  /** Relays a task to the guest's agent; where there is none, what qemu-ga alone can do is done by it. */
  command<C extends TaskContract>(contract: C, relay: Relay): Promise<OutputOf<C>>;
  /** Whether the guest runs here and answers now: its own word, waited for while it runs. */
  answers(vmId: string): Promise<boolean>;
  /** Asks the guest's own agent to shut down or restart it; false where none answers that can. What comes of it is seen from outside. */
  shutDown(vmId: string, mode: 'powerdown' | 'reboot'): Promise<boolean>;
  /** The guest's boot, as its own agent says it; undefined where none answers in a few seconds. */
  bootId(vmId: string): Promise<string | undefined>;
  /** A disk by its serial number, as the guest's own agent says it; undefined where none answers in a few seconds. */
  disk(vmId: string, serial: string): Promise<GuestDisk | undefined>;
  /** The MACs of its NICs, as the guest's own agent says them; undefined where none answers in a few seconds. */
  macs(vmId: string): Promise<readonly string[] | undefined>;
  /**
   * Has the guest's own agent make its NIC of this MAC carry the address beside its own, or no more, where it may do such things; answers
   * whether the guest shows the address then, undefined where nobody in it answers in a few seconds.
   */
  carry(vmId: string, nic: { readonly mac: string; readonly address: string }, carry: boolean): Promise<boolean | undefined>;
  /** Closes the channel: the VM is not here any more. */
  forget(vmId: string): void;
}
