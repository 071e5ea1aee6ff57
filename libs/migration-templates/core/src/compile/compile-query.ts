import { guestTasks, hostTasks, migrationTemplatesTasks, provisioningTasks, type WorkflowDefinition } from '@chrysalis/contracts';
import { failsafe } from '../characterisation.ts';
import type { KnownVm } from '../known.ts';
import { onHost, onService, output, param, taskList, undoing, type TaskList } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

export type QueryInput = Readonly<{
  queryId: string;
  vms: readonly KnownVm[];
  /** The signed grant as it was registered, and the digest of the agent's package that it names. */
  grant: Readonly<{ jws: string; package: string }>;
  at: string;
}>;

const section = 'prepare';

/**
 * Who looks into the guests, and answers: for each VM an agent is added (harmless where one is already), the new hardware recorded,
 * the guest characterised. One VM after the other needs nothing of another: all run side by side. On failure the agents go again.
 */
export const compileQuery = ({
  queryId,
  vms,
  grant,
  at,
}: QueryInput): { definition: WorkflowDefinition; params: Record<string, unknown> } => {
  const d = taskList();
  const topologies = vms.map((vm, i) => [`topology${i + 1}`, vm.topology] as const);
  const known = vms.map((vm, i) => characterise(d, vm, { n: i + 1, of: vms.length }, grant, at));
  d.add(migrationTemplatesTasks.answerOptions, {
    name: 'answer-options',
    summary: 'Work out the options',
    section,
    route: onService('migration-templates'),
    after: known.flat(),
    input: { queryId },
  });
  return {
    definition: {
      name: 'options-query',
      version: 1,
      summary: `Where can ${vms.length} VM${vms.length === 1 ? '' : 's'} go?`,
      params: Object.fromEntries(topologies.map(([name]) => [name, { type: 'object' as const }])),
      tasks: [...d.all],
      deadlineMs: 900_000,
    },
    params: Object.fromEntries(topologies),
  };
};

const characterise = (d: TaskList, vm: KnownVm, { n, of }: { n: number; of: number }, grant: QueryInput['grant'], at: string): string[] => {
  const suffix = of > 1 ? `-${n}` : '';
  const { added, recorded } = addAgent(d, vm, grant, { suffix, topology: `topology${n}` });
  return [recorded, lookInside(d, vm, added, { suffix, at })];
};

type Adding = { readonly suffix: string; /** The param with the VM's topology as it was. */ readonly topology: string };
const addAgent = (d: TaskList, vm: KnownVm, grant: QueryInput['grant'], { suffix, topology }: Adding) => {
  const on = { vmId: vm.vmId, epoch: vm.epoch };
  const route = onHost(vm.hostId);
  const added = d.add(hostTasks.addAgent, {
    name: `add-agent${suffix}`,
    summary: `Add the migration agent to ${vm.vmId}`,
    section,
    route,
    deadlineMs: deadlines.prepare,
    retry: retries.host,
    input: { ...on, grant: grant.jws, package: grant.package },
    compensation: undoing(hostTasks.removeAgent, on, route),
  });
  const recorded = d.add(provisioningTasks.recordTopology, {
    name: `record-agent${suffix}`,
    summary: 'Record the hardware the agent came with',
    section,
    route: onService('provisioning'),
    input: {
      vmId: vm.vmId,
      reason: 'the migration agent was added',
      topology: output(added, 'topology'),
      topologyHash: output(added, 'topologyHash'),
    },
    compensation: undoing(
      provisioningTasks.recordTopology,
      { vmId: vm.vmId, reason: 'the migration agent was removed', topology: param(topology), topologyHash: vm.topologyHash },
      onService('provisioning'),
      deadlines.service,
    ),
  });
  return { added, recorded };
};

const lookInside = (d: TaskList, vm: KnownVm, added: string, { suffix, at }: { suffix: string; at: string }): string => {
  const found = d.add(guestTasks.characterise, {
    name: `characterise${suffix}`,
    summary: `Find out what the guest of ${vm.vmId} can do`,
    section,
    route: onHost(vm.hostId),
    after: [added],
    deadlineMs: deadlines.guest,
    retry: retries.host,
    input: { vmId: vm.vmId, epoch: vm.epoch },
  });
  return d.add(migrationTemplatesTasks.recordCharacterisation, {
    name: `record-findings${suffix}`,
    summary: 'Keep what was found',
    section,
    route: onService('migration-templates'),
    input: { vmId: vm.vmId, characterisation: output(found, 'characterisation') },
    compensation: undoing(
      migrationTemplatesTasks.recordCharacterisation,
      { vmId: vm.vmId, characterisation: failsafe(vm.vmId, at) },
      onService('migration-templates'),
      deadlines.service,
    ),
  });
};
