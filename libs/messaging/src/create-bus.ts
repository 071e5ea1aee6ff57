import type { EventBus } from './bus.ts';
import { EmbeddedBus, type EmbeddedConfig } from './embedded/bus.ts';
import { KafkaBus, type KafkaConfig } from './kafka/bus.ts';

export type BusConfig = EmbeddedConfig | KafkaConfig;

export const createBus = (config: BusConfig): EventBus => (config.kind === 'kafka' ? new KafkaBus(config) : new EmbeddedBus(config));
