import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { commandsTopic, commandsTopicConfig, type CommandAnswer } from '@chrysalis/contracts';
import { sharedKafka, skipped } from '@chrysalis/testing';
import { ConfigResourceTypes, Kafka } from 'kafkajs';
import { Harness, image, spec } from './test/harness.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const KAFKA_PYTHON = 'kafka-python==2.2.15';

/** A Python with the client's library, kept between runs. Throws with what to type where none can be made. */
const python = (): string => {
  const at = path.join(root, '.cache', 'kafka-python-2.2.15');
  if (!existsSync(at)) {
    const made = `${at}.${process.pid}`;
    mkdirSync(path.dirname(at), { recursive: true });
    try {
      execFileSync('python3', ['-m', 'venv', made], { stdio: 'pipe' });
      execFileSync(path.join(made, 'bin/python'), ['-m', 'pip', 'install', '--quiet', KAFKA_PYTHON], { stdio: 'pipe' });
      renameSync(made, at);
    } catch (error) {
      rmSync(made, { recursive: true, force: true });
      const why = String((error as { stderr?: Buffer }).stderr ?? error);
      throw new Error(`no Python with ${KAFKA_PYTHON}: apt-get install python3-venv, or CHRYSALIS_SKIP=kafka\n${why}`);
    }
  }
  return path.join(at, 'bin/python');
};

if (skipped('kafka')) {
  process.stdout.write('skipped (CHRYSALIS_SKIP): kafka: commands as messages from a client in Python\n');
  describe('commands over Kafka', () => test.skip('left out by CHRYSALIS_SKIP=kafka', () => undefined));
} else {
  describe('commands over Kafka', () => {
    let h: Harness;
    let kafka: Kafka;
    let brokers: string[];
    beforeAll(async () => {
      ({ brokers } = await sharedKafka());
      kafka = new Kafka({ clientId: 'commands-test', brokers });
      h = await Harness.start({ kind: 'kafka', brokers });
      await h.http('POST', '/v1/vm-types', { name: 'small', spec });
      await h.http('POST', '/v1/images', { image });
    }, 600_000);
    afterAll(() => h?.stop());

    test('the client of the documentation, in Python, is answered: with a VM, and with a refusal', async () => {
      const ask = async (token: string): Promise<CommandAnswer> => {
        const env = { ...process.env, BROKERS: brokers.join(), CHRYSALIS_TOKEN: token };
        const { stdout } = await promisify(execFile)(python(), ['docs/examples/create_vm.py', 'web', 'small', 'linux'], { cwd: root, env });
        return JSON.parse(stdout) as CommandAnswer;
      };
      const answer = await ask(await h.token(['operator']));
      expect(answer).toMatchObject({ status: 202 });
      expect((await h.vm((answer.body as { vmId: string }).vmId)).name).toBe('web');
      expect((await ask(await h.token(['viewer']))).problem?.code).toBe('auth.denied');
    }, 600_000);

    test('what a topic of commands is kept for', async () => {
      const admin = kafka.admin();
      await admin.connect();
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: commandsTopic }],
      });
      await admin.disconnect();
      const set = Object.fromEntries(resources[0]!.configEntries.map((e) => [e.configName, e.configValue]));
      expect(set).toMatchObject(commandsTopicConfig);
    });
  });
}
