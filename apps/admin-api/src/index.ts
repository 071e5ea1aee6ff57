export { controllers } from './routes/controllers.ts';
export { start } from './main.ts';
export { merge, type OpenApi } from './openapi.ts';
