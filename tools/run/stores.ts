import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const imageStoreOf = (runDir: string): string => path.join(runDir, 'images');
export const packageStoreOf = (runDir: string): string => path.join(runDir, 'packages');

/** A host's image store: a folder an image, `manifest.json` says which files are which digest. Links: hosts of one machine share the files. */
export const installImage = (
  runDir: string,
  image: { readonly kernel: string; readonly initrd: string; readonly digest: string },
): string => {
  const store = imageStoreOf(runDir);
  const dir = path.join(store, 'linux');
  mkdirSync(dir, { recursive: true });
  const files = { kernel: 'kernel', initrd: 'initrd' };
  symlinkSync(image.kernel, path.join(dir, files.kernel));
  symlinkSync(image.initrd, path.join(dir, files.initrd));
  writeFileSync(path.join(dir, 'manifest.json'), JSON.stringify({ digest: image.digest, files }));
  return store;
};

/** A host's package store: `<digest>.squashfs`. */
export const installPackage = (runDir: string, p: { readonly file: string; readonly digest: string }): string => {
  const store = packageStoreOf(runDir);
  mkdirSync(store, { recursive: true });
  symlinkSync(p.file, path.join(store, `${p.digest.replace(':', '-')}.squashfs`));
  return store;
};

/** What simulated guests boot and get: nothing is in them, but they have names and digests, as grants and image records want. */
export const installStandIns = (
  runDir: string,
): {
  readonly image: { readonly digest: string; readonly cmdline: string };
  readonly agentPackage: { readonly digest: string; readonly version: string };
} => {
  const standIn = (name: string): { file: string; digest: string } => {
    const text = `stand-in for the ${name} of simulated guests\n`;
    const file = path.join(runDir, `${name}.stand-in`);
    writeFileSync(file, text);
    return { file, digest: `sha256:${createHash('sha256').update(text).digest('hex')}` };
  };
  const kernel = standIn('kernel');
  const agent = standIn('agent');
  installImage(runDir, { kernel: kernel.file, initrd: standIn('initrd').file, digest: kernel.digest });
  installPackage(runDir, agent);
  return { image: { digest: kernel.digest, cmdline: '' }, agentPackage: { digest: agent.digest, version: 'simulated' } };
};
