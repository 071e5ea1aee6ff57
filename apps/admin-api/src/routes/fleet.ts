import { Controller, Get, Inject, Param, Query as QueryParams, Req } from '@nestjs/common';
import { hostStates, MOST_LABELS, views, type UnknownCode } from '@chrysalis/contracts';
import { z } from 'zod';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { oneAnswer } from '../reads/answer.ts';
import { withObserved } from '../reads/observed.ts';
import { moveOf } from '../reads/moves.ts';
import { ReadModels, unknown, type Document, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { listDoc, oneDoc, oneOf } from './docs.ts';

@Controller()
export class FleetController {
  constructor(@Inject(ReadModels) private readonly reads: ReadModels) {}

  @Get('/v1/vms')
  @Allow('viewer')
  @Doc(
    listDoc('VMs; deleted ones only with `state=deleted` or `state=all`', views.Vm, {
      state: oneOf(views.vmStates, 'Only in this state'),
      host: 'Only on this host',
      type: 'Only of this type',
      name: 'Only of this name',
      label: z
        .string()
        .regex(/^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$/, 'KEY=VALUE, or several with commas between')
        .refine((text) => text.split(',').length <= MOST_LABELS, `at most ${MOST_LABELS} labels`)
        .describe('Only with this label, `team=web`, or with all of several, `team=web,tier=2`'),
    }),
  )
  async vms(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    const page = await this.reads.list(models.vms, query, request.caller);
    const items = (await withObserved(this.reads, page.items)).map(({ seen: _, ...vm }) => vm);
    return { ...page, items };
  }

  @Get('/v1/vms/:id')
  @Allow('viewer')
  @Doc(
    oneDoc(
      'A VM: its state, host, type, hardware, what its host sees it do, and, where someone looked, what is known of its guest',
      views.Vm,
    ),
  )
  async vm(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const [{ seen, ...vm }] = (await withObserved(this.reads, [await this.reads.one(models.vms, id, request.caller)])) as [Observed];
    const known = await this.reads.find(models.characterisations, id, request.caller);
    const { version: looked = 0, createdAt: _created, updatedAt: _updated, ...characterisation } = known ?? {};
    const inMove = vm['move'] as { moveId: string } | undefined;
    const { version: moved, ...move } = inMove ? await moveOf(this.reads, inMove.moveId) : { version: 0 };
    const body = { ...vm, ...(known ? { characterisation } : {}), ...(inMove ? { move: { ...inMove, ...move } } : {}) };
    return oneAnswer(request, vm, body, seen + looked + moved);
  }

  @Get('/v1/hosts')
  @Allow('viewer')
  @Doc(
    listDoc('Hosts: state, whether the agent is there, facts and inventory', views.Host, {
      state: oneOf([...hostStates, 'unregistered'], 'Only in this state'),
    }),
  )
  hosts(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.hosts, query, request.caller);
  }

  @Get('/v1/hosts/:id')
  @Allow('viewer')
  @Doc(oneDoc('A host, with who holds what on it', views.Host))
  async host(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const host = await this.reads.one(models.hosts, id, request.caller);
    const { items } = await this.reads.list(models.allocations, { host: id, limit: '1000' }, request.caller);
    // Two streams: what it is for is decided by its own, whose version is the generation; its agent is the gateway's business.
    const version = Number(host['generation']);
    return oneAnswer(request, { ...host, version }, { ...host, allocations: items }, host.version - version);
  }

  @Get('/v1/allocations')
  @Allow('viewer')
  @Doc(
    listDoc('The ledger: who holds what on which host', views.Allocation, {
      host: 'Only on this host',
      vm: 'Only for this VM',
      state: oneOf(['held', 'released'], 'What is held unless told'),
    }),
  )
  allocations(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.allocations, query, request.caller);
  }

  @Get('/v1/vm-types')
  @Allow('viewer')
  @Doc(listDoc('VM types, each with its newest version', views.VmType))
  async types(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return newest(await this.reads.list(models.vmTypes, query, request.caller));
  }

  @Get('/v1/vm-types/:name')
  @Allow('viewer')
  @Doc(oneDoc('The newest version of a VM type', views.VmType))
  newestType(@Param('name') name: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.type(name, request);
  }

  @Get('/v1/vm-types/:name/:version')
  @Allow('viewer')
  @Doc(oneDoc('A version of a VM type', views.VmType))
  async type(@Param('name') name: string, @Req() request: ApiRequest, @Param('version') version?: string): Promise<Answer> {
    return oneAnswer(request, ...pick(await this.reads.one(models.vmTypes, name, request.caller), 'vm-type.unknown', version));
  }

  @Get('/v1/images')
  @Allow('viewer')
  @Doc(
    listDoc('Images, each with its newest version', views.Image, {
      versions: z
        .enum(['newest', 'all'])
        .describe('Of each the newest version only, or all of them, the newest first; a page has as many names as its limit says'),
    }),
  )
  async images(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    const found = await this.reads.list(models.images, query, request.caller);
    if (query['versions'] === 'all') return every(found);
    const page = newest(found);
    return { ...page, items: page.items.filter((i) => Number(i['latest']) > 0) }; // of the others every version was deleted
  }

  @Get('/v1/grants')
  @Allow('operator')
  @Doc(
    listDoc('Grants: who may add agents to which VMs, until when, and how often that was done', views.Grant, {
      state: oneOf(['active', 'revoked'], 'Only in this state'),
    }),
  )
  grants(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.grants, query, request.caller);
  }
}

type Observed = Awaited<ReturnType<typeof withObserved>>[number];
type Named = Document & { readonly versions: readonly (Document & { version: number })[]; readonly latest: number };

/** A list shows each name with its newest version and the numbers of all. */
export const newest = (page: Page): Page => ({
  ...page,
  items: page.items.map(
    (item) => ({ ...item, ...shown(item as unknown as Named, (item as unknown as Named).latest) }) as (typeof page.items)[number],
  ),
});

/** A list of all versions: those of a name are together, its newest first. */
const every = (page: Page): Page => ({
  ...page,
  items: page.items.flatMap((item) => {
    const named = item as unknown as Named;
    const numbers = named.versions.map((v) => v.version).sort((a, b) => b - a);
    return numbers.map((number) => ({ ...item, ...shown(named, number) }) as (typeof page.items)[number]);
  }),
});

const shown = ({ versions, ...rest }: Named, version: number): (Document & { version: number }) | undefined => {
  const found = versions.find((v) => v.version === version);
  return found && { ...rest, ...found, versions: versions.map((v) => v.version) };
};

/** The row (for its ETag) and the version of it that was asked for. */
export const pick = (row: Awaited<ReturnType<ReadModels['one']>>, code: UnknownCode, version?: string) => {
  const named = row as unknown as Named;
  const found = shown(named, version === undefined ? named.latest : Number(version));
  if (!found)
    throw unknown(
      code,
      version === undefined ? String(named['name']) : `${String(named['name'])}@${version}`,
      named.versions.map((v) => `${String(named['name'])}@${v.version}`),
    );
  return [row, found] as const;
};
