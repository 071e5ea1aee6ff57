export type SimulatedGuest = { x: 1 };
