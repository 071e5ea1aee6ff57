import { Controller, Delete, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { parseRef, provisioningCommands, provisioningEvents, VmTypeSpec } from '@chrysalis/contracts';
import { imageDecider, versionOf, vmTypeDecider, type VmTypeRejection } from '@chrysalis/provisioning-core';
import {
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  ProblemError,
  SERVICE,
  type Answer,
  type CommandRequest,
  type StreamRefusal,
  type ServiceContext,
} from '@chrysalis/service-kit';
import type pg from 'pg';
import { z } from 'zod';
import {
  deletingImage,
  forgetImage,
  imagesThere,
  usesOfImage,
  vmTypesThere,
  vmTypeVersions,
  writeDeprecation,
  writeImage,
  writeVmType,
} from '../sql/catalogue.ts';

const { publishVmType, deprecateVmType, registerImage, deleteImage } = provisioningCommands;
/** The spec is checked by the type's own rules, so that all its faults come with one code. */
const PublishVmType = publishVmType.body.extend({ spec: z.unknown() });

@Controller()
export class CatalogueController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/vm-types')
  @Allow('operator')
  @AsMessage(publishVmType)
  @Doc({
    summary: publishVmType.summary,
    body: publishVmType.body,
    query: dryRunQuery,
    answers: {
      201: publishVmType.answer,
      422: '`vm-type.invalid` with every fault',
    },
  })
  publish(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, PublishVmType, async ({ name, spec }, ctx) => {
      const decided = await ctx.decide(`vm-type-${name}`, vmTypeDecider, { type: 'publish', name, spec });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      for (const e of decided.events)
        if (e.type === provisioningEvents.vmTypePublished.type) await writeVmType(ctx.tx, this.service.schema, e.data);
      const parsed = VmTypeSpec.parse(spec);
      const version = versionOf(decided.state, parsed)!;
      return { status: 201, body: { name, version, spec: parsed }, headers: { location: `/v1/vm-types/${name}/${version}` } };
    });
  }

  @Post('/v1/vm-types/:name/:version/deprecate')
  @HttpCode(200)
  @Allow('operator')
  @AsMessage(deprecateVmType)
  @Doc({
    summary: deprecateVmType.summary,
    body: deprecateVmType.body,
    query: dryRunQuery,
    answers: { 200: deprecateVmType.answer, 404: '`vm-type.unknown`', 422: '`vm-type.unknown`, of the replacement' },
  })
  deprecate(@Req() request: CommandRequest, @Param('name') name: string, @Param('version') text: string): Promise<Answer> {
    return this.commands.run(request, deprecateVmType.body, async ({ reason, replacement: wanted }, ctx) => {
      const { schema } = this.service;
      const version = /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : 0;
      const replacement = wanted === undefined ? undefined : parseRef(wanted);
      const known = replacement ? await vmTypeVersions(ctx.tx, schema, replacement.name) : [];
      const replacementKnown = known.some((v) => v.version === replacement?.version);
      const command = { type: 'deprecate' as const, name, version, reason, replacement, replacementKnown };
      const decided = await ctx.decide(`vm-type-${name}`, vmTypeDecider, command);
      if (!decided.ok) throw await this.#refused(ctx.tx, decided.rejection);
      const why = decided.state.deprecated.get(version)!;
      await writeDeprecation(ctx.tx, schema, { name, version }, why);
      return { status: 200, body: { name, version, deprecated: why } };
    });
  }

  @Post('/v1/images')
  @Allow('operator')
  @AsMessage(registerImage)
  @Doc({
    summary: registerImage.summary,
    body: registerImage.body,
    query: dryRunQuery,
    answers: { 201: registerImage.answer, 409: '`image.conflict`' },
  })
  register(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, registerImage.body, async ({ image }, ctx) => {
      const decided = await ctx.decide(`image-${image.name}`, imageDecider, { type: 'register', image });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      for (const e of decided.events)
        if (e.type === provisioningEvents.imageRegistered.type) await writeImage(ctx.tx, this.service.schema, e.data.image);
      return { status: 201, body: { image } };
    });
  }

  @Delete('/v1/images/:name/:version')
  @HttpCode(200)
  @Allow('operator')
  @AsMessage(deleteImage)
  @Doc({
    summary: deleteImage.summary,
    query: dryRunQuery,
    answers: { 200: deleteImage.answer, 404: '`image.unknown`', 409: '`image.in_use`, with who uses it' },
  })
  remove(@Req() request: CommandRequest, @Param('name') name: string, @Param('version') text: string): Promise<Answer> {
    return this.commands.run(request, deleteImage.body, async (_, ctx) => {
      const { schema } = this.service;
      const version = /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : 0;
      await deletingImage(ctx.tx, schema, name);
      const uses = await usesOfImage(ctx.tx, schema, `${name}@${version}`);
      const decided = await ctx.decide(`image-${name}`, imageDecider, { type: 'delete', name, version, uses });
      if (!decided.ok) {
        const { rejection } = decided;
        throw ProblemError.of(
          rejection.code === 'image.unknown' ? { ...rejection, known: await imagesThere(ctx.tx, schema, name) } : rejection,
        );
      }
      if (decided.events.length > 0) await forgetImage(ctx.tx, schema, { name, version });
      return { status: 200, body: { name, version } };
    });
  }

  /** Of the type that the path names, or of the one that is to replace it. */
  async #refused(db: pg.PoolClient, rejection: VmTypeRejection | StreamRefusal): Promise<ProblemError> {
    if (rejection.code !== 'vm-type.unknown') return ProblemError.of(rejection);
    const known = await vmTypesThere(db, this.service.schema, rejection.vmType.split('@')[0]!);
    return rejection.member === undefined ? ProblemError.of({ ...rejection, known }) : ProblemError.ofMember({ ...rejection, known });
  }
}
