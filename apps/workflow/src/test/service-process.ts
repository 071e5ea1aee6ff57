import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceConfig } from '@chrysalis/service-kit';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

const forkService = (config: ServiceConfig, failpoints: string): ChildProcess =>
  fork(path('../main.ts'), {
    execPath: path('../../../../node_modules/node/bin/node'),
    execArgv: ['--import', path('../../../../tools/node/register.mjs')],
    env: { ...process.env, CHRYSALIS_CONFIG: JSON.stringify(config), CHRYSALIS_FAILPOINTS: failpoints },
    stdio: 'ignore',
  });

/** Instances of the workflow service as processes of their own, to be killed, and the rules of where they fail. */
export class ServiceProcesses {
  private readonly directory = mkdtempSync(join(tmpdir(), 'failpoints-'));
  private readonly children: ChildProcess[] = [];
  private over = false;
  /** How often one of those that are supervised was killed. */
  deaths = 0;

  /** One that goes by rules of its own, and is not begun anew. */
  spawn(config: ServiceConfig, rules: object): ChildProcess {
    return this.fork(config, this.write(`rules-${this.children.length}.json`, rules));
  }

  /** One that is begun anew whenever it ends. It goes by the last `rules`. */
  supervise(config: ServiceConfig): void {
    this.fork(config, join(this.directory, 'rules.json')).once('exit', (_, signal) => {
      if (this.over) return;
      if (signal === 'SIGKILL') this.deaths++;
      this.supervise(config);
    });
  }

  /** From now on, for all that are supervised. */
  rules(rules: object): void {
    this.write('rules.json', rules);
  }

  end(): void {
    this.over = true;
    for (const child of this.children) child.kill('SIGKILL');
    rmSync(this.directory, { recursive: true });
  }

  private write(name: string, rules: object): string {
    const file = join(this.directory, name);
    writeFileSync(file, JSON.stringify(rules));
    return file;
  }

  private fork(config: ServiceConfig, failpoints: string): ChildProcess {
    const child = forkService(config, failpoints);
    this.children.push(child);
    return child;
  }
}
