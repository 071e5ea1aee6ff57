import {
  amountsOf,
  FLEET_TENANT,
  parseRef,
  refText,
  segmentMtuOf,
  type provisioningCommands,
  type Ref,
  type Seed,
} from '@chrysalis/contracts';
import { misfitOf, provisionVm, specAt, vmTypeDecider, type Requested } from '@chrysalis/provisioning-core';
import { fold } from '@chrysalis/kernel';
import { ProblemError, type CommandContext, type MessageContext } from '@chrysalis/service-kit';
import type { z } from 'zod';
import { decideVm } from './decide-vm.ts';
import { imageNamed } from './images/named.ts';
import type { SeedOf } from './seed/seed.ts';
import { joinNetworks } from './networks/join.ts';
import { takeMac } from './sql/addresses.ts';
import { vmTypesThere } from './sql/catalogue.ts';
import { vmsNamed } from './sql/vms.ts';

type CreateVm = z.infer<typeof provisioningCommands.createVm.body>;

/** Puts a seed where the VM's host finds it, and says how it is called there. */
export type KeepSeed = (of: Omit<SeedOf, 'salt'>) => Promise<Seed>;
export type VmWarning = { readonly place: string; readonly message: string };
type CreatedVm = { readonly vmId: string; readonly operation: string; readonly warnings?: readonly VmWarning[] };

const split = (text: string): { name: string; version?: number } => parseRef(text) ?? { name: text };

/** Pins the type's version, makes ids and MACs, and asks for the VM's workflow, all in the caller's transaction. */
export const createVm = async (body: CreateVm, ctx: CommandContext, keep: KeepSeed): Promise<CreatedVm> => {
  const { ref, spec } = await typeOf(body.type, ctx);
  const image = await imageNamed(body.image, ctx);
  assertFits(body, image, ref, spec);
  const vmId = ctx.newId('vm');
  const operation = ctx.newId('op');
  const tenant = tenantOf(ctx);
  const uuid = ctx.newId();
  const nics = await nicsOf(vmId, spec.nics, body, ctx);
  const seed = body.seed && (await keep({ vmId, hostName: body.name, nics, wanted: body.seed }));
  const amounts = amountsOf(spec, image);
  const params = {
    vmId,
    uuid,
    tenant,
    spec,
    amounts,
    image,
    nics,
    networks: [...new Set(spec.nics.map((n) => n.network))],
    pool: body.pool,
    ...segmentMtuOf(nics),
    room: [{ pool: body.pool, sizeMiB: amounts.diskMiB }],
    ...(body.host === undefined ? {} : { host: body.host }),
    ...(seed ? { seed } : {}),
  };
  const request = {
    workflowId: operation,
    definition: provisionVm({
      pinned: body.host !== undefined,
      disk: image.disk !== undefined,
      seed: seed !== undefined,
      segments: nics.some((n) => n.segment),
      uefi: image.disk?.firmware === 'uefi',
    }),
    params,
    subject: vmId,
  };
  const vm: Requested = {
    vmId,
    name: body.name,
    tenant,
    uuid,
    type: ref,
    spec,
    image,
    nics,
    request,
    ...(body.labels ? { labels: body.labels } : {}),
    ...(body.restart ? { restart: body.restart } : {}),
    ...(seed ? { seed } : {}),
  };
  const alike = await vmsNamed(ctx.tx, ctx.store.schema, tenant, body.name);
  const decided = await decideVm(ctx, vmId, { type: 'request', vm });
  if (!decided.ok) throw ProblemError.of(decided.rejection);
  return { vmId, operation, ...(alike.length > 0 ? { warnings: [nameTaken(body.name, alike)] } : {}) };
};

const tenantOf = ({ caller: { tenant } }: CommandContext): string => {
  if (tenant !== FLEET_TENANT) return tenant;
  const message = 'a VM is a tenant’s, and the caller is of none: ask with a token of the tenant';
  throw ProblemError.of({ code: 'vm.tenant_invalid', message });
};

/** With its NICs on networks, which its type knows nothing of. */
const assertFits = ({ networks = [], allow = [], seed }: CreateVm, image: Requested['image'], ref: Ref, spec: Requested['spec']): void => {
  if (allow.length > 0 && networks.length === 0)
    throw ProblemError.of({ code: 'vm.on_no_network', message: 'what may come in is of its networks, and it is asked for on none' });
  const nics = [...spec.nics, ...networks.map(({ network }) => ({ id: network, network }))];
  const misfit = misfitOf(image, ref, { ...spec, nics }, seed !== undefined);
  if (misfit) throw ProblemError.of(misfit);
};

/** A name is a label, and two may have one, as with servers of OpenStack; who then says the name alone is asked which is meant. */
const nameTaken = (name: string, alike: readonly string[]): VmWarning => ({
  place: 'name',
  message: `${alike.slice(0, 5).join(', ')}${alike.length > 5 ? ` and ${alike.length - 5} more` : ''} ${alike.length === 1 ? 'is' : 'are'} called ${name} too: name them by id`,
});

const typeOf = async (text: string, ctx: CommandContext): Promise<{ ref: Ref; spec: Requested['spec'] }> => {
  const { name, version } = split(text);
  const events = await ctx.store.read(`vm-type-${name}`, {}, ctx.tx);
  const type = fold(vmTypeDecider.evolve, vmTypeDecider.initial, events as never);
  const found = specAt(type, version);
  if (!found)
    throw ProblemError.ofMember({ code: 'vm-type.unknown', vmType: text, known: await vmTypesThere(ctx.tx, ctx.store.schema, name) });
  const deprecated = type.deprecated.get(found.ref.version);
  if (deprecated)
    throw ProblemError.of({
      code: 'vm-type.deprecated',
      vmType: refText(found.ref),
      ...deprecated,
      message: `${refText(found.ref)} takes no new VMs: ${deprecated.reason}`,
    });
  return found;
};

/** Those of its type, and behind them one on each network that is asked for. */
const nicsOf = async (
  vm: string,
  ofType: Requested['spec']['nics'],
  { networks = [], allow = [] }: Pick<CreateVm, 'networks' | 'allow'>,
  ctx: CommandContext,
): Promise<Requested['nics']> => {
  let index = 0;
  const mac = (id: string): Promise<string> => macFor(ctx, { vm, id, index: index++ });
  const nics: Requested['nics'] = [];
  for (const { id, network } of ofType) nics.push({ id, mac: await mac(id), network });
  return [...nics, ...(await joinNetworks(ctx, { vmId: vm, wanted: networks, allow, mac }))];
};

export const macFor = async (ctx: Pick<MessageContext, 'tx' | 'store'>, nic: Parameters<typeof takeMac>[2]): Promise<string> => {
  const mac = await takeMac(ctx.tx, ctx.store.schema, nic);
  if (!mac) throw ProblemError.of({ code: 'guest-address.exhausted', message: 'every guest address is taken' });
  return mac;
};
