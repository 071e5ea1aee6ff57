import { execFileSync } from 'node:child_process';

const BUSY = 'Unable to get accurate CPU usage';

/**
 * A qcow2 file by `qemu-img create`. To seal one it times its own hashing, and gives up where others have the CPU in that moment: then it is
 * asked again, a hundred times at most.
 */
export const createQcow2 = (file: string, size: string, options: readonly string[] = [], cwd = process.cwd()): void => {
  for (let attempt = 1; ; attempt++) {
    try {
      return void execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, file, size], { cwd, stdio: 'pipe' });
    } catch (error) {
      if (attempt === 100 || !String(error).includes(BUSY)) throw error;
    }
  }
};

/** Of a file that is sealed with LUKS, as fast as it goes. */
export const sealed = ['--object', 'secret,id=key,data=abc', '-o', 'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10'];
