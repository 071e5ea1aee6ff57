import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { java, KafkaUnavailable, verify } from '../kafka/jars.ts';
import { startKafka } from '../kafka/launcher.ts';
import { topics } from '../kafka/topics.ts';

const before = { ...process.env };
afterEach(() => {
  process.env = { ...before };
});

test('only the jars that are listed, byte for byte, are run', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-test-'));
  const jars = path.join(dir, 'jars');
  const list = path.join(dir, 'jars.sha256');
  try {
    const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    writeFileSync(list, `${empty}  a.jar\n${empty}  b.jar\n`);
    const folder = mkdtempSync(`${jars}-`);
    writeFileSync(path.join(folder, 'a.jar'), '');
    expect(() => verify(folder, list)).toThrow('lacks b.jar');
    writeFileSync(path.join(folder, 'b.jar'), '');
    verify(folder, list);
    writeFileSync(path.join(folder, 'b.jar'), 'changed');
    expect(() => verify(folder, list)).toThrow('b.jar is not what');
    writeFileSync(path.join(folder, 'b.jar'), '');
    writeFileSync(path.join(folder, 'c.jar'), '');
    expect(() => verify(folder, list)).toThrow('c.jar is not what');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('where there is no Java it says what to type', async () => {
  process.env['JAVA_HOME'] = '/nowhere';
  await expect(java()).rejects.toThrow(KafkaUnavailable);
  await expect(java()).rejects.toThrow('apt-get install');
});

test('a broker that is given is used as it is', async () => {
  process.env['KAFKA_BROKERS'] = 'one:9092,two:9092';
  const kafka = await startKafka({ dir: '/nowhere' });
  expect(kafka.brokers).toEqual(['one:9092', 'two:9092']);
  await kafka.stop();
});

test('the topics: one of events, one of the dead and one of tasks for each context, events for ever', () => {
  const names = topics.map((t) => t.name);
  expect(new Set(names).size).toBe(names.length);
  for (const context of ['provisioning', 'resource-allocation', 'migration-templates', 'workflow', 'agent-gateway'])
    expect(names).toEqual(
      expect.arrayContaining([`chrysalis.${context}.events`, `chrysalis.${context}.dead`, `chrysalis.tasks.${context}`]),
    );
  for (const topic of topics.filter((t) => t.name.endsWith('.events'))) expect(topic.config['retention.ms']).toBe('-1');
});
