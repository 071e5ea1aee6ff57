import { RequestMethod, SetMetadata, type Type } from '@nestjs/common';
import { z } from 'zod';
import { needsFleet, neededBy, type Guarded, type Needed } from './auth.ts';
import { ownerOf } from './belongings.ts';

export type RouteDoc = {
  readonly summary: string;
  readonly body?: z.ZodType;
  readonly answers: Readonly<Record<number, z.ZodType | string>>;
  /** What the query may have, and nothing else. */
  readonly query?: Readonly<Record<string, QueryParameter>>;
  /** Of a route that changes something and has no `dryRunQuery`: why it cannot be tried. */
  readonly noDryRun?: string;
  /** Passed to an owner as it came: what the query may have is that one's to say. */
  readonly passedOn?: true;
};
/** A schema of the text, with a description; or a description alone, for any text. */
export type QueryParameter = string | z.ZodType<string, string>;
const DOC = 'chrysalis:doc';
/** What a route does, takes and answers, for the OpenAPI document. */
export const Doc = (doc: RouteDoc): MethodDecorator => SetMetadata(DOC, doc);
export const docOf = (handler: object): RouteDoc | undefined => Reflect.getMetadata(DOC, handler) as RouteDoc | undefined;

type Route = { readonly method: string; readonly path: string; readonly handler: object; readonly name: string };

export const routesOf = (controllers: readonly Type[]): Route[] =>
  controllers.flatMap((controller) => {
    const prefix = [Reflect.getMetadata('path', controller) as string | string[] | undefined].flat()[0] ?? '';
    const prototype = controller.prototype as Record<string, object>;
    return Object.getOwnPropertyNames(prototype).flatMap((name) => {
      const handler = prototype[name];
      if (typeof handler !== 'function' || name === 'constructor') return [];
      const path = Reflect.getMetadata('path', handler) as string | string[] | undefined;
      if (path === undefined) return [];
      const method = RequestMethod[Reflect.getMetadata('method', handler) as number] ?? 'GET';
      return [path]
        .flat()
        .map((p) => ({ method, path: `/${[prefix, p].join('/')}`.replaceAll(/\/+/g, '/'), handler, name: `${controller.name}.${name}` }));
    });
  });

/** What the guard goes by. Throws when a route says not what it needs, or nobody wrote down whose its things are: a forgotten line must not become an open door. */
export const guardedRoutes = (controllers: readonly Type[]): readonly Guarded[] => {
  const routes = routesOf(controllers).map((r) => ({ ...r, needed: neededBy(r.handler) }));
  const bare = routes.filter((r) => r.needed === undefined);
  if (bare.length > 0) throw new Error(`routes without @Allow: ${bare.map((r) => r.name).join(', ')}`);
  const nobodys = routes.filter((r) => r.needed !== 'public' && ownerOf(r.path) === undefined);
  if (nobodys.length > 0) throw new Error(`routes to things that are not in \`belongings\`: ${nobodys.map((r) => r.name).join(', ')}`);
  return routes.map(({ method, path, needed }) => ({ method, path, needed: needed! }));
};

const problem = { description: 'A problem', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } };

/** The service's part of the OpenAPI 3.1 document. */
export const openApi = (title: string, controllers: readonly Type[]): Record<string, unknown> => {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routesOf(controllers)) {
    const doc = docOf(route.handler);
    const needed = neededBy(route.handler);
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map((m) => ({
      name: m[1],
      in: 'path',
      required: true,
      schema: { type: 'string' },
    }));
    const query = Object.entries(doc?.query ?? {}).map(([name, parameter]) => ({ name, in: 'query', ...parameterOf(parameter) }));
    const tried = doc?.query?.['dryRun'] === undefined ? {} : { 200: 'A dry run: what would be answered, and `dryRun: true`' };
    const answers = Object.entries({ ...tried, ...(doc?.answers ?? { 200: 'Done' }) }).map(([status, a]) => [
      status,
      typeof a === 'string'
        ? { description: a, ...(Number(status) >= 400 ? { content: problem.content } : {}) }
        : { description: 'The answer', content: json(a) },
    ]);
    (paths[path] ??= {})[route.method.toLowerCase()] = {
      operationId: route.name.replaceAll('.', '_'),
      summary: doc?.summary ?? route.name,
      parameters: [...parameters, ...query],
      ...(doc?.body ? { requestBody: { required: true, content: json(doc.body) } } : {}),
      responses: { ...Object.fromEntries(answers), default: problem },
      ...(doc?.noDryRun === undefined ? {} : { 'x-no-dry-run': doc.noDryRun }),
      ...(needed === 'public' ? { security: [] } : { security: [{ bearer: [] }], 'x-role': needed, ...whose(route.path, needed!) }),
    };
  }
  return {
    openapi: '3.1.0',
    info: { title, version: '0.1.0' },
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: { Problem: z.toJSONSchema(ProblemSchema, { target: 'draft-2020-12' }) },
    },
  };
};

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
const json = (schema: z.ZodType): Record<string, unknown> => ({
  'application/json': { schema: z.toJSONSchema(schema, { target: 'draft-2020-12', unrepresentable: 'any', io: 'input' }) },
});
