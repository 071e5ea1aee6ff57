import { guestTasks, hostTasks, literal, migrationTemplatesTasks, provisioningTasks, resourceAllocationTasks } from '@chrysalis/contracts';
import { moveRequest } from '@chrysalis/placement';
import { saves, withState } from '../save-and-restore.ts';
import { shaped, type MoveContext } from './context.ts';
import { onHost, onService, output, param, undoing } from './task-list.ts';
import { deadlines, patience, retries } from './timings.ts';

const section = 'prepare';

/** What the target's preparation waits for, which can be undone and is seen by no guest; and what the first change in a guest waits for. */
export type Gates = Readonly<{ target: readonly string[]; guest: readonly string[] }>;

/** Said by the host; one of an older version says nothing of it. */
const looked = 'tasks["preflight-source"].output';
const agentThere = `${looked} == null || !("agent" in ${looked}) || ${looked}.agent == "there"`;

/** Everything that must be so before anything is touched, all at once. */
export const prepare = (m: MoveContext): Gates => {
  const { input, tasks, moves } = m;
  const { vm, target } = input;
  const gate = [holdTarget(m), beginMove(m)];
  const check = (role: 'source' | 'target', hostId: string): string =>
    tasks.add(hostTasks.preflight, {
      name: `preflight-${role}`,
      summary: `Check the ${role} ${hostId}`,
      section,
      route: onHost(hostId),
      deadlineMs: deadlines.host,
      retry: retries.host,
      input: {
        vmId: vm.vmId,
        epoch: role === 'target' ? m.newEpoch : vm.epoch, // a host that took part in an undone move of this VM is past the VM's own epoch
        role,
        targetSpec: param(role === 'source' && m.restarts ? 'sourceSpec' : 'shownSpec'), // what is hidden asks for no room in this machine
        ...(role === 'source' && input.guest ? { guest: m.needsAgent ? ('needed' as const) : ('wanted' as const) } : {}),
        ...shaped(m, role === 'source' ? 'before' : 'arriving'),
      },
    });
  const checks = [check('source', vm.hostId), ...(moves ? [check('target', target.hostId)] : [])];
  const unblocked = tasks.add(migrationTemplatesTasks.checkBlockers, {
    name: 'check-blockers',
    summary: 'Go on only if no end is blocked',
    section,
    route: onService('migration-templates'),
    input: {
      vmId: vm.vmId,
      ends: checks.map((name) => ({
        role: name === 'preflight-source' ? ('source' as const) : ('target' as const),
        blockers: output(name, 'blockers') as never,
      })),
    },
  });
  // Beside the first steps in the guest: the transfer alone waits for it, as the verification needs the boot id from before.
  if (input.guest && !m.restarts)
    tasks.add(guestTasks.facts, {
      name: 'guest-facts',
      summary: 'Read what the guest has before',
      section,
      route: onHost(vm.hostId),
      after: checks.slice(0, 1), // an agent that is away would be waited for, minute by minute
      when: agentThere,
      ...patience(m),
      input: { vmId: vm.vmId, epoch: vm.epoch },
    });
  return { target: [...gate, ...checks], guest: [...gate, unblocked] };
};

const holdTarget = ({ input, tasks, shape }: MoveContext): string => {
  const { vm, target, moveId, template, copied = [] } = input;
  const consumer = { kind: 'move' as const, id: moveId };
  const from = (pool: string): string | undefined => copied.find((d) => d.pool === pool)?.from;
  const whole = moveRequest(vm.vmId, shape.moved, target.spec, from); // the plan's own question: what fitted there is what is held
  const asked = saves(template.spec) ? withState(whole, shape.moved) : whole;
  return tasks.add(resourceAllocationTasks.place, {
    name: 'hold-target',
    summary: `Hold what ${template.spec.options.targetType.name} takes on ${target.hostId}`,
    section,
    route: onService('resource-allocation'),
    input: {
      consumer,
      vmId: vm.vmId,
      amounts: asked.amounts,
      cpuModel: literal(asked.cpuModel),
      traits: asked.traits.map(literal),
      networks: [...asked.networks],
      ...(asked.segmentMtu === undefined ? {} : { segmentMtu: asked.segmentMtu }),
      ...(asked.firmware ? { firmware: asked.firmware } : {}),
      pools: [...asked.pools],
      machine: literal(shape.moved.machine),
      host: target.hostId,
      room: [...(asked.room ?? [])],
    },
    compensation: undoing(
      resourceAllocationTasks.release,
      { consumer, vmId: vm.vmId, reason: 'the move was undone' },
      onService('resource-allocation'),
      deadlines.service,
    ),
  });
};

const beginMove = ({ input, tasks }: MoveContext): string => {
  const { vm, target, moveId, template } = input;
  return tasks.add(provisioningTasks.beginMove, {
    name: 'begin-move',
    summary: `Lock ${vm.vmId} for this move`,
    section,
    route: onService('provisioning'),
    input: {
      vmId: vm.vmId,
      moveId,
      fromHost: vm.hostId,
      toHost: target.hostId,
      fromType: vm.type,
      toType: template.spec.options.targetType,
      expectedVersion: vm.version,
    },
    compensation: undoing(
      provisioningTasks.endMove,
      { vmId: vm.vmId, moveId, outcome: 'undone' },
      onService('provisioning'),
      deadlines.service,
    ),
  });
};
