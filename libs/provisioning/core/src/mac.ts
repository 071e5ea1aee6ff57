/** The last two bytes of a MAC; in network `front` they are the guest's address, 198.18.<fifth>.<sixth>/16. */
export type MacTail = Readonly<{ fifth: number; sixth: number }>;

const FIFTH = { from: 16, to: 250 } as const;
const SIXTH = { from: 1, to: 254 } as const;
const sixths = SIXTH.to - SIXTH.from + 1;
/** How many NICs can have a MAC at a time: 59,690. */
export const MAC_TAILS = (FIFTH.to - FIFTH.from + 1) * sixths;

/** The n-th of all tails, from 0; goes round after the last. */
export const macTail = (n: number): MacTail => {
  const i = n % MAC_TAILS;
  return { fifth: FIFTH.from + Math.floor(i / sixths), sixth: SIXTH.from + (i % sixths) };
};

const byte = (n: number): string => n.toString(16).padStart(2, '0');
/** 52:54:00 is what QEMU's guests have; the fourth byte is the NIC's place in its VM. */
export const macOf = (nic: number, { fifth, sixth }: MacTail): string => `52:54:00:${byte(nic)}:${byte(fifth)}:${byte(sixth)}`;
