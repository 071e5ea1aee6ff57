/** What a qcow2 says of itself, as far as it matters to who is to read it without trusting it. */
export type Qcow2Verdict =
  | Readonly<{ is: 'usable'; virtualBytes: number }>
  /** Whole or not, reading it would open what it names, or needs what we have not. */
  | Readonly<{ is: 'unsafe'; why: string }>
  | Readonly<{ is: 'broken'; why: string }>;

/** As many bytes of a file's beginning as `readQcow2` looks at. */
export const QCOW2_HEADER_BYTES = 104;

const V2_BYTES = 72;
const MAGIC = 0x514649fb; // "QFI\xfb"
const at = {
  version: 4,
  backingOffset: 8,
  clusterBits: 20,
  size: 24,
  crypt: 32,
  tableEntries: 36,
  tableOffset: 40,
  incompatible: 72,
  headerLength: 100,
};
const CORRUPT = 1n << 1n;
const EXTERNAL_DATA = 1n << 2n;
const EXTENDED_L2 = 1n << 4n;
/** Dirty, corrupt, external data, compression type, extended L2: another bit is of a QEMU that knows more than we do. */
const KNOWN = 0b11111n;

const unsafe = (why: string): Qcow2Verdict => ({ is: 'unsafe', why });
const broken = (why: string): Qcow2Verdict => ({ is: 'broken', why });

/**
 * Judges a qcow2 by the first bytes of its file, before any program opens it: QEMU's own tools open what a header names, `qemu-img info`
 * too. Numbers are big-endian. `fileBytes`, where the file is whole: what the header says of it is then held against that.
 * Source: docs/interop/qcow2.txt of QEMU.
 */
export const readQcow2 = (header: Uint8Array, fileBytes?: number): Qcow2Verdict => {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (view.byteLength < V2_BYTES || view.getUint32(0) !== MAGIC) return broken('no qcow2: its header is missing');
  const version = view.getUint32(at.version);
  if (version !== 2 && version !== 3) return broken(`qcow2 of version ${version}: 2 and 3 are known`);
  if (view.getBigUint64(at.backingOffset) !== 0n) return unsafe('it has a backing file');
  if (view.getUint32(at.crypt) !== 0) return unsafe('it is encrypted');
  const features = version === 3 ? judgeFeatures(view) : undefined;
  if (features) return features;
  const clusterBits = view.getUint32(at.clusterBits);
  if (clusterBits < 9 || clusterBits > 21) return broken(`clusters of 2^${clusterBits} bytes: 2^9 to 2^21 can be`);
  const size = view.getBigUint64(at.size);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) return broken(`a virtual size of ${size} bytes`);
  return judgeTable(view, { clusterBits, size, fileBytes });
};

/** The first table has an entry for each stretch of the disk; one that is too short, or beyond the file's end, is of a header that lies. */
const judgeTable = (
  view: DataView,
  { clusterBits, size, fileBytes }: { clusterBits: number; size: bigint; fileBytes: number | undefined },
): Qcow2Verdict => {
  const extended = view.getUint32(at.version) === 3 && (view.getBigUint64(at.incompatible) & EXTENDED_L2) !== 0n;
  const stretch = 1n << BigInt(clusterBits + clusterBits - (extended ? 4 : 3));
  const entries = BigInt(view.getUint32(at.tableEntries));
  if (entries * stretch < size) return broken(`a table for ${entries * stretch} of the ${size} bytes that it says it has`);
  if (fileBytes !== undefined && view.getBigUint64(at.tableOffset) + entries * 8n > BigInt(fileBytes))
    return broken('it is cut off: its table lies beyond its end');
  return { is: 'usable', virtualBytes: Number(size) };
};

const judgeFeatures = (view: DataView): Qcow2Verdict | undefined => {
  if (view.byteLength < QCOW2_HEADER_BYTES) return broken('its header is cut off');
  const incompatible = view.getBigUint64(at.incompatible);
  if (incompatible & EXTERNAL_DATA) return unsafe('its data is in another file');
  if (incompatible & ~KNOWN) return unsafe(`it needs features that are not known here: 0x${(incompatible & ~KNOWN).toString(16)}`);
  if (incompatible & CORRUPT) return broken('it is marked as corrupt');
  const length = view.getUint32(at.headerLength);
  return length < QCOW2_HEADER_BYTES ? broken(`a header of ${length} bytes`) : undefined;
};
