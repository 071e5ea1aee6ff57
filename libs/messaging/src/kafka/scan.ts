import { randomUUID } from 'node:crypto';
import type { Admin, Kafka } from 'kafkajs';
import type { CloudEvent } from '../bus.ts';
import { askedAgain } from './asked-again.ts';
import { fromRecord } from './records.ts';

/** Reads a topic up to where it ended when asked, by a group that goes again: kafkajs reads in no other way. */
export const scanTopic = async (
  kafka: Kafka,
  admin: Admin,
  topic: string,
  handle: (events: readonly CloudEvent[]) => Promise<void>,
): Promise<{ complete: boolean }> => {
  if (!(await admin.listTopics()).includes(topic)) return { complete: true };
  const offsets = await askedAgain(() => admin.fetchTopicOffsets(topic));
  const complete = offsets.every(({ low }) => low === '0');
  const ends = new Map(
    offsets.filter(({ low, high }) => BigInt(high) > BigInt(low)).map(({ partition, high }) => [partition, BigInt(high)]),
  );
  if (ends.size === 0) return { complete };
  const groupId = `chrysalis-scan-${randomUUID()}`;
  const consumer = kafka.consumer({ groupId, allowAutoTopicCreation: false, maxWaitTimeInMs: 500 });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  ended.catch(() => undefined); // it may fail before it is waited for
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const end = ends.get(batch.partition);
        if (end === undefined) return;
        await handle(batch.messages.map(fromRecord)).catch(reject);
        if (BigInt(batch.lastOffset()) + 1n < end) return;
        ends.delete(batch.partition);
        if (ends.size === 0) resolve();
      },
    });
    await ended;
  } finally {
    await consumer.disconnect().catch(() => undefined);
    await admin.deleteGroups([groupId]).catch(() => undefined);
  }
  return { complete };
};
