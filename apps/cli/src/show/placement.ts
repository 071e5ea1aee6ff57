import type { AnswerOf } from '@chrysalis/api-client';

type Placement = AnswerOf<'post', '/v1/placements'>;
/** So many hosts are told of one by one. */
const SHOWN = 20;
export const placementText = ({ candidates, refused }: Placement): string =>
  [
    candidates.length ? `Could go to, best first: ${candidates.map((c) => c.hostId).join(', ')}` : 'Could go nowhere.',
    ...refused.slice(0, SHOWN).map((r) => `  not ${r.hostId}: ${r.reasons.map((x) => `${x.code}: ${x.message}`).join('; ')}`),
    ...(refused.length > SHOWN ? [`  and ${refused.length - SHOWN} more hosts; -o json has them all`] : []),
  ].join('\n');
