// Loaded before an agent: its machine's clock is ahead by CLOCK_AHEAD_MS, as that of a host whose battery is dead.
const ahead = Number(process.env.CLOCK_AHEAD_MS);
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RealDate.now() + ahead] : given));
  }
  static now() {
    return RealDate.now() + ahead;
  }
};
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + ahead });
