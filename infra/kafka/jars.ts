import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = path.dirname(fileURLToPath(import.meta.url));
const cache = path.resolve(here, '../../.cache/kafka');

export const pinnedVersion = '4.1.0';

/** Why Kafka cannot be had here, and what to type. */
export class KafkaUnavailable extends Error {
  constructor(why: string) {
    super(
      `no Kafka here: ${why}. Set KAFKA_BROKERS=host:port, or have a container engine (docker info), or Java 17 and Maven: ` +
        'apt-get install -y openjdk-17-jre-headless maven',
    );
    this.name = 'KafkaUnavailable';
  }
}

/** The java program, 17 or later. */
export const java = async (): Promise<string> => {
  const program = process.env['JAVA_HOME'] ? path.join(process.env['JAVA_HOME'], 'bin', 'java') : 'java';
  const { stderr } = await run(program, ['-version']).catch(() => {
    throw new KafkaUnavailable('there is no Java');
  });
  const major = Number(/version "(\d+)/.exec(stderr)?.[1]);
  if (!(major >= 17))
    throw new KafkaUnavailable(`Java is ${major || 'of an unknown version'}, and Kafka ${pinnedVersion} needs 17 or later`);
  return program;
};

/** A folder with Apache Kafka's jars, resolved by Maven the first time, each with the digest that jars.sha256 says. */
export const jars = async (): Promise<string> => {
  const folder = path.join(cache, `jars-${pinnedVersion}`);
  if (!existsSync(folder)) await resolve(folder);
  verify(folder);
  return folder;
};

const resolve = async (folder: string): Promise<void> => {
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(path.join(cache, 'resolving-'));
  const args = ['-q', '-B', '-C', '-f', path.join(here, 'pom.xml'), 'dependency:copy-dependencies', `-DoutputDirectory=${fresh}`];
  const repository = mkdtempSync(path.join(cache, 'maven-'));
  if (!hasHome()) args.push(`-Dmaven.repo.local=${repository}`);
  try {
    await run('mvn', args, { maxBuffer: 64 * 1024 * 1024 });
    verify(fresh);
    renameSync(fresh, folder);
  } catch (error) {
    if (existsSync(folder)) return; // another process was first
    if ((error as { code?: string }).code === 'ENOENT') throw new KafkaUnavailable('there is no Maven to get its jars with');
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    throw new KafkaUnavailable(`Maven could not get its jars: ${stdout || stderr || message}`.trim().slice(0, 1_000));
  } finally {
    for (const dir of [fresh, repository]) rmSync(dir, { recursive: true, force: true });
  }
};

/** Maven keeps what it fetched in the home that the system knows, whatever HOME says; an account may have none. */
const hasHome = (): boolean => {
  try {
    accessSync(userInfo().homedir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
};

/** Exactly the jars of jars.sha256, byte for byte: 0.2 s for 54 MB. */
export const verify = (folder: string, list = path.join(here, 'jars.sha256')): void => {
  const expected = new Map(
    readFileSync(list, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(/ +/).reverse() as [string, string]),
  );
  for (const name of readdirSync(folder)) {
    const digest = createHash('sha256')
      .update(readFileSync(path.join(folder, name)))
      .digest('hex');
    if (expected.get(name) !== digest) throw new Error(`${path.join(folder, name)} is not what jars.sha256 says: remove the folder`);
    expected.delete(name);
  }
  if (expected.size > 0) throw new Error(`${folder} lacks ${[...expected.keys()].join(', ')}: remove the folder`);
};
