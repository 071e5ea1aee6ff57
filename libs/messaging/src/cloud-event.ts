import type { StoredEvent } from '@chrysalis/event-store';
import type { CloudEvent } from './bus.ts';

/** A stored event as it goes over the bus; the stream is subject and key, so a stream's events stay in order. */
export const toCloudEvent = (event: StoredEvent, { context }: { context: string }): CloudEvent => ({
  specversion: '1.0',
  id: event.id,
  source: `/chrysalis/${context}`,
  type: event.type,
  subject: event.stream,
  time: event.meta.at,
  partitionkey: event.stream,
  datacontenttype: 'application/json',
  ...(event.meta.traceparent === undefined ? {} : { traceparent: event.meta.traceparent }),
  correlationid: event.meta.correlationId,
  ...(event.meta.causationId === undefined ? {} : { causationid: event.meta.causationId }),
  actor: event.meta.actor,
  tenant: event.meta.tenant,
  streamversion: event.version,
  data: event.data,
});
