// First instructions: EL2 (or EL1) at the physical address, MMU off, to Rust at EL1 in the upper half.
// Pair of boot.rs, which provides by name: MAIR, TCR_BOOT, SCTLR_OFF, SCTLR_ON, BLOCK_0 to BLOCK_3, CPU_PART, OTHER_CORES,
// SPIN_TABLE; and `refuse_board`. The linker script provides __stack_top. `kernel_main` is in boot.rs of the kernel.
//
// What an emulator lets pass and a board does not: no exclusive access before the MMU and the data cache are on (the
// monitor works on cacheable memory only), no unaligned access, barriers around every change of translation, and EL2
// registers that come out of reset undefined. armstub8 has set SMPEN, CNTFRQ_EL0 and SCR_EL3, and left
// SCTLR_EL2 = 0x30C50830 (armstub8.S of the Raspberry Pi tools).

.section .text.boot, "ax"
.global _start
_start:
    msr     daifset, #0xf
    mrs     x1, mpidr_el1
    tst     x1, #0xff
    b.ne    park

    mrs     x0, midr_el1                // MIDR_EL1.PartNum: another processor means another board
    ubfx    x0, x0, #4, #12
    mov     x1, {CPU_PART}
    cmp     x0, x1
    b.ne    wrong_board

    // The other cores poll the spin table: send them to `park`, where they stop consuming time.
    adr     x1, park
    mov     x2, {SPIN_TABLE}
    mov     x3, {OTHER_CORES}
1:  str     x1, [x2], #8
    subs    x3, x3, #1
    b.ne    1b
    dsb     sy
    sev

    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    2f
    mov     x1, #(1 << 31)              // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x1
    mov     x1, #3                      // CNTHCTL_EL2: EL1 may use the physical counter and timer
    msr     cnthctl_el2, x1
    msr     cntvoff_el2, xzr
    mov     x1, #0x33ff                 // CPTR_EL2: nothing is trapped to EL2
    msr     cptr_el2, x1
    msr     hstr_el2, xzr
    mrs     x1, pmcr_el0                // MDCR_EL2: all counters belong to EL1, no debug access is trapped
    ubfx    x1, x1, #11, #5
    msr     mdcr_el2, x1
    msr     vttbr_el2, xzr
    mrs     x1, midr_el1
    msr     vpidr_el2, x1
    mrs     x1, mpidr_el1
    msr     vmpidr_el2, x1
    ldr     x1, ={SCTLR_OFF}
    msr     sctlr_el1, x1
    mov     x1, #0x3c5                  // SPSR: EL1h, everything masked
    msr     spsr_el2, x1
    adr     x1, 2f
    msr     elr_el2, x1
    eret

2:  // EL1, MMU off. One table serves both halves: blocks of 1 GiB, memory and devices.
    adrp    x1, boot_table
    add     x1, x1, :lo12:boot_table
    msr     ttbr0_el1, x1
    msr     ttbr1_el1, x1
    ldr     x1, ={MAIR}
    msr     mair_el1, x1
    ldr     x1, ={TCR_BOOT}
    msr     tcr_el1, x1
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x1, ={SCTLR_ON}
    msr     sctlr_el1, x1
    isb
    ldr     x1, =__stack_top
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    ldr     x1, =kernel_main
    br      x1

wrong_board:                            // x0: the processor's part number
    adrp    x1, __stack_top
    add     x1, x1, :lo12:__stack_top
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    bl      refuse_board                // and then rest, like the other cores

.global park
park:
    msr     daifset, #0xf
3:  wfi
    b       3b

.section .data.boot_table, "aw"
.balign 4096
boot_table:
    .quad   {BLOCK_0}
    .quad   {BLOCK_1}
    .quad   {BLOCK_2}
    .quad   {BLOCK_3}
    .fill   508, 8, 0
