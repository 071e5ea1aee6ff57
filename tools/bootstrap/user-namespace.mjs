import fs from 'node:fs';
import path from 'node:path';

/** A control plane that was started without root has its ports in a user namespace: the command line that leads there, if so. */
export const intoUserNamespace = (root) => {
  try {
    const { pid, userNamespace } = JSON.parse(
      fs.readFileSync(path.join(process.env.CHRYSALIS_STATE_DIR ?? path.join(root, '.chrysalis'), 'current.json'), 'utf8'),
    );
    if (!userNamespace || process.env.CHRYSALIS_SERVER || fs.readlinkSync(`/proc/${pid}/ns/user`) !== userNamespace) return [];
    return ['nsenter', `--target=${pid}`, '--user', '--net', '--preserve-credentials', '--'];
  } catch {
    return []; // nothing runs here, or not there
  }
};
