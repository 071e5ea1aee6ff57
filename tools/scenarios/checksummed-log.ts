import { createHash } from 'node:crypto';
import type { Shell } from './provisioning/in-guest.ts';

/** A line each tenth of a second: its number, and the checksum of that. What is acknowledged by `sync` is never to be lost. */
const WRITER = `cat > /tmp/writer <<'X'
n=0
while :; do
  n=$((n + 1))
  echo "$n $(echo "$n" | sha256sum | cut -c1-16)" >> /data/log
  sync
  echo "$n" > /run/written
  sleep 0.1
done
X
setsid sh /tmp/writer < /dev/null > /dev/null 2>&1 &`;

/** From now on the guest writes such a log to its disk. */
export const beginLog = (shell: Shell): Promise<string> => shell(WRITER);

/** Every line that it knows of is to be there, and as it was written. */
export const readLog = async (shell: Shell): Promise<{ written: number; wrongLines: number; lostLines: number }> => {
  const written = Number(await shell('cat /run/written'));
  const lines = (await shell('cat /data/log')).split('\n');
  const wrongLines = lines.filter((line, i) => line !== `${i + 1} ${checksum(i + 1)}`).length;
  return { written, wrongLines, lostLines: Math.max(0, written - lines.length) };
};

const checksum = (n: number): string => createHash('sha256').update(`${n}\n`).digest('hex').slice(0, 16);
