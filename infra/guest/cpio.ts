/** Writes cpio "newc", the format of an initramfs. A bare Debian has no `cpio`. Times, owners and order are fixed, so that equal input gives equal bytes. */
export type CpioEntry = Readonly<{
  path: string;
  /** File type and permission bits, as in stat. */
  mode: number;
  data?: Uint8Array;
  device?: readonly [major: number, minor: number];
}>;

export const directory = (path: string): CpioEntry => ({ path, mode: 0o040755 });
export const file = (path: string, data: Uint8Array, mode = 0o755): CpioEntry => ({ path, mode: 0o100000 | mode, data });
export const link = (path: string, target: string): CpioEntry => ({ path, mode: 0o120777, data: Buffer.from(target) });
export const charDevice = (path: string, major: number, minor: number): CpioEntry => ({ path, mode: 0o020600, device: [major, minor] });

const hex = (n: number): string => n.toString(16).toUpperCase().padStart(8, '0');
const padded = (b: Uint8Array): Buffer => Buffer.concat([b, Buffer.alloc((4 - (b.length % 4)) % 4)]);

const record = ({ path, mode, data = Buffer.alloc(0), device = [0, 0] }: CpioEntry, inode: number): Buffer => {
  const name = Buffer.from(`${path}\0`);
  // ino mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, device[0], device[1], name.length, 0];
  return Buffer.concat([padded(Buffer.concat([Buffer.from(`070701${fields.map(hex).join('')}`), name])), padded(data)]);
};

/** Directories above each entry are added where they are missing. */
export const cpio = (entries: readonly CpioEntry[]): Buffer => {
  const all = new Map(entries.map((e) => [e.path, e]));
  for (const { path } of entries) {
    const parts = path.split('/');
    for (let n = 1; n < parts.length; n++) {
      const parent = parts.slice(0, n).join('/');
      if (!all.has(parent)) all.set(parent, directory(parent));
    }
  }
  // Byte order puts each directory before what is in it.
  const sorted = [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return Buffer.concat([...sorted.map((e, i) => record(e, i + 1)), record({ path: 'TRAILER!!!', mode: 0 }, 0)]);
};
