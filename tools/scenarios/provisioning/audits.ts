import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Erased, Finding } from '@chrysalis/contracts';
import { settles, type Claim } from '../claim.ts';
import type { Lab } from './lab.ts';

type Audited = { readonly findings: readonly Finding[]; readonly removed?: readonly { readonly results: readonly Erased[] }[] | null };

const audit = async (lab: Lab, hostId: string, remove: boolean): Promise<Audited> => {
  const { operation, workflowId } = await lab.api.post('/v1/hosts/{id}/audit', { path: { id: hostId }, body: { remove, minAgeMs: 0 } });
  await lab.ended(operation);
  return (await lab.api.get('/v1/workflows/{id}', { path: { id: workflowId } })).output as Audited;
};
const kinds = (found: readonly { readonly kind: string }[]): string[] => found.map((f) => f.kind).sort();

/** Of a host whose disk lost what its agent remembers: a deletion ends well there, as it finds nothing to do. */
export const auditClaims: readonly Claim[] = [
  {
    name: 'an agent that lost its records leaves a deleted VM’s QEMU, tap and disk: an audit names them, removes them when told, and nothing else',
    see: async (lab) => {
      const vm = await lab.running('tiny', 'orphan');
      const { hostId } = vm;
      const agent = lab.run.hosts.agents.find((a) => a.hostId === hostId)!;
      const taps = lab.outside.taps(vm);
      rmSync(path.join(agent.stateDir, 'agent/vms', `${vm.vmId}.json`));
      rmSync(path.join(agent.stateDir, 'qemu/vms', vm.vmId), { recursive: true });
      await agent.kill();
      const missing = await lab.until(
        'an audit that misses it',
        () => audit(lab, hostId!, false),
        (a) => a?.findings?.some((f) => f.verdict === 'missing' && f.id === vm.vmId),
      );
      const deleted = await lab.remove(vm.vmId);
      lab.forget(vm.vmId);
      const strangers = path.join(lab.run.dir, 'shared-pool', 'strangers.qcow2');
      writeFileSync(strangers, 'not ours');
      const of = (found: readonly Finding[]): Finding[] => found.filter((f) => f.of === vm.vmId);
      const listed = await audit(lab, hostId!, false);
      const still = lab.outside.qemusOf(vm.vmId).length;
      const removal = await audit(lab, hostId!, true);
      const again = await audit(lab, hostId!, true);
      const done = (removal.removed ?? []).flatMap((g) => g.results).filter((r) => r.done === 'removed');
      const expected = {
        ...{ missing: true, deleted: 'succeeded', listed: ['disk', 'nic', 'process'], still: 1, removed: ['disk', 'nic', 'process'] },
        ...{ again: [], stranger: 'unknown', left: [] },
      };
      const look = async () => ({
        ...{ missing: missing.findings.length > 0, deleted: deleted.state, listed: kinds(of(listed.findings)), still },
        ...{ removed: kinds(done), again: of(again.findings) },
        stranger: again.findings.find((f) => f.id.endsWith('/strangers.qcow2'))?.verdict,
        left: await lab.leftOf(vm, taps),
      });
      const seen = await settles(expected, look);
      rmSync(strangers);
      return { vm, ...seen };
    },
  },
];
