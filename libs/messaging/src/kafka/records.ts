import type { KafkaMessage } from 'kafkajs';
import type { CloudEvent, Message } from '../bus.ts';

const PORTION_BYTES = 900_000;
/** Key, headers and framing; more than there is. */
const RECORD_OVERHEAD = 2_000;

// CloudEvents in Kafka's binary mode: attributes as headers `ce_…`, the data as the value, the partition key as the key.
const attributes = [
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'traceparent',
  'correlationid',
  'causationid',
  'actor',
  'tenant',
  'replyto',
  'expirytime',
] as const;

export type KafkaRecord = { readonly key: string; readonly value: string; readonly headers: Record<string, string> };

/** By topic, in order. A broker refuses a batch of more than 1 MiB as it refuses one message of that size: so much goes at once, or one alone. */
export const portionsOf = (messages: readonly Message[]): Map<string, KafkaRecord[]>[] => {
  const portions: Map<string, KafkaRecord[]>[] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { topic, event } of messages) {
    const record = toRecord(event);
    const size = Buffer.byteLength(record.value) + RECORD_OVERHEAD;
    if (bytes + size > PORTION_BYTES) {
      portions.push(new Map());
      bytes = 0;
    }
    bytes += size;
    const portion = portions.at(-1)!;
    const records = portion.get(topic);
    if (records) records.push(record);
    else portion.set(topic, [record]);
  }
  return portions;
};

const toRecord = (event: CloudEvent): KafkaRecord => {
  const headers: Record<string, string> = { 'content-type': event.datacontenttype };
  for (const name of attributes) if (event[name] !== undefined) headers[`ce_${name}`] = event[name];
  headers['ce_partitionkey'] = event.partitionkey;
  if (event.streamversion !== undefined) headers['ce_streamversion'] = String(event.streamversion);
  return { key: event.partitionkey, value: JSON.stringify(event.data ?? null), headers };
};

export const fromRecord = ({ key, value, headers = {} }: KafkaMessage): CloudEvent => {
  const header = (name: string): string | undefined => headers[`ce_${name}`]?.toString();
  const event: Record<string, unknown> = {};
  for (const name of attributes) if (header(name) !== undefined) event[name] = header(name);
  event['partitionkey'] = header('partitionkey') ?? key?.toString() ?? '';
  event['datacontenttype'] = 'application/json';
  if (header('streamversion') !== undefined) event['streamversion'] = Number(header('streamversion'));
  event['data'] = parse(value);
  return event as CloudEvent;
};

/** Bytes that are no JSON are delivered as text: the consumer's schema refuses them, and they are parked like any poison. */
const parse = (value: Buffer | null): unknown => {
  if (value === null) return null;
  try {
    return JSON.parse(value.toString());
  } catch {
    return value.toString();
  }
};
