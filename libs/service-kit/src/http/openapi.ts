import type { Type } from '@nestjs/common';
import { z } from 'zod';
import { needsFleet, neededBy, type Needed } from '../access/auth.ts';
import { ownerOf } from '../access/belongings.ts';
import { answerOf, documentedRoutes, Media, type QueryParameter, type Route, type RouteDoc } from './documentation.ts';

type Schemas = Record<string, unknown>;
const problem = { description: 'A problem', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } };

/** The service's part of the OpenAPI 3.1 document. Shapes with an id are components; the others stand where they are. */
export const openApi = (title: string, controllers: readonly Type[]): Record<string, unknown> => {
  const schemas: Schemas = {};
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of documentedRoutes(controllers)) {
    const { doc } = route;
    const needed = neededBy(route.handler);
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map((m) => ({
      name: m[1],
      in: 'path',
      required: true,
      schema: { type: 'string' },
    }));
    const query = Object.entries(doc.query ?? {}).map(([name, parameter]) => ({ name, in: 'query', ...parameterOf(parameter) }));
    (paths[path] ??= {})[route.method.toLowerCase()] = {
      operationId: operationIdOf(route),
      summary: doc.summary,
      parameters: [...parameters, ...query],
      ...(doc.body ? { requestBody: { required: true, content: json(doc.body, schemas) } } : {}),
      responses: { ...responsesOf(doc, schemas), default: problem },
      ...(doc.noDryRun === undefined ? {} : { 'x-no-dry-run': doc.noDryRun }),
      ...(needed === 'public' ? { security: [] } : { security: [{ bearer: [] }], 'x-role': needed, ...whose(route.path, needed!) }),
      ...(doc.passedOn ? { 'x-passed-on': true } : {}),
    };
  }
  return {
    openapi: '3.1.0',
    info: { title, version: '0.1.0' },
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: { ...schemas, Problem: z.toJSONSchema(ProblemSchema, { target: 'draft-2020-12' }) },
    },
  };
};

/** By what is called, not by whose class it is: `GET /v1/vms/{id}` is `get_v1_vms_id`. */
const operationIdOf = ({ method, path }: Route): string => `${method} ${path}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');

const responsesOf = (doc: RouteDoc, schemas: Schemas): Record<string, unknown> => {
  const answer = answerOf(doc);
  const responses: Record<string, unknown> = {};
  // What it would answer, and nothing done; a route that answers 200 anyhow says so in the same answer.
  if (doc.query?.['dryRun'] && answer && !(answer.is instanceof Media)) {
    const { 'application/json': content } = json(answer.is, schemas);
    const dry = {
      allOf: [content.schema, { type: 'object', properties: { dryRun: { type: 'boolean', const: true } }, required: ['dryRun'] }],
    };
    responses['200'] = { description: 'A dry run: what would be answered', content: { 'application/json': { schema: dry } } };
  }
  for (const [status, is] of Object.entries(doc.answers))
    if (typeof is !== 'string') responses[status] = success(is, schemas);
    else responses[status] ??= { description: is, ...(Number(status) >= 400 ? { content: problem.content } : {}) };
  return responses;
};
const success = (is: z.ZodType | Media, schemas: Schemas): object =>
  is instanceof Media
    ? { description: is.description, content: { [is.type]: { schema: is.type.endsWith('+json') ? {} : { type: 'string' } } } }
    : { description: is.description ?? 'The answer', content: json(is, schemas) };

/** `x-owner`: whose the things of this path are; `x-fleet`: only the fleet's administration may. */
const whose = (path: string, needed: Needed): object => ({
  'x-owner': ownerOf(path),
  ...(needsFleet(path, needed) ? { 'x-fleet': true } : {}),
});

const parameterOf = (parameter: QueryParameter): object => {
  if (typeof parameter === 'string') return { description: parameter, schema: { type: 'string', maxLength: 255 } };
  const { $schema: _, description, ...schema } = z.toJSONSchema(parameter, { target: 'draft-2020-12', io: 'input' });
  return { ...(description === undefined ? {} : { description }), schema };
};

/** Beside these a problem has what belongs to its code: `errors`, `faults`, `needs`, what was asked for and what there is. */
const ProblemSchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string().optional(),
  next: z.string().optional(),
  instance: z.string().optional(),
});

/** `input`: an answer may get members, and a reader of today is not to refuse them. */
const json = (schema: z.ZodType, schemas: Schemas): { 'application/json': { schema: unknown } } => {
  const whole = z.toJSONSchema(z.object({ schema }), { target: 'draft-2020-12', unrepresentable: 'any', io: 'input' });
  const { $defs = {}, properties } = JSON.parse(JSON.stringify(whole).replaceAll('"#/$defs/', '"#/components/schemas/')) as {
    $defs?: Record<string, { id?: string }>;
    properties: { schema: unknown };
  };
  for (const [id, { id: _, ...definition }] of Object.entries($defs)) schemas[id] = definition;
  return { 'application/json': { schema: properties.schema } };
};
