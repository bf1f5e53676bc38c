//! A plugin of the emulator that finds the longest sections of the kernel in which no interrupt can be taken, in guest
//! instructions. Given `out=FILE`, it writes them there when the emulator ends.
//!
//! A section begins where a component's exception enters the kernel, or behind the last look for interrupts, and ends with
//! the next look or with the return to a component. A look is a read of `ISR_EL1`, or `wfi`. What runs in the upper half of
//! the address space is the kernel; its boot, from the write to `VBAR_EL1` to the first return, is no section: there is no
//! component yet that could wait for an interrupt.
//!
//! Rule: the guest is watched and never touched, so that it does the same as without. Only the first core counts; the
//! others sleep.
//!
//! # Resources
//! QEMU, `include/qemu/qemu-plugin.h`, version 4 of the interface (QEMU 9.2 and later); DDI 0487, C6.2 (encodings).

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shorter sections are only counted.
const FLOOR: usize = 1_000;

/// The first address of the kernel's half.
const KERNEL: u64 = 0xFFFF_0000_0000_0000;

const ERET: u32 = 0xD69F_03E0;
const WFI: u32 = 0xD503_207F;
/// `mrs Xt, isr_el1` and `msr vbar_el1, Xt`, without the register.
const READ_ISR: u32 = 0xD538_C100;
const WRITE_VBAR: u32 = 0xD518_C000;
const REGISTER: u32 = 0x1F;

/// What an instruction of the kernel means for a section.
#[derive(Clone, Copy)]
enum Kind {
    Step,
    Look,
    Return,
    Boot,
}

impl Kind {
    fn of(instruction: u32) -> Self {
        match instruction {
            ERET => Self::Return,
            WFI => Self::Look,
            _ if instruction & !REGISTER == READ_ISR => Self::Look,
            _ if instruction & !REGISTER == WRITE_VBAR => Self::Boot,
            _ => Self::Step,
        }
    }
}

/// Where a section begins, where it ends, and its instruction that was executed most often.
type Key = (u64, u64, u64);

/// What has been seen.
struct Watch {
    out: PathBuf,
    boots: bool,
    /// Addresses of the instructions since the last look.
    section: Vec<u64>,
    /// Of each kind of section the longest: how often each of its instructions was executed.
    longest: BTreeMap<Key, Counts>,
    sections: u64,
}

type Counts = BTreeMap<u64, usize>;

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    out: PathBuf::new(),
    boots: true,
    section: Vec::new(),
    longest: BTreeMap::new(),
    sections: 0,
});

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    fn executes(&mut self, address: u64, kind: Kind) {
        if !self.boots {
            self.section.push(address);
        }
        match kind {
            Kind::Step => {}
            Kind::Look => self.end(),
            Kind::Return => {
                self.end();
                self.boots = false;
            }
            Kind::Boot => {
                self.section.clear();
                self.boots = true;
            }
        }
    }

    fn end(&mut self) {
        self.sections += u64::from(!self.section.is_empty());
        if self.section.len() >= FLOOR {
            self.keep();
        }
        self.section.clear();
    }

    fn keep(&mut self) {
        let mut counts = Counts::new();
        for &address in &self.section {
            *counts.entry(address).or_default() += 1;
        }
        let busiest = counts.iter().max_by_key(|(_, count)| **count).map_or(0, |(address, _)| *address);
        let (Some(&first), Some(&last)) = (self.section.first(), self.section.last()) else { return };
        let kept = self.longest.entry((first, last, busiest)).or_default();
        if kept.values().sum::<usize>() < self.section.len() {
            *kept = counts;
        }
    }

    /// Lines `section FIRST LAST`, the longest first, each followed by lines `ADDRESS COUNT`; at the end `sections NUMBER`.
    fn text(&self) -> String {
        let mut sections: Vec<_> = self.longest.iter().collect();
        sections.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.values().sum::<usize>()));
        let mut text = String::new();
        for ((first, last, _), counts) in sections {
            let _ = writeln!(text, "section {first:#x} {last:#x}");
            for (address, count) in counts {
                let _ = writeln!(text, "{address:#x} {count}");
            }
        }
        let _ = writeln!(text, "sections {}", self.sections);
        text
    }
}

#[repr(C)]
struct Block {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Instruction {
    _opaque: [u8; 0],
}

type Translated = extern "C" fn(u64, *mut Block);
type Executed = extern "C" fn(c_uint, *mut c_void);
type Ended = extern "C" fn(u64, *mut c_void);

/// The callbacks read no registers of the guest.
const NO_REGISTERS: c_int = 0;

unsafe extern "C" {
    // All in the emulator.
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: Translated);
    fn qemu_plugin_register_atexit_cb(id: u64, callback: Ended, data: *mut c_void);
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_insn_data(instruction: *const Instruction, out: *mut c_void, length: usize) -> usize;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: Executed,
        flags: c_int,
        data: *mut c_void,
    );
}

/// The version of the interface that is meant; an emulator that lacks it refuses the plugin.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = 4;

/// Called by the emulator, once, before the guest runs.
///
/// # Safety
/// 1. `argv` points to `argc` strings that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    for index in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: 1. by the caller's promise there are so many strings, each with its end.
        let argument = unsafe { CStr::from_ptr(*argv.add(index)) };
        if let Some(path) = argument.to_str().ok().and_then(|text| text.strip_prefix("out=")) {
            watch().out = path.into();
        }
    }
    if watch().out.as_os_str().is_empty() {
        eprintln!("the plugin needs out=FILE");
        return 1;
    }
    // SAFETY: 1. the emulator has these functions in the version named above; 2. both callbacks are functions of this
    //    library, which stays loaded.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu_plugin_register_atexit_cb(id, ended, std::ptr::null_mut());
    }
    0
}

/// The emulator has translated a block of instructions: those of the kernel are watched.
extern "C" fn translated(_id: u64, block: *mut Block) {
    // SAFETY: 1. the block is the emulator's, and lives during this call.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        let mut bytes = [0; 4];
        // SAFETY: 1. the block lives during this call, and so do its instructions; 2. `bytes` has room for four bytes, which
        //    is what an instruction has; 3. the callbacks are functions of this library.
        unsafe {
            let instruction = qemu_plugin_tb_get_insn(block, index);
            let address = qemu_plugin_insn_vaddr(instruction);
            if address < KERNEL {
                continue;
            }
            qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), bytes.len());
            let callback = match Kind::of(u32::from_le_bytes(bytes)) {
                Kind::Step => step,
                Kind::Look => look,
                Kind::Return => leave,
                Kind::Boot => boot,
            };
            let data = std::ptr::without_provenance_mut(address as usize);
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, NO_REGISTERS, data);
        }
    }
}

fn executes(core: c_uint, data: *mut c_void, kind: Kind) {
    if core == 0 {
        watch().executes(data.addr() as u64, kind);
    }
}

extern "C" fn step(core: c_uint, data: *mut c_void) {
    executes(core, data, Kind::Step);
}

extern "C" fn look(core: c_uint, data: *mut c_void) {
    executes(core, data, Kind::Look);
}

extern "C" fn leave(core: c_uint, data: *mut c_void) {
    executes(core, data, Kind::Return);
}

extern "C" fn boot(core: c_uint, data: *mut c_void) {
    executes(core, data, Kind::Boot);
}

extern "C" fn ended(_id: u64, _data: *mut c_void) {
    let watch = watch();
    if let Err(error) = std::fs::write(&watch.out, watch.text()) {
        eprintln!("writing {}: {error}", watch.out.display());
    }
}
