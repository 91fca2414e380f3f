//! What a PC in BIOS mode runs from the disk: a sentence on the screen.
//!
//! Old PCs, and new ones with CSM switched on, load the first sector of a disk to address 0x7C00
//! and jump there. bootllm is a UEFI program and cannot start that way; without code in that sector
//! the PC would hang, or run whatever was there.

/// The sentence, in the lines that it has on a screen of 80 columns.
pub const MESSAGE: &str = "\r\n\
    bootllm needs UEFI: choose the UEFI entry of this stick in the boot menu,\r\n\
    or switch CSM/Legacy off.\r\n";

/// The code before the message, in 16-bit real mode. It finds the message from where it runs, so
/// the same bytes work in the MBR, in the boot sector of a volume, and at either spelling of the
/// load address (0000:7C00 and 07C0:0000).
///
/// The BIOS call is interrupt 0x10, function 0x0E: write the character in AL at the cursor.
const CODE: [u8; 30] = [
    0xfb, //             00  sti                 the BIOS sees Ctrl+Alt+Del by interrupt
    0xfc, //             01  cld                 lodsb counts up
    0x0e, //             02  push cs
    0x1f, //             03  pop  ds             the message is in the code's segment
    0xe8, 0x00, 0x00, // 04  call 07             push the address of the next instruction
    0x5e, //             07  pop  si             si = where offset 07 is
    0x83, 0xc6, 0x17, // 08  add  si, 1e - 07    si = the message
    0xac, //             0b  lodsb               al = the next character
    0x84, 0xc0, //       0c  test al, al
    0x74, 0x0b, //       0e  jz   1b             0 ends the message
    0x56, //             10  push si             some BIOSes change it
    0xb4, 0x0e, //       11  mov  ah, 0x0e
    0xbb, 0x07, 0x00, // 13  mov  bx, 7          page 0, light grey
    0xcd, 0x10, //       16  int  0x10
    0x5e, //             18  pop  si
    0xeb, 0xf0, //       19  jmp  0b
    0xf4, //             1b  hlt                 nothing more to do
    0xeb, 0xfd, //       1c  jmp  1b
];

/// The code with its message, to be put where the BIOS, or the jump at the beginning of a boot
/// sector, goes. It has less than the 420 bytes that a FAT32 boot sector has for code.
pub fn code() -> Vec<u8> {
    [&CODE, MESSAGE.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_ends_where_the_message_begins() {
        let code = code();
        // `call` pushes 7, and `add si` adds the rest.
        let message = 7 + usize::from(code[0x0a]);
        assert_eq!(code[message..], [MESSAGE.as_bytes(), &[0]].concat());
    }

    #[test]
    fn it_fits_a_boot_sector_and_a_screen() {
        assert!(code().len() <= 420);
        assert!(MESSAGE.is_ascii());
        assert!(MESSAGE.lines().all(|line| line.len() < 80));
    }
}
