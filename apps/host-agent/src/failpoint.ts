/** service-kit's failpoint without the rest of service-kit: a host agent is a plain process and loads no framework. */
export { failpoint, FailpointError } from '../../../libs/service-kit/src/failpoint.ts';
