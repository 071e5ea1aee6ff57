export { controllers } from './controllers.ts';
export { start } from './main.ts';
