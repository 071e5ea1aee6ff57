import { accept, reject, type Decider, type Decision } from '@chrysalis/kernel';
import { canonicalJson } from '@chrysalis/kernel';
import {
  type Capability,
  capabilityNames,
  type Characterisation,
  type Coded,
  type EventOf,
  type GuestFacts,
  migrationTemplatesEvents,
} from '@chrysalis/contracts';

export type CapabilityName = Capability['name'];

/** What is assumed of a VM into which nobody may look: nothing. No option that touches the guest follows from it. */
export const failsafe = (vmId: string, at: string): Characterisation => ({
  vmId,
  source: 'failsafe',
  at,
  capabilities: capabilityNames.map((name) => ({ name, state: 'unknown', evidence: 'no agent was authorised to look' })),
});

/** What a migration agent found; a capability it said nothing of is unknown, never present. */
export const fromAgent = (found: Characterisation): Characterisation => {
  const said = new Map(found.capabilities.map((c) => [c.name, c]));
  const unsaid = (name: CapabilityName): Capability => ({ name, state: 'unknown', evidence: 'the agent said nothing of it' });
  return { ...found, capabilities: capabilityNames.map((name) => said.get(name) ?? unsaid(name)) };
};

/** The commands of qemu-ga's `guest-info` that show a capability when they are enabled. */
const qemuGaCommands: Partial<Record<CapabilityName, string>> = {
  'cpu-hotplug': 'guest-set-vcpus',
  'memory-hotplug': 'guest-set-memory-blocks',
  'run-script': 'guest-exec',
};

/** A VM with qemu-ga alone: what its enabled commands show, and no more. */
export const fromQemuGa = (
  vmId: string,
  commands: readonly { name: string; enabled: boolean }[],
  at: string,
  facts?: GuestFacts,
): Characterisation => {
  const enabled = new Set(commands.filter((c) => c.enabled).map((c) => c.name));
  const capability = (name: CapabilityName): Capability => {
    const command = qemuGaCommands[name];
    if (command === undefined) return { name, state: 'unknown', evidence: 'qemu-ga cannot tell' };
    return enabled.has(command)
      ? { name, state: 'present', evidence: `guest-info: ${command} is enabled` }
      : { name, state: 'absent', evidence: `guest-info: ${command} is not enabled` };
  };
  return { vmId, source: 'qemu-ga', at, capabilities: capabilityNames.map(capability), ...(facts ? { facts } : {}) };
};

export const capabilityOf = (c: Characterisation, name: CapabilityName): Capability =>
  c.capabilities.find((x) => x.name === name) ?? { name, state: 'unknown', evidence: 'not characterised' };

// Stream `characterisation-<vmId>`
export type RecordCharacterisation = Readonly<{ vmId: string; characterisation: Characterisation }>;
export type CharacterisationEvent = EventOf<typeof migrationTemplatesEvents.vmCharacterised>;
export type CharacterisationState = Characterisation | undefined;
export type CharacterisationRejection = Coded<{
  readonly code: 'characterisation.foreign_vm';
  readonly vmId: string;
  readonly says: string;
}>;

export const characterisationDecider: Decider<
  RecordCharacterisation,
  CharacterisationState,
  CharacterisationEvent,
  Decision<CharacterisationEvent, CharacterisationRejection>
> = {
  initial: undefined,
  decide: ({ vmId, characterisation }, state) => {
    if (characterisation.vmId !== vmId) return reject({ code: 'characterisation.foreign_vm', vmId, says: characterisation.vmId });
    const next = characterisation.source === 'failsafe' ? characterisation : fromAgent(characterisation);
    if (state && canonicalJson(state) === canonicalJson(next)) return accept();
    return accept({ type: migrationTemplatesEvents.vmCharacterised.type, data: { characterisation: next } });
  },
  evolve: (_, event) => event.data.characterisation,
};
