// Operations between two time stamps, of which nothing but the operation lies between them.
//
// Pair of measure.rs, which defines Block: 15 registers, then, at byte 120, the shift, the stamp before and the stamp
// after. Nothing else provides or uses a symbol here.

    .set SHIFT, 120
    .set BEFORE, 128

// Brings the next instruction to a phase of the clock that depends on x19 (0 to 15) alone. The loop has 17 instructions
// from stamp to stamp and the clock ticks every 16: the phase moves by one each time, and when it passes a tick the
// difference is 2. Then as many no-operations as the shift says. Changes x15 to x17 and the flags.
.macro ALIGN_PHASE
    mrs     x15, cntvct_el0
10: mrs     x16, cntvct_el0
    sub     x17, x16, x15
    mov     x15, x16
    cmp     x17, #2
    b.eq    11f
    .rept 11
    nop
    .endr
    b       10b
11: SHIFT_BY_NOPS
.endm

// x19 no-operations; 3 instructions more. Changes x15.
.macro SHIFT_BY_NOPS
    adr     x15, 12f
    sub     x15, x15, x19, lsl #2
    br      x15
    .rept 15
    nop
    .endr
12:
.endm

.macro LOAD_REGISTERS
    ldp     x0, x1, [x22, #0]
    ldp     x2, x3, [x22, #16]
    ldp     x4, x5, [x22, #32]
    ldp     x6, x7, [x22, #48]
    ldp     x8, x9, [x22, #64]
    ldp     x10, x11, [x22, #80]
    ldp     x12, x13, [x22, #96]
    ldr     x14, [x22, #112]
.endm

.macro STORE_REGISTERS
    stp     x0, x1, [x22, #0]
    stp     x2, x3, [x22, #16]
    stp     x4, x5, [x22, #32]
    stp     x6, x7, [x22, #48]
    stp     x8, x9, [x22, #64]
    stp     x10, x11, [x22, #80]
    stp     x12, x13, [x22, #96]
    str     x14, [x22, #112]
    stp     x20, x21, [x22, #BEFORE]
.endm

.macro BEGIN name
    .section .text.\name, "ax"
    .global \name
    .type \name, %function
\name:                              // x0: the block
    stp     x19, x20, [sp, #-48]!
    stp     x21, x22, [sp, #16]
    str     x30, [sp, #32]
    mov     x22, x0
    ldr     x19, [x22, #SHIFT]
.endm

.macro END name
    STORE_REGISTERS
    ldr     x30, [sp, #32]
    ldp     x21, x22, [sp, #16]
    ldp     x19, x20, [sp], #48
    ret
    .size \name, . - \name
.endm

// The phase, the registers, a stamp, the operation, a stamp.
.macro IN_PHASE name, operation:vararg
    BEGIN \name
    ALIGN_PHASE
    LOAD_REGISTERS
    mrs     x20, cntvct_el0
    \operation
    mrs     x21, cntvct_el0
    END \name
.endm

// The same in whatever phase the caller is.
.macro AS_IT_COMES name, operation:vararg
    BEGIN \name
    LOAD_REGISTERS
    mrs     x20, cntvct_el0
    \operation
    mrs     x21, cntvct_el0
    END \name
.endm

.macro HUNDRED_NOPS
    .rept 100
    nop
    .endr
.endm

    IN_PHASE measure_stub, nop
    IN_PHASE measure_hundred, HUNDRED_NOPS
    IN_PHASE measure_null_call, svc #0x7fff
    IN_PHASE measure_call, svc #1
    IN_PHASE measure_notify, svc #5
    IN_PHASE measure_inject, svc #17
    IN_PHASE measure_poll, svc #3
    IN_PHASE measure_map, svc #7
    IN_PHASE measure_reg, svc #8
    IN_PHASE measure_irq_ack, svc #9
    IN_PHASE measure_checkpoint, svc #10
    IN_PHASE measure_log, svc #11
    IN_PHASE measure_kill, svc #14
    IN_PHASE measure_inspect, svc #15
    IN_PHASE measure_slot_ctl, svc #16
    IN_PHASE measure_reply, svc #4
    AS_IT_COMES measure_recv, svc #3
    AS_IT_COMES measure_copy, svc #6

// The reply's last word is the stamp before it.
    BEGIN measure_reply_recv
    LOAD_REGISTERS
    mrs     x10, cntvct_el0
    svc     #2
    mrs     x21, cntvct_el0
    END measure_reply_recv

// The stamp after it is shifted.
    BEGIN measure_reply_recv_shifted
    LOAD_REGISTERS
    mrs     x10, cntvct_el0
    svc     #2
    SHIFT_BY_NOPS
    mrs     x21, cntvct_el0
    END measure_reply_recv_shifted

// Ends the component; the stamp is in x20 of its death record.
    BEGIN measure_fault
    ALIGN_PHASE
    mrs     x20, cntvct_el0
    udf     #0
    .size measure_fault, . - measure_fault
