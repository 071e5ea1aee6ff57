import { vmDecider, type KnownVm, type VmCommand, type VmEvent, type VmRejection } from '@chrysalis/provisioning-core';
import { failpoint, type MessageContext, type StreamRefusal } from '@chrysalis/service-kit';
import { forgetSighting } from './restart/sql.ts';
import { giveBackMacs } from './sql/addresses.ts';
import { writeVm } from './sql/vms.ts';
import { vmView } from './vm-view.ts';

export type VmDecided =
  | { readonly ok: true; readonly events: readonly VmEvent[]; readonly vm: KnownVm }
  | { readonly ok: false; readonly rejection: VmRejection | StreamRefusal };

/** What was seen last of a VM that nobody has may have come while somebody had it. */
const nextLook = ({ restart, action, move, status }: KnownVm, now: string): string | null =>
  restart.due?.at ?? (status === 'running' && restart.policy !== 'never' && !action && !move ? now : null);

/** The VM's stream decides; the service's own view of it follows in the same transaction. */
export const decideVm = async (ctx: MessageContext, vmId: string, command: VmCommand, ifVersion?: number): Promise<VmDecided> => {
  // What is requested has an id that was made for it: there is nothing to read, and the append sees to it.
  const known = command.type === 'request' ? { state: vmDecider.initial, version: 0, current: true } : undefined;
  const decided = await ctx.decide(vmId, vmDecider, command, { ifVersion, known });
  if (!decided.ok) return decided;
  const { events, state } = decided;
  if (state.status === 'unknown') return { ok: false, rejection: { code: 'vm.unknown', vmId } };
  if (events.length > 0) {
    await failpoint('vm:appended', { vm: vmId, command: command.type });
    await writeVm(ctx.tx, ctx.store.schema, vmView(state), nextLook(state, ctx.now));
    if (state.status === 'deleted') {
      await giveBackMacs(ctx.tx, ctx.store.schema, vmId);
      await forgetSighting(ctx.tx, ctx.store.schema, vmId);
    }
  }
  return { ok: true, events, vm: state };
};
