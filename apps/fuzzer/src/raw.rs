//! A system call with any registers, and the memory that such a call may name.
//!
//! *Rule.* The kernel writes from an address upwards, page by page, and stops at the first page that the component may not
//! write. So an address is harmless if nothing lies behind it that the component uses: the scratch pages at the end of
//! the heap, everything that is not mapped, and everything that is mapped for reading. All other addresses are refused
//! here, before the kernel sees them.

use abi::PAGE_SIZE;
use abi::layout::{HEAP_BASE, HEAP_END, IMAGE_BASE, IMAGE_END, STACK_LIMIT, STACK_TOP};
use abi::syscall::Call;
use core::arch::asm;
use userlib::sys;

/// Registers `x0` to `x14`, in and out.
pub type Registers = [u64; 15];

/// Immediates of `svc` that can be tried: those of all calls, and some that no call has.
pub const IMMEDIATES: [u16; 34] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31, 32, 63, 64,
    255, 256, 4095, 32768, 65535,
];

/// Pages of heap; the manifest gives as many.
const HEAP_PAGES: usize = 4;
/// The first of them that the kernel may write to.
const SCRATCH_PAGE: u64 = 2;
/// What the pages before it are full of.
const CANARY: u64 = 0x7361_6D73_6172_6121;
/// Words in a page.
const PAGE_WORDS: usize = PAGE_SIZE / 8;

/// A page of read-only data.
#[repr(align(4096))]
struct Page([u64; PAGE_WORDS]);

static CONSTANT: Page = Page([CANARY; PAGE_WORDS]);

/// Memory that system calls may name.
pub struct Memory {
    /// First address of the scratch pages.
    pub scratch: u64,
    /// First address behind them, which is not mapped.
    pub end: u64,
    /// A page of read-only data.
    pub constant: u64,
}

impl Memory {
    /// Takes the whole heap. Once in an incarnation, or it panics.
    pub fn take() -> Self {
        let base = sys::map(HEAP_PAGES).expect("a heap of four pages");
        assert!(base == HEAP_BASE, "a heap that was untouched");
        let memory = Self {
            scratch: base + SCRATCH_PAGE * PAGE_SIZE as u64,
            end: base + (HEAP_PAGES * PAGE_SIZE) as u64,
            constant: CONSTANT.0.as_ptr().expose_provenance() as u64,
        };
        for word in 0..SCRATCH_PAGE as usize * PAGE_WORDS {
            // SAFETY: 1. The kernel has just mapped these pages, and nothing else uses them.
            unsafe { canary(word).write_volatile(CANARY) };
        }
        memory
    }

    /// Panics if memory has changed that no call was allowed to name.
    #[expect(clippy::unused_self, reason = "who has the memory may look at it")]
    pub fn check(&self) {
        for word in 0..SCRATCH_PAGE as usize * PAGE_WORDS {
            // SAFETY: 1. The pages were mapped by [`Memory::take`] and stay so. 2. Volatile: whether they have changed
            //    behind the compiler's back is the question.
            let found = unsafe { canary(word).read_volatile() };
            assert!(found == CANARY, "word {word} of memory that nobody named has become {found:#x}");
        }
    }

    /// Whether the kernel may get `value` as an address.
    pub fn is_harmless(&self, value: u64) -> bool {
        let first_text_page = value < IMAGE_BASE + PAGE_SIZE as u64;
        let constant = (self.constant..self.constant + PAGE_SIZE as u64).contains(&value);
        match value {
            STACK_LIMIT..STACK_TOP => false,
            IMAGE_BASE..IMAGE_END => first_text_page || constant,
            HEAP_BASE..HEAP_END => value >= self.scratch,
            _ => true,
        }
    }

    /// Makes the system call with this immediate.
    ///
    /// # Panics
    /// Panics if it would name memory in use, or the immediate is not among [`IMMEDIATES`].
    pub fn attempt(&self, immediate: u16, registers: &Registers) -> Registers {
        let harmless = addresses(immediate).iter().all(|at| self.is_harmless(registers[*at]));
        assert!(harmless, "call {immediate} would name memory in use: {registers:x?}");
        let mut registers = *registers;
        // SAFETY: 1. No register that is an address leads the kernel to memory in use: see the rule above.
        unsafe { call(immediate, &mut registers) };
        registers
    }
}

/// The registers that a call takes as addresses (`abi::syscall::Call`).
fn addresses(immediate: u16) -> &'static [usize] {
    match Call::from_immediate(immediate) {
        Some(Call::Call) => &[11, 13],
        Some(Call::Copy | Call::Reg) => &[3],
        Some(Call::Checkpoint | Call::Log | Call::Exit) => &[1],
        Some(Call::Inspect) => &[2],
        _ => &[],
    }
}

fn canary(word: usize) -> *mut u64 {
    core::ptr::with_exposed_provenance_mut(HEAP_BASE as usize + 8 * word)
}

/// The arms of [`call`], one for each immediate.
macro_rules! dispatch {
    ($immediate:ident, $r:ident: $($number:literal)*) => {
        match $immediate {
            $($number => {
                // SAFETY: 1. `svc` enters the kernel, which preserves x19 to x29 and sp and may change everything else:
                //    all of that is named as an output or covered by `clobber_abi`. 2. The memory that it touches is
                //    the caller's promise; no option says that memory is left alone.
                unsafe {
                    asm!(
                        concat!("svc #", $number),
                        inlateout("x0") $r[0], inlateout("x1") $r[1], inlateout("x2") $r[2], inlateout("x3") $r[3],
                        inlateout("x4") $r[4], inlateout("x5") $r[5], inlateout("x6") $r[6], inlateout("x7") $r[7],
                        inlateout("x8") $r[8], inlateout("x9") $r[9], inlateout("x10") $r[10], inlateout("x11") $r[11],
                        inlateout("x12") $r[12], inlateout("x13") $r[13], inlateout("x14") $r[14],
                        clobber_abi("C"),
                    );
                }
            })*
            other => panic!("immediate {other} is not in the list"),
        }
    };
}

/// The system call with this immediate and these registers.
///
/// # Safety
/// 1. No address in `registers` may lead the kernel to memory that the component uses.
unsafe fn call(immediate: u16, r: &mut Registers) {
    dispatch!(immediate, r: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 31 32 63 64 255 256 4095 32768 65535);
}
