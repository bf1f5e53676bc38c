// Exception vectors. While a component runs, SP_EL1 points to its frame; while the kernel runs, to the kernel's stack.
// Pair of exceptions.rs, which provides `exception_from_component`, `exception_from_kernel` and `kernel_registers`, and
// asserts the sizes that are known here.
// The linker script provides __stack_top and __emergency_stack_top.

.macro FROM_COMPONENT kind
.balign 0x80
    stp     x0, x1, [sp, #0]
    mov     x0, #\kind
    b       save_component
.endm

// The stack may be what is broken, so nothing goes there: TPIDR_EL1 has no other use.
.macro SAVE_FIRST
    msr     tpidr_el1, x0
    adrp    x0, kernel_registers
    add     x0, x0, :lo12:kernel_registers
    stp     x1, x2, [x0, #8]
    str     x3, [x0, #24]
.endm

.macro FROM_KERNEL kind
.balign 0x80
    SAVE_FIRST
    mov     x1, #\kind
    b       kernel_bug
.endm

.section .text.vectors, "ax"
.balign 0x800
.global exception_vectors
exception_vectors:
    FROM_KERNEL 0
    FROM_KERNEL 1
    FROM_KERNEL 2
    FROM_KERNEL 3
.balign 0x80                            // kind 4: the kernel's own; a register that the bus refuses is expected
    SAVE_FIRST
    mrs     x2, elr_el1
    adr     x3, device_read
    sub     x2, x2, x3
    cmp     x2, #(device_access_end - device_read)
    b.lo    device_refused
    mov     x1, #4
    b       kernel_bug
    FROM_KERNEL 5
    FROM_KERNEL 6
    FROM_KERNEL 7
    FROM_COMPONENT 0
    FROM_COMPONENT 1
    FROM_COMPONENT 2
    FROM_COMPONENT 3
    FROM_KERNEL 12
    FROM_KERNEL 13
    FROM_KERNEL 14
    FROM_KERNEL 15

save_component:
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
    mrs     x1, sp_el0
    stp     x30, x1, [sp, #240]
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #256]
    mrs     x1, tpidr_el0
    str     x1, [sp, #272]
    adrp    x1, __stack_top
    add     x1, x1, :lo12:__stack_top
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    bl      exception_from_component

.global resume_component
resume_component:                       // x0: the frame of the component that has the CPU now
    mov     sp, x0
    ldr     x1, [sp, #272]
    msr     tpidr_el0, x1
    ldp     x1, x2, [sp, #256]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldp     x30, x1, [sp, #240]
    msr     sp_el0, x1
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp, #0]
    eret

// One register of a device, with interrupts masked: a bus error in here is the device's answer. Both change x1 to x3.
// x0: address. Returns the value in w0 and 0 in x1; without an answer 0 and 1.
.global device_read
device_read:
    mov     x1, #0
    ldr     w0, [x0]
    ret
// x0: address, w1: value. Returns 0 in x1; without an answer 1.
.global device_write
device_write:
    str     w1, [x0]
    mov     x1, #0
    ret
device_access_end:

device_refused:                         // back to who called device_read or device_write; flags and x30 are as they were
    adr     x1, 1f
    msr     elr_el1, x1
    eret
1:  mov     x0, #0
    mov     x1, #1
    ret

kernel_bug:                             // x0: kernel_registers, x1: kind; x1 to x3 are saved, x0 is in TPIDR_EL1
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    mov     x2, sp
    stp     x30, x2, [x0, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [x0, #256]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [x0, #272]
    mrs     x2, tpidr_el1
    str     x2, [x0]
    adrp    x2, __emergency_stack_top
    add     x2, x2, :lo12:__emergency_stack_top
    mov     sp, x2
    mov     x29, xzr
    mov     x30, xzr
    b       exception_from_kernel
