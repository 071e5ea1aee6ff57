import { contexts, type Context } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';

type Operation = {
  operationId: string;
  requestBody?: unknown;
  responses: Record<string, unknown>;
  parameters?: readonly { in: string; name: string }[];
  'x-no-dry-run'?: string;
  /** Passed to its owner as it came. */
  'x-passed-on'?: true;
};
export type OpenApi = {
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
  [member: string]: unknown;
};

/** `{id}` or `{vmId}`: a path is the same path whatever its parameters are called. */
const anonymous = (path: string): string => path.replaceAll(/\{\w+\}/g, '{}');

/** This door's own document, with bodies, queries and answers of commands as their owners declare them. */
export const merge = (own: OpenApi, parts: readonly OpenApi[]): OpenApi => {
  const owners = new Map<string, Operation>();
  for (const part of parts)
    for (const [path, methods] of Object.entries(part.paths))
      for (const [method, operation] of Object.entries(methods)) owners.set(`${method} ${anonymous(path)}`, operation);
  const paths = Object.fromEntries(
    Object.entries(own.paths).map(([path, methods]) => [
      path,
      Object.fromEntries(
        Object.entries(methods).map(([method, operation]) => {
          const { 'x-passed-on': passedOn, ...shown } = operation;
          const owner = passedOn ? owners.get(`${method} ${anonymous(path)}`) : undefined;
          return [method, owner ? withOwners(shown, owner) : shown];
        }),
      ),
    ]),
  );
  const schemas = Object.assign({}, ...parts.map((p) => p.components.schemas), own.components.schemas) as Record<string, unknown>;
  return { ...own, info: { ...own.info, title: 'Chrysalis', description }, paths, components: { ...own.components, schemas } };
};
const withOwners = (operation: Operation, { requestBody, responses, parameters = [], 'x-no-dry-run': noDryRun }: Operation): Operation => ({
  ...operation,
  ...(requestBody === undefined ? {} : { requestBody }),
  parameters: [
    ...(operation.parameters ?? []),
    ...parameters.filter((p) => p.in === 'query' && !operation.parameters?.some((own) => own.in === 'query' && own.name === p.name)),
  ],
  ...(noDryRun === undefined ? {} : { 'x-no-dry-run': noDryRun }),
  responses: { ...operation.responses, ...responses },
});

const description =
  'The control plane that morphs and migrates running virtual machines between unlike hosts. Errors are `application/problem+json` with a ' +
  'stable `code`. Send `Idempotency-Key` with every unsafe call: a repetition with the same key is done once. Long work answers 202 with an ' +
  '`operation`: wait with `GET /v1/operations/{id}?wait=30s`, or watch `/v1/operations/{id}/events`.';

const KEEP_MS = 60_000;

/** The owners' parts are asked for now and then; while one is away its last part, or none, is used. */
export class ApiDocument {
  readonly #parts = new Map<Context, OpenApi>();
  #asked = 0;

  constructor(private readonly service: ServiceContext) {}

  async whole(own: OpenApi): Promise<OpenApi> {
    if (Date.now() - this.#asked > KEEP_MS || this.#parts.size < contexts.length) {
      this.#asked = Date.now();
      await Promise.all(contexts.map((c) => this.#ask(c)));
    }
    return merge(own, [...this.#parts.values()]);
  }

  async #ask(context: Context): Promise<void> {
    const url = this.service.config.serviceUrls?.[context];
    if (!url) return;
    try {
      const response = await fetch(`${url}/openapi.json`, { signal: AbortSignal.timeout(2_000) });
      if (response.ok) this.#parts.set(context, (await response.json()) as OpenApi);
    } catch (err) {
      this.service.log.debug({ err, context }, 'an owner did not describe itself');
    }
  }
}
