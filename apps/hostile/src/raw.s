// One system call or one wait with every general register in the caller's hands.
//
// Counterpart: raw.rs. The block that x0 points to holds x0 to x30 (31 words), TPIDR_EL0 and NZCV; it is read before and
// written after. It is found again through the stack, because every register belongs to the experiment.

.macro load_all
    stp     x29, x30, [sp, #-112]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    str     x0, [sp, #96]
    ldr     x1, [x0, #248]
    msr     tpidr_el0, x1
    ldr     x1, [x0, #256]
    msr     nzcv, x1
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
.endm

.macro store_all
    str     x30, [sp, #104]
    ldr     x30, [sp, #96]
    stp     x0, x1, [x30]
    stp     x2, x3, [x30, #16]
    stp     x4, x5, [x30, #32]
    stp     x6, x7, [x30, #48]
    stp     x8, x9, [x30, #64]
    stp     x10, x11, [x30, #80]
    stp     x12, x13, [x30, #96]
    stp     x14, x15, [x30, #112]
    stp     x16, x17, [x30, #128]
    stp     x18, x19, [x30, #144]
    stp     x20, x21, [x30, #160]
    stp     x22, x23, [x30, #176]
    stp     x24, x25, [x30, #192]
    stp     x26, x27, [x30, #208]
    stp     x28, x29, [x30, #224]
    ldr     x0, [sp, #104]
    str     x0, [x30, #240]
    mrs     x0, tpidr_el0
    str     x0, [x30, #248]
    mrs     x0, nzcv
    str     x0, [x30, #256]
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #112
    ret
.endm

    .section .text.hostile_registers, "ax"
    .global hostile_recv
hostile_recv:
    load_all
    svc     #3                  // abi::syscall::Call::Recv
    store_all

    .global hostile_call
hostile_call:
    load_all
    svc     #1                  // abi::syscall::Call::Call
    store_all

    .global hostile_null
hostile_null:
    load_all
    svc     #4095               // no such call
    store_all

    .global hostile_spin        // 2,000 instructions that use no register, to be preempted in
hostile_spin:
    load_all
    .rept   2000
    nop
    .endr
    store_all

    .global hostile_die         // dies of an exception with every register as it is in the block
hostile_die:
    load_all
    udf     #0
