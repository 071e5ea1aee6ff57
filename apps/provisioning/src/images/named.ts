import { parseRef, type Image } from '@chrysalis/contracts';
import { imageAt, imageDecider } from '@chrysalis/provisioning-core';
import { fold } from '@chrysalis/kernel';
import { ProblemError, type CommandContext } from '@chrysalis/service-kit';
import { imagesThere, useImage } from '../sql/catalogue.ts';

/**
 * An image that something is to be made of, by `name@version` or by its name, which means the newest. From here until the transaction ends it
 * is not deleted: whoever wants to waits, and then finds what was made.
 */
export const imageNamed = async (text: string, ctx: CommandContext): Promise<Image> => {
  const { name, version } = parseRef(text) ?? { name: text };
  await useImage(ctx.tx, ctx.store.schema, name);
  const events = await ctx.store.read(`image-${name}`, {}, ctx.tx);
  const found = imageAt(fold(imageDecider.evolve, imageDecider.initial, events as never), version);
  if (!found) throw ProblemError.ofMember({ code: 'image.unknown', image: text, known: await imagesThere(ctx.tx, ctx.store.schema, name) });
  return found;
};
