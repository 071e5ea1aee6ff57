// For the test: outside it enters a user namespace; inside it makes a fabric, leaves a process in a host's namespace as a VM would be,
// says so, and is killed. Usage: in-user-namespace.ts STATE_DIR FABRIC_ID
import { spawn } from 'node:child_process';
import { createFabric } from '../fabric.ts';
import { inUserNamespace, mayMakeNamespaces, ownUserNamespace } from '../user-namespace.ts';

const [stateDir, id] = process.argv.slice(2) as [string, string];
const userNamespace = ownUserNamespace();
if (!userNamespace) process.exit(await inUserNamespace());

const fabric = await createFabric({ id, hosts: [{ name: 'a' }, { name: 'b' }], stateDir });
const [command, ...args] = fabric.hosts[0]!.inside(['sleep', '600']);
const vm = spawn(command!, args, { detached: true, stdio: 'ignore' });
const said = { userNamespace, uid: process.getuid!(), may: mayMakeNamespaces(), vm: vm.pid, control: fabric.controlAddress };
process.stdout.write(`${JSON.stringify(said)}\n`, () => process.kill(process.pid, 'SIGKILL'));
