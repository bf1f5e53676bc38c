//! A driver that reaches for what is not its own: by address, and by the system call for registers.

use crate::{idle, number, raw, say};
use abi::layout::{
    ARENA_BASE, DEVICE_BASE, DEVICE_STRIDE, HEAP_BASE, IMAGE_BASE, PLAN_BASE, STACK_LIMIT, STACK_TOP,
    USER_END,
};
use abi::syscall::reg;
use userlib::{binding, sys};

/// Where the kernel sees physical memory.
const LINEAR: u64 = 0xFFFF_FF80_0000_0000;

/// An address of somebody else in each life: announces it, and reads or writes it.
pub fn wild_access(incarnation: u32) -> ! {
    // The first receive: who dies before it, again and again, ends in quarantine.
    crate::pause(0);
    // The manifest gives one device of 32 bytes in a page of its own.
    assert!(binding!(window ?"system-timer").is_some(), "the manifest gives a device");
    let device = number(1);
    let addresses = [
        0,
        8,
        IMAGE_BASE - 8,
        STACK_LIMIT - 4096,
        STACK_TOP,
        HEAP_BASE,
        ARENA_BASE,
        PLAN_BASE - 8,
        DEVICE_BASE + 0x1000,
        DEVICE_BASE + DEVICE_STRIDE,
        USER_END,
        device,
        0x0008_0000,
        0x0000_FFFF_FFFF_FFF8,
        LINEAR | 0x8_0000,
        LINEAR | device,
        0xFFFF_FFFF_FFFF_FFF8,
    ];
    let turn = incarnation as usize - 1;
    if let Some(address) = addresses.get(turn / 2) {
        let writes = turn % 2 == 1;
        say(&[*address, u64::from(writes)]);
        if writes {
            raw::write(*address, 0xDEAD);
        } else {
            raw::read(*address);
        }
        panic!("{address:#x} was not refused");
    }
    if turn == 2 * addresses.len() {
        let bottom = descend(0);
        panic!("the stack has no end: {bottom}");
    }
    say(&[]);
    idle()
}

/// Goes down the stack until there is none.
fn descend(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 32]);
    // The condition keeps the compiler from making a loop of it.
    let below = if core::hint::black_box(true) { descend(depth + 1) } else { 0 };
    below + core::hint::black_box(frame)[0]
}

/// Tries every operation on offsets in, before and behind its checked window, of which the manifest allows to read one; then
/// reaches for the window by address, which is not mapped. A life each for reading and for writing.
pub fn checked_registers(incarnation: u32) -> ! {
    crate::pause(0);
    assert!(binding!(window ?"mailbox").is_some(), "the manifest gives a device");
    if incarnation == 1 {
        for low in 0..0x44 {
            try_register(low);
        }
        // Behind the window in its page; the next page; before the window, where others have registers in the same page.
        for offset in
            [0x7C, 0x77C, 0x780, 0x1000, 0x1018, 0xFFFF_FFFF, 1 << 32, 1 << 32 | 0x18, 1 << 63 | 0x18]
        {
            try_register(offset);
        }
        for before in [0x04, 0x3C, 0x40, 0x480, 0x67C, 0x680, 0x880] {
            try_register(0_usize.wrapping_sub(before));
        }
    }
    match incarnation {
        1 => _ = raw::read(DEVICE_BASE),
        // The register by which the mailbox's other side is given an address to work on.
        2 => raw::write(DEVICE_BASE + 0x20, 0),
        _ => {
            say(&[]);
            idle()
        }
    }
    panic!("a window that is not mapped was reached")
}

fn try_register(offset: usize) {
    for operation in [reg::READ, reg::WRITE] {
        let status = sys::reg(0, operation, offset, 0, u32::MAX).err().map_or(0, |status| status as u64);
        let mut words = [0; 1];
        let many = raw::reg_words(0, operation, offset, &mut words).err().map_or(0, |status| status as u64);
        say(&[offset as u64, operation, status, many]);
    }
}
