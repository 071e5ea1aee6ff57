const MAX_TEXT = 200;
const hidden = /token|secret|password|grant/i;

/** For people: texts cut at 200 characters, and no value under a key that names a secret. */
export const brief = (value: unknown, key = ''): unknown => {
  if (typeof value === 'string') {
    if (hidden.test(key) && value.length > 0) return '(hidden)';
    return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}… (${value.length} characters)` : value;
  }
  if (Array.isArray(value)) return value.slice(0, 100).map((v) => brief(v, key));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, brief(v, k)]));
};
