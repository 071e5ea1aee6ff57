import { contractOf } from '@chrysalis/contracts';
import { z } from 'zod';

type Schema = Readonly<Record<string, unknown>>;
/** JSON types as params name them. `unknown`: more than one, or nobody can say; `absent`: the event never has it. */
export type JsonType = 'string' | 'number' | 'boolean' | 'object' | 'array' | 'unknown' | 'absent';

const attributes = new Set(['id', 'type', 'subject', 'time', 'tenant', 'actor']);

/** The type of `event.<path>` by the contract of the event's type. */
export const eventPathType = (eventType: string, path: readonly string[]): JsonType => {
  const [root, ...rest] = path;
  if (root === undefined) return 'object';
  if (root !== 'data') return attributes.has(root) && rest.length === 0 ? 'string' : 'absent';
  const contract = contractOf.get(eventType);
  return contract ? typeAt(schemaOf(contract.schema), rest) : 'unknown';
};

const schemas = new WeakMap<z.ZodType, Schema>();
const schemaOf = (schema: z.ZodType): Schema => {
  const known = schemas.get(schema) ?? (z.toJSONSchema(schema, { unrepresentable: 'any' }) as Schema);
  schemas.set(schema, known);
  return known;
};

const typeAt = (schema: Schema, path: readonly string[]): JsonType => {
  const [key, ...rest] = path;
  if (key === undefined) return plain(schema['type']);
  if (schema['type'] === 'array')
    return /^\d+$/.test(key) ? (isSchema(schema['items']) ? typeAt(schema['items'], rest) : 'unknown') : 'absent';
  if (schema['type'] !== 'object') return isPlain(schema['type']) ? 'absent' : 'unknown';
  const properties = schema['properties'] as Record<string, Schema> | undefined;
  if (properties && Object.hasOwn(properties, key)) return typeAt(properties[key]!, rest);
  return properties ? 'absent' : 'unknown';
};
const isSchema = (value: unknown): value is Schema => typeof value === 'object' && value !== null;
const isPlain = (type: unknown): boolean => plain(type) !== 'unknown';
const plain = (type: unknown): JsonType => {
  switch (type) {
    case 'integer':
      return 'number';
    case 'string':
    case 'number':
    case 'boolean':
    case 'object':
    case 'array':
      return type;
    default:
      return 'unknown';
  }
};
