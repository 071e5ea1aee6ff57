export { redact } from '@chrysalis/service-kit';
