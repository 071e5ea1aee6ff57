import { createHash } from 'node:crypto';
import { isContention } from '@chrysalis/event-store';
import { canonicalJson } from '@chrysalis/kernel';
import { z } from 'zod';
import type { CommandRequest } from '../access/auth.ts';
import { messageContext, metaOfRequest, type MessageContext, type ServiceContext } from '../context.ts';
import { idempotencyKey } from './idempotency-key.ts';
import { parseBody, ProblemError } from './problems.ts';
import type { Caller } from '../access/tokens.ts';

/** A route's answer with its status and headers; a plain value is a 200. */
export class Answer {
  constructor(
    readonly status: number,
    readonly body: unknown,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {}
}
/** Of what goes on behind the answer, as an operation that has its place in the API. */
export const accepted = <B extends { readonly operation: string }>(body: B) => ({
  status: 202,
  body,
  headers: { location: `/v1/operations/${body.operation}` },
});
type AnswerShape = { readonly status: number; readonly body: unknown; readonly headers?: Readonly<Record<string, string>> };

export type CommandContext = MessageContext & { readonly caller: Caller; readonly idempotencyKey: string | undefined };

/**
 * For a route's document: without it QueryGuard refuses the parameter. Every route that changes something has it, or says in its document
 * why it cannot (`noDryRun`).
 */
export const dryRunQuery = { dryRun: z.enum(['true', 'false']).describe('true: all checks, the same refusals, and nothing is done') };
/** For what a route does beside its transaction: not in a dry run. */
export const isDryRun = ({ url }: Pick<CommandRequest, 'url'>): boolean =>
  new URL(url, 'http://here').searchParams.get('dryRun') === 'true';
/** What a dry run answers: what the real one would, marked. */
export const dryAnswer = (body: unknown): Answer => new Answer(200, { ...(body as object), dryRun: true });

export class Commands {
  constructor(private readonly service: ServiceContext) {}

  /**
   * One transaction around `work` with the idempotency check in it. The same key with the same request gives the kept answer, with
   * another request `idempotency.key_reused`. What `work` throws leaves nothing, and no kept answer either. Requests for one thing at the
   * same time go one after another; one whose turn does not come in some seconds is answered with 503.
   * With `?dryRun=true` the same work is done and rolled back: no event, no kept answer, and the key stays free for the real one.
   * What came too late (`tooLate`, of a message) is answered if it was done before, and else refused.
   * What is worth waiting for, `before` waits for: it has no transaction, hence holds no connection that others need.
   */
  async run<S extends z.ZodType>(
    request: CommandRequest,
    schema: S,
    work: (body: z.infer<S>, context: CommandContext) => Promise<AnswerShape>,
    before: (body: z.infer<S>, caller: Caller) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<Answer> {
    // What a PUT leaves out goes: without a body it would take everything away, and nobody said so.
    const body = parseBody(schema, request.body ?? (request.method === 'PUT' ? null : {}));
    const { caller } = request;
    const dryRun = isDryRun(request);
    const given = idempotencyKey(request);
    const key = dryRun ? undefined : given;
    const route = `${request.method} ${request.url}`;
    const hash = createHash('sha256').update(canonicalJson(body)).digest('hex');
    const kept = key ? await this.#kept(key, caller.tenant, route, hash) : undefined;
    if (kept) return kept;
    if (request.tooLate) throw request.tooLate;
    await before(body, caller);
    const meta = metaOfRequest(this.service, request, caller);
    try {
      return await this.service.store.transaction(
        async (tx) => {
          const {
            status,
            body: out,
            headers = {},
          } = await work(body, { ...messageContext(this.service, tx, meta), caller, idempotencyKey: key });
          if (dryRun) throw new DryRunEnds(dryAnswer(out));
          if (key && !(await this.service.store.rememberAnswer(tx, key, caller.tenant, route, hash, { status, body: out, headers })))
            throw new SameKeyAtOnce();
          return new Answer(status, out, headers);
        },
        { attempts: 20 }, // in turn: 20 at once for one name need 3
      );
    } catch (error) {
      if (error instanceof DryRunEnds) return error.answer;
      if (isContention(error)) throw contended();
      if (!(error instanceof SameKeyAtOnce)) throw error;
      return (await this.#kept(key!, caller.tenant, route, hash))!;
    }
  }

  async #kept(key: string, tenant: string, route: string, hash: string): Promise<Answer | undefined> {
    const found = await this.service.store.recallAnswer(this.service.pool, key, tenant, route, hash);
    if (found.kind === 'none') return undefined;
    if (found.kind === 'mismatch') throw ProblemError.of({ code: 'idempotency.key_reused', message: 'Nothing was done' });
    const { status, body, headers } = found.answer as Required<AnswerShape>;
    return new Answer(status, body, { ...headers, 'idempotent-replay': 'true' });
  }
}

/** Thrown so that the transaction is rolled back: nothing of a dry run may stay. */
class DryRunEnds extends Error {
  constructor(readonly answer: Answer) {
    super('a dry run ends here');
  }
}

/** Two requests with one key at the same time: this one lost, and answers what the other did. */
class SameKeyAtOnce extends Error {}

const contended = (): ProblemError => ProblemError.of({ code: 'service.contended', message: 'Nothing was done' });
