import { setTimeout as sleep } from 'node:timers/promises';

const attempts = 50;
const everyMs = 100;

/**
 * For 5 s asks again what the broker says may be: right after a topic was made, or its broker came back, it leads it not yet, and kafkajs
 * passes that on to who asked its admin client. Any other error, and the last one, are the caller's.
 */
export const askedAgain = async <T>(ask: () => Promise<T>): Promise<T> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (attempt === attempts || !(error as { retriable?: boolean }).retriable) throw error;
      await sleep(everyMs);
    }
  }
};
