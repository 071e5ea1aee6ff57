import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');

/** ESLint with this repository's rules, in a process of its own: Nx finds the repository by where it runs. One text at a time. */
export class Linter {
  readonly #process: ChildProcess = fork(path.join(import.meta.dirname, 'linter.mjs'), {
    cwd: root,
    execArgv: [],
    env: { ...process.env, NX_DAEMON: 'false' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'], // Nx says on stdout that it has no graph: the suite that needs one makes it
  });
  readonly #ended: Promise<string> = new Promise((resolve) => this.#process.once('exit', (code) => resolve(`the linter ended: ${code}`)));

  /** The rules, as errors, that this text would break if it stood in that file, in the order of its lines. */
  async rulesBroken(file: string, text: string): Promise<string[]> {
    this.#process.send({ file, text });
    const answer = await Promise.race([once(this.#process, 'message'), this.#ended]);
    if (typeof answer === 'string') throw new Error(answer);
    return answer[0].broken as string[];
  }

  close(): void {
    this.#process.kill();
  }
}
