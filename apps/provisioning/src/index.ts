export { controllers } from './http/controllers.ts';
export { start } from './main.ts';
