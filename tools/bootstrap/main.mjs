// The one door of every npm script. Needs nothing but the machine's Node (20 or later): brings what is missing, then hands over
// to the command on the project's own Node. Says what it does on stderr; stdout belongs to the command.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { installDependencies } from './dependencies.mjs';
import { installSystemParts } from './system.mjs';
import { intoUserNamespace } from './user-namespace.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');

/** `--driver simulated`, in either spelling. */
const simulated = (args) => args.some((a, i) => a === '--driver=simulated' || (a === 'simulated' && args[i - 1] === '--driver'));
const withHosts = (args) => [
  ...(simulated(args) || args.includes('--no-hosts') ? [] : ['qemu']),
  ...(args.includes('--distributed') ? ['kafka'] : []),
];

/** What each command runs, and which parts of the machine it needs before it starts. */
const commands = {
  demo: { entry: 'tools/demo/main.ts', needs: withHosts },
  test: { entry: 'tools/test/main.ts', needs: () => ['qemu', 'kafka', 'python'] },
  soak: { entry: 'tools/test/main.ts', args: ['--soak'], needs: () => ['qemu', 'kafka', 'python'] },
  bench: { entry: 'tools/bench/main.ts', needs: (args) => (args.includes('move') ? ['qemu'] : args.includes('relay') ? ['kafka'] : []) },
  harness: { entry: 'tools/harness/main.ts', needs: () => [] },
  scenarios: { entry: 'tools/scenarios/main.ts', needs: () => ['qemu'] },
  up: { entry: 'tools/up/main.ts', needs: withHosts },
  image: { entry: 'tools/image/main.ts', needs: () => ['image'] },
  cli: { entry: 'apps/cli/src/main.ts', needs: () => [] },
};

const [name, ...args] = process.argv.slice(2);
const command = commands[name];
if (!command) {
  console.error(`unknown command ${name ?? '(none)'}; one of ${Object.keys(commands).join(', ')}`);
  process.exit(2);
}

installDependencies(root);
const helpOnly = args.includes('--help') || args.includes('-h');
if (!helpOnly) installSystemParts(command.needs(args));

const node = path.join(root, 'node_modules/.bin/node');
const register = path.join(root, 'tools/node/register.mjs');
const program = [
  node,
  '--disable-warning=ExperimentalWarning',
  '--import',
  register,
  path.join(root, command.entry),
  ...(command.args ?? []),
  ...args,
];
const [file, ...argv] = name === 'cli' ? [...intoUserNamespace(root), ...program] : program;
const child = spawn(file, argv, { stdio: 'inherit' });
// A terminal's Ctrl-C reaches the child by itself; a signal sent to this process alone has to be passed on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 128 + 15 : 1)));
