import { z } from 'zod';
import { Pending } from './pending.ts';
import { command, type CommandContract } from './commands.ts';
import { Ipv4 } from './ipv4.ts';
import { kinds } from './kinds/index.ts';
import { NetworkId } from './kinds/network/shapes.ts';
import { RestartPolicy, VmAction, VmActionOptions } from './provisioning.ts';
import { FilterRules } from './segment.ts';
import {
  BootOrder,
  DEFAULT_POOL,
  Id,
  Image,
  isOneLine,
  VmLabelChanges,
  VmLabels,
  Name,
  Positive,
  RefText,
  Version,
  VmTypeSpec,
} from './shapes.ts';
import { Deprecated } from './views/fleet.ts';

/** `small@1`, or `small` for its newest version. */
const RefOrName = z.string().regex(/^[a-z][a-z0-9-]{0,62}(@[1-9][0-9]{0,8})?$/);
const TypeVersion = z.object({ name: Name, version: Version, spec: VmTypeSpec, deprecated: Deprecated.optional() });
const Accepted = z.object({ operation: Id, vmId: Id });
/** Without an operation it is so already. */
const Acted = z.object({ vmId: Id, status: z.string(), operation: Id.optional() });
const Created = Accepted.extend({
  warnings: z
    .array(z.object({ place: z.string(), message: z.string() }))
    .optional()
    .describe('What is no fault, and yet perhaps not meant: another VM of this name'),
});

const Text = z.string().max(65_536);
/**
 * For the guest's cloud-init at its first boot. It may hold secrets: what it says is in the seed alone, and in no event, answer or log.
 * `userData`: a cloud-config. `networkConfig`: of version 2; without it each NIC asks by DHCP.
 */
export const SeedRequest = z.strictObject({
  sshKeys: z
    .array(
      z
        .string()
        .max(8192)
        .regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?$/, 'a public key in one line'),
    )
    .max(32)
    .optional(),
  userData: Text.optional(),
  networkConfig: Text.optional(),
});
export type SeedRequest = z.infer<typeof SeedRequest>;

/** What provisioning is told to do beside a VM's actions, each declared once for its route and for `chrysalis.commands`. */
export const provisioningCommands = {
  publishVmType: command('chrysalis.provisioning.vm-type.publish.v1', 'Publish a VM type; the same spec again is the same version', {
    body: z.strictObject({ name: Name, spec: VmTypeSpec }),
    answer: TypeVersion,
  }),
  deprecateVmType: command(
    'chrysalis.provisioning.vm-type.deprecate.v1',
    'A version takes no new VMs any more; policies may move those there are',
    {
      params: ['name', 'version'],
      body: z.strictObject({ reason: z.string().min(1).max(255), replacement: RefText.optional() }),
      answer: TypeVersion.omit({ spec: true }),
    },
  ),
  registerImage: command('chrysalis.provisioning.image.register.v1', 'Register a version of an image', {
    body: z.strictObject({
      image: Image.extend({ cmdline: Image.shape.cmdline.refine(isOneLine, 'one line, without control characters') }).refine(
        ({ disk, cmdline }) => !disk || cmdline === '',
        { path: ['cmdline'], error: 'a disk brings its own boot loader, and takes none' },
      ),
    }),
    answer: z.object({ image: Image }),
  }),
  deleteImage: command('chrysalis.provisioning.image.delete.v1', 'Delete a version of an image that nothing uses', {
    params: ['name', 'version'],
    body: z.strictObject({}),
    answer: z.object({ name: Name, version: Version }),
  }),
  createVm: command('chrysalis.provisioning.vm.create.v1', 'Ask for a VM', {
    body: z.strictObject({
      name: Name,
      type: RefOrName,
      image: RefOrName,
      host: Name.optional(),
      /** The storage pool its disks are made in. */
      pool: Name.default(DEFAULT_POOL),
      labels: VmLabels.optional(),
      /** What is done where it goes off though it is meant to run; never, unless told. */
      restart: RestartPolicy.optional(),
      /** A disk for its first boot. */
      seed: SeedRequest.optional(),
      /** It has a NIC on each, behind those of its type; without an address it is given one. */
      networks: z
        .array(z.strictObject({ network: NetworkId, address: Ipv4.optional() }))
        .max(4)
        .optional(),
      /** What may come in to it from those; nothing, unless told, but answers to what it asked. */
      allow: FilterRules.optional(),
    }),
    answer: Created,
  }),
  changeVm: command(
    'chrysalis.provisioning.vm.change.v1',
    'Change what a VM is called, its labels, what it boots from at its next start, or what is done where it goes off though it is meant to run',
    {
      params: ['id'],
      body: z
        .strictObject({
          name: Name.optional(),
          labels: VmLabelChanges.optional().describe('those to change; null takes one away, what is not named stays'),
          restart: RestartPolicy.optional(),
          bootOrder: BootOrder.refine((ids) => new Set(ids).size === ids.length, 'each device once')
            .optional()
            .describe('ids of its disks, volumes and NICs; empty: as its image has it. From its next start on'),
        })
        .refine(
          (body) => Object.values(body).some((v) => v !== undefined),
          'name, labels, restart or bootOrder: nothing else changes here',
        ),
      answer: z.object({
        vmId: Id,
        name: Name,
        labels: VmLabels,
        restart: RestartPolicy,
        bootOrder: BootOrder.optional(),
        pending: z.array(Pending).optional().describe('what its next start has, and it does not run on yet'),
        version: z.int(),
      }),
    },
  ),
  setVmFilter: command('chrysalis.provisioning.vm.set-filter.v1', 'Ask that this, and no more, may come in to a VM from its networks', {
    params: ['id'],
    body: z.strictObject({ allow: FilterRules }),
    answer: Acted,
  }),
  attachNic: command('chrysalis.provisioning.vm.attach-nic.v1', 'Ask that a VM, running or off, has a NIC on a network', {
    params: ['id'],
    body: z.strictObject({
      network: NetworkId,
      /** Absent: it is given one. */
      address: Ipv4.optional(),
      /** Of a VM that is on no network yet: what may come in; on others, the rules that it has are this one’s too. */
      allow: FilterRules.optional(),
    }),
    answer: Acted.extend({ address: Ipv4 }),
  }),
  detachNic: command('chrysalis.provisioning.vm.detach-nic.v1', 'Ask that a VM is on a network no more', {
    params: ['id', 'network'],
    body: z.strictObject({}),
    answer: Acted,
  }),
  deleteVm: command('chrysalis.provisioning.vm.delete.v1', 'Ask to delete a VM', {
    params: ['id'],
    body: z.strictObject({
      /** What becomes of attached volumes: they stay, unless told. */
      volumes: z.enum(['keep', 'delete']).optional(),
    }),
    answer: Accepted.extend({
      /** Those that are to go with it, where that is asked for. */
      volumes: z.array(z.object({ volumeId: Id, name: Name, sizeMiB: Positive })).optional(),
    }),
  }),
};

/** What all actions take and answer. */
export const vmActionShape = { body: z.strictObject(VmActionOptions.shape), answer: Acted } as const;
const doing: Readonly<Record<VmAction, string>> = {
  start: 'starts',
  stop: 'stops',
  reboot: 'boots anew',
  reset: 'is reset',
  pause: 'pauses',
  resume: 'goes on',
};
const act = (action: VmAction) =>
  command(`chrysalis.provisioning.vm.${action}.v1`, `Ask that a VM ${doing[action]}; what is so already is answered at once`, {
    params: ['id'],
    fixed: { action },
    ...vmActionShape,
  });
/** Of one route, which names the action in its path. */
export const vmActionCommands = VmAction.options.map(act);

/** By type, of every context that takes any. */
export const commandContracts: ReadonlyMap<string, CommandContract> = new Map(
  [...Object.values(provisioningCommands), ...vmActionCommands, ...kinds.flatMap((k) => k.routes.map((r) => r.command))].map(
    (c): [string, CommandContract] => [c.type, c],
  ),
);
