import { upcastings } from '@chrysalis/contracts';
import { upcasters, type Upcast } from '@chrysalis/event-store';
import type { EventBus } from '@chrysalis/messaging';

/** The newest version of an event of any version that was ever released. */
export const upcast: Upcast = upcastings.reduce((all, { of, version, step }) => all.add(of, version, step), upcasters()).upcast;

/** A bus whose consumers get the newest version of what was published. */
export const upcastingBus = (bus: EventBus, to: Upcast): EventBus => ({
  kind: bus.kind,
  publish: (messages) => bus.publish(messages),
  flush: () => bus.flush(),
  subscribe: (options) => bus.subscribe({ ...options, handle: (events, delivery) => options.handle(events.map(to), delivery) }),
  scan: (topic, handle) => bus.scan(topic, handle),
  ensureTopics: (topics) => bus.ensureTopics(topics),
  has: (topic) => bus.has(topic),
  forget: (topic) => bus.forget(topic),
  describe: () => bus.describe(),
  ...(bus.line ? { line: () => bus.line!() } : {}),
  close: () => bus.close(),
});
