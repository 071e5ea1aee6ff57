const SECTOR = 512;

/**
 * A disk that a BIOS boots in an instant: its first sector counts boots in the second one, and writes `boot <n>` to the serial port. Nine
 * boots at most. What is in it, for an assembler (16 bit):
 *
 *     xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax; mov sp,0x7c00; mov [0x8002],dl
 *     mov ax,0x0201; mov bx,0x7e00; mov cx,2; xor dh,dh; int 0x13              ; the second sector
 *     inc byte [0x7e00]
 *     mov ax,0x0301; mov bx,0x7e00; mov cx,2; xor dh,dh; mov dl,[0x8002]; int 0x13
 *     mov dx,0x3f8; mov si,text; next: lodsb; test al,al; jz digit; out dx,al; jmp next
 *     digit: mov al,[0x7e00]; add al,'0'; out dx,al; mov al,10; out dx,al
 *     sti; rest: hlt; jmp rest
 *     text: db 'boot ',0
 */
const LOADER =
  '31c08ed88ec08ed0bc007c88160280b80102bb007eb9020030f6cd13fe06007eb80103bb007eb9020030f68a160280cd13' +
  'baf803be4c7cac84c07403eeebf8a0007e0430eeb00aeefbf4ebfd626f6f742000';

/** `sti; jmp` behind the text, where more is to be done, in place of `sti; rest: hlt; jmp rest`. */
const REST = 'fbf4ebfd';
const GOES_ON = 'fbe90600';

/** `mov dx,0x604; mov ax,0x2000; out dx,ax`: q35's ACPI, S5. `mov dx,0xcf9; mov al,6; out dx,al`: a reset by its chipset. */
const acts = { 'power-off': 'ba0406b80020ef', reset: 'baf90cb006ee' };

/**
 * At its first boot alone, `ticks` of 55 ms after its word: `cmp byte [0x7e00],1; jne rest; mov cx,ticks; wait: hlt; loop wait`, the act,
 * `rest: hlt; jmp rest`.
 */
const once = (act: string, ticks: number): string => {
  const word = Buffer.alloc(2);
  word.writeUInt16LE(ticks);
  const skipped = `b9${word.toString('hex')}f4e2fd${act}`;
  return `803e007e0175${Buffer.of(skipped.length / 2).toString('hex')}${skipped}f4ebfd`;
};

/**
 * It writes back what comes on its serial port: `rest: hlt; poll: mov dx,0x3fd; in al,dx; test al,1; jz rest; mov dx,0x3f8; in al,dx;
 * out dx,al; jmp poll`.
 */
const ECHOES = 'f4bafd03eca80174f7baf803eceeebf1';

/** `then`: what the guest does by itself at its first boot, 3 s after it has said so; else it is an echo on its console. */
export const bootDisk = (then?: keyof typeof acts): Buffer => {
  const disk = Buffer.alloc(1024 * 1024);
  const program = LOADER.replace(REST, GOES_ON) + (then ? once(acts[then], 55) : ECHOES);
  Buffer.from(program, 'hex').copy(disk);
  disk.writeUInt16LE(0xaa55, SECTOR - 2);
  return disk;
};
