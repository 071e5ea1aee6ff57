// Jest's global setup: what its workers start, down to the QEMUs of host agents, ends with this run, however that ends.
import { leash, sweepLeashes } from '../../infra/process/leash.ts';

export default () => {
  sweepLeashes();
  leash();
};
