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

    .global hostile_burn
hostile_burn:
    .rept   1000
    nop
    .endr
    ret

    .global hostile_die         // dies of an exception with every register as it is in the block
hostile_die:
    load_all
    udf     #0

    .global samsara_main        // in place of the one that userlib makes: keeps what a new incarnation finds in its registers
samsara_main:
    sub     sp, sp, #272
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    mrs     x3, tpidr_el0
    str     x3, [sp, #248]
    mrs     x3, nzcv
    str     x3, [sp, #256]
    mov     x3, sp
    bl      hostile_main        // raw.rs
    udf     #0

// Registers that are nobody's own: reads number x0 of the table below, and returns what was in it. The numbers are known to
// test-harness/tests/board/unbreakable/registers.rs. By encoding: what the assembler would refuse for this target.
    .global hostile_peek
hostile_peek:
    adr     x1, peeks
    add     x1, x1, x0, lsl #3
    mov     x0, #0
    br      x1

.macro PEEK register
    mrs     x0, \register
    ret
.endm

    .balign 8
peeks:
    .inst   0x9E660000          // fmov x0, d0
    ret
    .inst   0x9E670000          // fmov d0, x0
    ret
    .inst   0x3D800000          // str q0, [x0]
    ret
    PEEK    s3_3_c4_c4_0        // FPCR
    PEEK    s3_3_c4_c4_1        // FPSR
    PEEK    tpidrro_el0
    PEEK    s3_3_c9_c14_0       // PMUSERENR_EL0
    PEEK    s3_3_c9_c12_0       // PMCR_EL0
    PEEK    s3_3_c9_c13_0       // PMCCNTR_EL0
    PEEK    s3_3_c14_c8_0       // PMEVCNTR0_EL0
    PEEK    s2_3_c0_c1_0        // MDCCSR_EL0
    PEEK    s2_3_c0_c4_0        // DBGDTR_EL0
    PEEK    s2_3_c0_c5_0        // DBGDTRRX_EL0
    PEEK    cntpct_el0
    PEEK    cntv_ctl_el0
    PEEK    cntv_cval_el0
    PEEK    cntp_ctl_el0
    PEEK    cntp_cval_el0
    PEEK    daif
    PEEK    ctr_el0
    PEEK    currentel
    PEEK    sp_el0
    PEEK    tpidr_el1
    PEEK    ttbr0_el1
    PEEK    ttbr1_el1
    PEEK    vbar_el1
    PEEK    elr_el1
    PEEK    spsr_el1
    PEEK    esr_el1
    PEEK    far_el1
    PEEK    sctlr_el1
    PEEK    par_el1
    PEEK    s2_0_c0_c2_2        // MDSCR_EL1
    PEEK    midr_el1
    PEEK    s3_1_c15_c3_0       // CBAR_EL1
