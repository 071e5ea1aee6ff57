import { FLEET_TENANT, type Image, type volumeCommands, type VolumeSource } from '@chrysalis/contracts';
import type { volumes } from '@chrysalis/provisioning-core';
import { ProblemError, reachOf, type CommandContext } from '@chrysalis/service-kit';
import type { z } from 'zod';
import { imageNamed } from '../images/named.ts';
import { decideVolume } from './decide-volume.ts';
import { creation } from './requests.ts';
import { volumeOf } from './sql.ts';

type Body = z.infer<typeof volumeCommands.createVolume.body>;
type Source = { readonly of: Image | volumes.KnownVolume; readonly sizeMiB: number; readonly said: VolumeSource };

/** The volume, and of one that is a copy of another that nobody writes to the other meanwhile: in one transaction. */
export const createVolume = async ({ host, from, ...body }: Body, ctx: CommandContext): Promise<volumes.KnownVolume> => {
  const { tenant } = ctx.caller;
  if (tenant === FLEET_TENANT)
    throw ProblemError.of({
      code: 'volume.tenant_invalid',
      message: 'a volume is a tenant’s, and the caller is of none: ask with a token of the tenant',
    });
  const source = await sourceOf(from, ctx);
  const sizeMiB = sizeFor(body.sizeMiB, source);
  const [volumeId, workflowId] = [ctx.newId('volume'), ctx.newId('op')];
  const { name, pool } = body;
  const request = creation({ volumeId, sizeMiB, pool, host }, source?.of, workflowId);
  const volume = { volumeId, tenant, name, pool, sizeMiB, ...(source ? { from: source.said } : {}), request };
  const decided = await decideVolume(ctx, volumeId, { type: 'request', volume });
  if (!decided.ok) throw ProblemError.of(decided.rejection);
  if (source?.said.kind === 'volume') await beginCopy(ctx, source.said.volumeId, { to: volumeId, sizeMiB, workflowId });
  return decided.volume;
};

const sourceOf = async (from: Body['from'], ctx: CommandContext): Promise<Source | undefined> => {
  if (!from) return undefined;
  return 'image' in from ? ofImage(from.image, ctx) : ofVolume(from.volume, ctx);
};

const sizeFor = (wanted: number | undefined, source: Source | undefined): number => {
  const sizeMiB = wanted ?? source?.sizeMiB;
  if (sizeMiB === undefined) throw ProblemError.of({ code: 'volume.size_missing' });
  if (source && sizeMiB < source.sizeMiB)
    throw ProblemError.of({ code: 'volume.source_larger', sourceMiB: source.sizeMiB, requestedMiB: sizeMiB });
  return sizeMiB;
};

const beginCopy = async (
  ctx: CommandContext,
  volumeId: string,
  copy: { to: string; sizeMiB: number; workflowId: string },
): Promise<void> => {
  const copying = await decideVolume(ctx, volumeId, { type: 'begin-copy', volumeId, ...copy });
  if (!copying.ok) throw ProblemError.of(copying.rejection);
};

const ofImage = async (text: string, ctx: CommandContext): Promise<Source> => {
  const image = await imageNamed(text, ctx);
  if (!image.disk) throw ProblemError.of({ code: 'image.no_disk', image: text });
  return { of: image, sizeMiB: image.disk.sizeMiB, said: { kind: 'image', image } };
};

const ofVolume = async (volumeId: string, ctx: CommandContext): Promise<Source> => {
  const volume = await volumeOf(ctx.tx, ctx.store.schema, reachOf(ctx.caller), volumeId);
  if (!volume || volume.status === 'deleted') throw ProblemError.ofMember({ code: 'volume.unknown', volumeId });
  return { of: volume, sizeMiB: volume.sizeMiB, said: { kind: 'volume', volumeId } };
};
