import type { Finding, InputOf, OutputOf, provisioningTasks, Trace } from '@chrysalis/contracts';
import { judgeTrace, type Said } from './judge.ts';

type Looked = InputOf<typeof provisioningTasks.judgeTraces>;
type Report = OutputOf<typeof provisioningTasks.judgeTraces>;
/** What is to be on the host, and for so long that it would be there by now. */
export type Wanted = Readonly<{ vms: readonly string[]; volumes: readonly { readonly volumeId: string; readonly pool: string }[] }>;

/** All that is on the host and not to be, and the other way round. Of an answer that had no room for all, nothing is called missing. */
export const reportOf = (looked: Looked, said: Said, wanted: Wanted): Report => {
  const { hostId, traces } = looked;
  const judged = traces.map((trace) => ({ trace, ...judgeTrace(hostId, trace, said) }));
  const off = judged.filter((j) => j.verdict !== 'expected');
  const orphans = off.filter((j) => j.verdict === 'orphan').map((j) => j.trace);
  const missing = looked.more ? [] : missingOf(looked, wanted);
  return {
    checked: traces.length,
    expected: judged.length - off.length,
    findings: [
      ...missing,
      ...off.map(({ trace, verdict, why }) => ({ ...named(trace), verdict: verdict as Finding['verdict'], why, bytes: trace.bytes })),
    ],
    vms: [...grouped(orphans, ({ vmId, volumeId }) => (volumeId === undefined ? vmId : undefined))].map(([vmId, of]) => ({
      vmId,
      epoch: Math.max(1, said.vms.get(vmId)!.epoch),
      traces: of,
    })),
    others: [...grouped(orphans, ({ vmId, volumeId, vni }) => volumeId ?? (vmId === undefined ? `segment-${vni}` : undefined))].map(
      ([of, left]) => ({ of, traces: left }),
    ),
  };
};

const ownerOf = ({ volumeId, vmId, vni }: Trace): string | undefined => volumeId ?? vmId ?? (vni === undefined ? undefined : `${vni}`);
const named = (trace: Trace): Pick<Finding, 'kind' | 'id' | 'of'> => {
  const of = ownerOf(trace);
  return { kind: trace.kind, id: trace.id, ...(of === undefined ? {} : { of }) };
};

const missingOf = ({ traces, vms, pools }: Looked, wanted: Wanted): Finding[] => {
  const known = new Set(vms);
  const files = new Set(traces.flatMap((t) => t.volumeId ?? []));
  const seen = new Set(pools.map((p) => p.name));
  return [
    ...wanted.vms
      .filter((vmId) => !known.has(vmId))
      .map(
        (vmId) =>
          ({ verdict: 'missing', kind: 'vm', id: vmId, of: vmId, why: 'the agent of its host does not know it', bytes: 0 }) as const,
      ),
    ...wanted.volumes
      .filter(({ volumeId, pool }) => seen.has(pool) && !files.has(volumeId))
      .map(
        ({ volumeId, pool }) =>
          ({
            verdict: 'missing',
            kind: 'disk',
            id: `${pool}/${volumeId}`,
            of: volumeId,
            why: 'its file is not in its pool',
            bytes: 0,
          }) as const,
      ),
  ];
};

const grouped = (traces: readonly Trace[], keyOf: (trace: Trace) => string | undefined): Map<string, Trace[]> => {
  const groups = new Map<string, Trace[]>();
  for (const trace of traces) {
    const key = keyOf(trace);
    if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), trace]);
  }
  return groups;
};
