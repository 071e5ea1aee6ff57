import { faultText } from '@chrysalis/contracts';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { z } from 'zod';
import { docOf, type QueryParameter } from './documentation.ts';
import { badQuery, ProblemError } from './problems.ts';

const anything = z.string().max(255);
const schemaOf = (parameter: QueryParameter): z.ZodType => (typeof parameter === 'string' ? anything.describe(parameter) : parameter);

/**
 * What a query may have is what the route's document says, and nothing else: a parameter that nobody knows, or a value that there is not,
 * would else be passed over without a word, and the answer would be to another question.
 */
export class QueryGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { query } = context.switchToHttp().getRequest<{ query: Readonly<Record<string, unknown>> }>();
    const doc = docOf(context.getHandler());
    if (doc?.noDryRun !== undefined && Object.hasOwn(query, 'dryRun')) throw noDryRun(doc.noDryRun);
    if (!doc?.passedOn) judgeQuery(doc?.query ?? {}, query);
    return true;
  }
}

export const judgeQuery = (known: Readonly<Record<string, QueryParameter>>, given: Readonly<Record<string, unknown>>): void => {
  const faults = Object.entries(given).flatMap(([name, value]) => {
    if (!Object.hasOwn(known, name)) return [{ path: name, message: unknown(known) }];
    if (Array.isArray(value)) return [{ path: name, message: 'is there more than once' }];
    const read = schemaOf(known[name]!).safeParse(value);
    return read.success ? [] : [{ path: name, message: faultText(read.error) }];
  });
  if (faults.length > 0) throw badQuery(...faults);
};

/** Never taken for the real thing: who asked for a dry run must not find it done. */
const noDryRun = (why: string): ProblemError => ProblemError.of({ code: 'request.no_dry_run', message: why });

const unknown = (known: Readonly<Record<string, QueryParameter>>): string => {
  const names = Object.keys(known);
  return names.length > 0 ? `is no parameter here: there are ${names.join(', ')}` : 'is no parameter here: there is none';
};
