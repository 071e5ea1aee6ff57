import { parseRef, type LeftThere } from '@chrysalis/contracts';
import { standingOf, standingOfMove, whoIs, type KnownVm, type LastMove, type Standing } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { hostStanding, type HostStanding } from '../known/hosts.ts';
import { knownVms, vmsNamed, vmsOfType, vmsOnHost, type HeardOf } from '../known/vms.ts';
import { movesAround } from '../sql/moves.ts';
import { reach, type Run } from '../sql/runs.ts';

/** Whom a run is about at this moment, and how each stands to it. `consumer` is as in the ledger. */
export type Subject = Readonly<{ consumer: string; who: string; vmId?: string; name?: string; standing: Standing }>;
export type Scene = Readonly<{ host?: HostStanding; subjects: readonly Subject[] }>;

export const sceneOf = async (run: Run, ctx: MessageContext): Promise<Scene> => {
  const { tx, store } = ctx;
  const { hostId, ofType, vmIds = [] } = run.input;
  if (hostId !== undefined) return onHost(run, hostId, ctx);
  if (ofType !== undefined) {
    const vms = within(run, await vmsOfType(tx, store.schema, parseRef(ofType)!));
    return { subjects: await ofVms(run, vms.map((vm) => vm.vmId), vms, ctx) }; // prettier-ignore
  }
  const left = [...new Set(vmIds)];
  return { subjects: await ofVms(run, left, within(run, await vmsNamed(tx, store.schema, left)), ctx) };
};

/** Who holds there by the ledger, as its events told it, and who runs there: in order, and as many as there are. */
const onHost = async (run: Run, hostId: string, ctx: MessageContext): Promise<Scene> => {
  const { tx, store } = ctx;
  const host = await hostStanding(tx, store.schema, hostId);
  if (!host) return { subjects: [] };
  const holding = (kind: string): string[] => host.consumers.flatMap((c) => (c.startsWith(`${kind}:`) ? [c.slice(kind.length + 1)] : []));
  const vms = await vmsOnHost(tx, store.schema, hostId, holding('vm'));
  const foreign = new Set(vms.filter((vm) => !inReach(run, vm)).map((vm) => vm.vmId));
  const ids = [...new Set([...holding('vm'), ...vms.map((vm) => vm.vmId)])].filter((id) => !foreign.has(id)).sort();
  return { host, subjects: [...(await ofVms(run, ids, within(run, vms), ctx)), ...(await ofMoves(run, holding('move'), ctx))] };
};

const inReach = (run: Run, vm: HeardOf): boolean => reach(run) === undefined || vm.tenant === run.tenant;
const within = (run: Run, vms: readonly HeardOf[]): HeardOf[] => vms.filter((vm) => inReach(run, vm));

const ofVms = async (run: Run, ids: readonly string[], vms: readonly HeardOf[], ctx: MessageContext): Promise<Subject[]> => {
  const { tx, store } = ctx;
  const heard = new Map(vms.map((vm) => [vm.vmId, vm]));
  const booted = new Map<string, KnownVm>((await knownVms(tx, store.schema, ids, reach(run))).map((vm) => [vm.vmId, vm]));
  const holdBy = vms.flatMap((vm) => vm.moveId ?? []);
  const moves = new Map<string, LastMove>();
  for (const m of await movesAround(tx, store.schema, holdBy, ids)) if (moves.get(m.vmId)?.state !== null) moves.set(m.vmId, m);
  return ids.map((vmId) => {
    const vm = heard.get(vmId);
    const seen = {
      vm,
      booted: booted.get(vmId),
      move: moves.get(vmId),
      hostId: run.input.hostId,
      gone: run.results[vmId]?.state === 'succeeded',
    };
    return {
      consumer: `vm:${vmId}`,
      who: whoIs(vm ?? { vmId }),
      vmId,
      ...(vm?.name === undefined ? {} : { name: vm.name }),
      standing: standingOf(vmId, seen),
    };
  });
};

/** Moves that hold on the host: into it, or of a VM in its place. One of another tenant's VM is not this run's to wait for. */
const ofMoves = async (run: Run, moveIds: readonly string[], ctx: MessageContext): Promise<Subject[]> => {
  const { tx, store } = ctx;
  const rows = new Map((await movesAround(tx, store.schema, moveIds, [])).map((m) => [m.moveId, m]));
  const vms = new Map((await vmsNamed(tx, store.schema, [...rows.values()].map((m) => m.vmId))).map((vm) => [vm.vmId, vm])); // prettier-ignore
  return moveIds.flatMap((moveId) => {
    const move = rows.get(moveId);
    const vm = move && vms.get(move.vmId);
    if (vm && !inReach(run, vm)) return [];
    const who = move ? whoIs(vm ?? move) : moveId;
    return [
      {
        consumer: `move:${moveId}`,
        who: `${moveId}${move ? ` of ${who}` : ''}`,
        standing: standingOfMove(moveId, move && { ...move, who }),
      },
    ];
  });
};

/** In words, for whoever looks at what is still there: why the run could not take it away, or what it waited for. */
export const leftThere = (run: Run, subjects: readonly Subject[]): LeftThere[] =>
  subjects.map(({ consumer, who, vmId, standing }) => {
    const result = vmId === undefined ? undefined : run.results[vmId];
    const said = result?.blockers?.map((b) => b.message).join('; ') ?? result?.cause?.message;
    const why = standing.state === 'free' ? (said ?? 'it could go, and nothing moved it') : standing.cause.message;
    return { consumer, who: who.slice(0, 512), why: why.slice(0, 1024) };
  });
