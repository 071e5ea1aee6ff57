import { Controller, Get, HttpCode, Inject, Param, Post, Put, Query, Req } from '@nestjs/common';
import { ImageChunk, ImageFile, ImageFormat, ImageImport, Sha256 } from '@chrysalis/contracts';
import {
  Allow,
  Doc,
  dryAnswer,
  dryRunQuery,
  isDryRun,
  parse,
  parseBody,
  ProblemError,
  type Answer,
  type ApiRequest,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import type { ImageFiles } from '../images/files.ts';
import type { ImageImports } from '../images/imports.ts';

export const IMAGE_FILES = Symbol('image files');
export type Depot = { readonly files: ImageFiles; readonly imports: ImageImports } | undefined;

const Bytes = z.string().regex(/^[1-9][0-9]{0,15}$/);
const wholly = { bytes: Bytes.describe('of the whole file'), format: ImageFormat.describe('named by who gives it, and never guessed') };

/** The content of images that are disks. What is done here may be said again: a piece has its place, and a file is what its digest says. */
@Controller()
export class ImageFilesController {
  constructor(@Inject(IMAGE_FILES) private readonly depot: Depot) {}

  @Get('/v1/image-files/:digest')
  @Allow('viewer')
  @Doc({
    summary: 'How far the file of a disk is: where an upload that broke off goes on',
    query: wholly,
    answers: { 200: ImageFile, 404: '`image-file.unknown`', 409: '`image-file.no_depot`', 422: '`image-file.*`: why it was not taken' },
  })
  async state(@Param('digest') digest: string, @Query() query: Record<string, string>): Promise<ImageFile> {
    const { bytes, format } = parse(z.object(wholly), query);
    const found = await this.#files.state({ digest: digestOf(digest), format, bytes: Number(bytes) });
    if (found) return found;
    throw ProblemError.of({ code: 'image-file.unknown', message: `nothing of ${digest} is here` });
  }

  @Put('/v1/image-files/:digest')
  @Allow('operator')
  @Doc({
    summary: 'A piece of the file of a disk; the last one makes it whole, once its digest is right',
    body: ImageChunk,
    query: dryRunQuery,
    answers: {
      200: ImageFile,
      409: '`image-file.gap` with what has come, `image-file.no_depot`',
      422: '`image-file.*`: why it is not taken',
    },
  })
  async put(@Param('digest') digest: string, @Req() request: ApiRequest): Promise<ImageFile | Answer> {
    const { format, bytes, ...piece } = parseBody(ImageChunk, request.body);
    const dryRun = isDryRun(request);
    const file = await this.#files.put({ digest: digestOf(digest), format, bytes }, piece, dryRun);
    return dryRun ? dryAnswer(file) : file;
  }

  @Post('/v1/image-files')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Take a disk from the folder for imports; asked again while it is copied it tells how far that is',
    body: ImageImport,
    query: dryRunQuery,
    answers: { 200: ImageFile, 409: '`image-file.no_depot`', 422: '`image-file.*`: why it is not taken' },
  })
  async take(@Req() request: ApiRequest): Promise<ImageFile | Answer> {
    const wanted = parseBody(ImageImport, request.body);
    const dryRun = isDryRun(request);
    const file = await this.#some.imports.take(wanted, dryRun);
    return dryRun ? dryAnswer(file) : file;
  }

  get #some(): NonNullable<Depot> {
    if (this.depot) return this.depot;
    throw ProblemError.of({ code: 'image-file.no_depot' });
  }
  get #files(): ImageFiles {
    return this.#some.files;
  }
}

const digestOf = (text: string): string => {
  const read = Sha256.safeParse(text);
  if (read.success) return read.data;
  throw ProblemError.of({ code: 'image-file.unknown', message: 'a file is named by its digest: sha256: and 64 hexadecimal digits' });
};
