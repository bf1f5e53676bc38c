// Exception vectors. While a component runs, SP_EL1 points to its frame; while the kernel runs, to the kernel's stack.
// Pair of exceptions.rs, which provides `system_call_from_component`, `call_directly`, `reply_directly`,
// `interrupt_from_component`, `exception_from_component`, `exception_from_kernel` and `kernel_registers`, and asserts the numbers that are known here. main.rs provides
// `kernel_state`.
//
// Every register of a component is saved before and restored after anything else is done. The message of a direct switch
// goes from the one frame to the other's registers, and is nowhere else.
// The linker script provides __stack_top and __emergency_stack_top.

.macro SAVE_COMPONENT                   // all of it; afterwards x15 to x30 are free, and x0 to x14 are still in place
    stp     x0, x1, [sp, #0]
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
    mrs     x15, sp_el0
    stp     x30, x15, [sp, #240]
    mrs     x16, elr_el1
    mrs     x17, spsr_el1
    stp     x16, x17, [sp, #256]
    mrs     x15, tpidr_el0
    str     x15, [sp, #272]
.endm

// The kernel's stack is empty whenever a component runs.
.macro ENTER_KERNEL                     // changes x16
    adrp    x16, __stack_top
    add     sp, x16, :lo12:__stack_top
.endm

.macro FROM_COMPONENT label
.balign 0x80
    SAVE_COMPONENT
    b       \label
.endm

// Address space, state and stack pointer of the component whose frame x0 is; SP_EL1 points to it from here on. No barrier:
// the kernel reads nothing through TTBR0, and an exception return synchronises the context (DDI 0487, glossary: context
// synchronization event).
.macro INSTALL_COMPONENT
    mov     sp, x0
    ldp     x16, x17, [sp, #272]
    msr     tpidr_el0, x16
    msr     ttbr0_el1, x17
    ldp     x16, x17, [sp, #256]
    msr     elr_el1, x16
    msr     spsr_el1, x17
    ldp     x30, x16, [sp, #240]
    msr     sp_el0, x16
.endm

// Label and words, from the frame x19 on.
.macro LOAD_MESSAGE
    ldp     x2, x3, [x19, #16]
    ldp     x4, x5, [x19, #32]
    ldp     x6, x7, [x19, #48]
    ldp     x8, x9, [x19, #64]
    ldr     x10, [x19, #80]
.endm

.macro LOAD_X14_TO_X29
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
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
.balign 0x80                            // 0: a system call, most of the time
    SAVE_COMPONENT
    mrs     x15, esr_el1
    mov     w16, #0x56000000            // class 0x15, `svc`, of 32 bits: the immediate is what differs
    eor     x15, x15, x16
    cmp     x15, #1
    b.eq    direct_call
    cmp     x15, #2
    b.eq    direct_reply
    b       other
    FROM_COMPONENT interrupt
    FROM_COMPONENT exception            // a fast interrupt: nobody enables one
    FROM_COMPONENT exception            // a system error
    FROM_KERNEL 12
    FROM_KERNEL 13
    FROM_KERNEL 14
    FROM_KERNEL 15

// The next two leave x29 to the component: a kernel's backtrace from in there ends with it.
//
// `call`, x0 to x14 its arguments: where the direct switch is possible, the server runs with the request.
direct_call:
    mov     x19, sp
    ENTER_KERNEL
    orr     x3, x12, x14                // the lengths of both grants: no bit of either is too high
    adr     x4, kernel_state
    bl      call_directly               // to the server's frame or 0, and the call
    cbz     x0, 1f
    INSTALL_COMPONENT
    LOAD_MESSAGE
    ldr     x11, [x19, #288]            // who calls
    ldr     x12, [x19, #96]
    ldr     x13, [x19, #112]
    LOAD_X14_TO_X29
    mov     x0, #0                      // a request
    eret
1:  mov     x1, #1
    b       system_call

// `reply_recv`, x0 and x1 its arguments: where the direct switch is possible, the caller runs with the answer.
direct_reply:
    mov     x19, sp
    ENTER_KERNEL
    adr     x2, kernel_state
    bl      reply_directly              // to the caller's frame or 0
    cbz     x0, 1f
    INSTALL_COMPONENT
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    LOAD_MESSAGE
    LOAD_X14_TO_X29
    ldr     x1, [sp, #8]
    mov     x0, #0                      // done
    eret
1:  mov     x1, #2
    b       system_call

interrupt:
    ENTER_KERNEL
    adr     x0, kernel_state
    mov     x29, xzr
    bl      interrupt_from_component
    b       resume_component

exception:
    ENTER_KERNEL
    adr     x0, kernel_state
    mov     x29, xzr
    bl      exception_from_component
    b       resume_component

other:                                  // x15: the immediate, if it is a system call
    ENTER_KERNEL
    mov     x1, x15
system_call:                            // x1: the immediate
    adr     x0, kernel_state
    mov     x29, xzr
    bl      system_call_from_component

.global resume_component
resume_component:                       // x0: the frame of the component that has the CPU now
    INSTALL_COMPONENT
    ldp     x0, x1, [sp, #0]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    LOAD_X14_TO_X29
    eret

// x0 to x30 of a frame, x1, to x0. The compiler would call `memcpy`, which takes five times as long.
.global copy_registers
copy_registers:
    ldp     x2, x3, [x1, #0]
    ldp     x4, x5, [x1, #16]
    ldp     x6, x7, [x1, #32]
    ldp     x8, x9, [x1, #48]
    stp     x2, x3, [x0, #0]
    stp     x4, x5, [x0, #16]
    stp     x6, x7, [x0, #32]
    stp     x8, x9, [x0, #48]
    ldp     x2, x3, [x1, #64]
    ldp     x4, x5, [x1, #80]
    ldp     x6, x7, [x1, #96]
    ldp     x8, x9, [x1, #112]
    stp     x2, x3, [x0, #64]
    stp     x4, x5, [x0, #80]
    stp     x6, x7, [x0, #96]
    stp     x8, x9, [x0, #112]
    ldp     x2, x3, [x1, #128]
    ldp     x4, x5, [x1, #144]
    ldp     x6, x7, [x1, #160]
    ldp     x8, x9, [x1, #176]
    stp     x2, x3, [x0, #128]
    stp     x4, x5, [x0, #144]
    stp     x6, x7, [x0, #160]
    stp     x8, x9, [x0, #176]
    ldp     x2, x3, [x1, #192]
    ldp     x4, x5, [x1, #208]
    ldp     x6, x7, [x1, #224]
    ldr     x8, [x1, #240]
    stp     x2, x3, [x0, #192]
    stp     x4, x5, [x0, #208]
    stp     x6, x7, [x0, #224]
    str     x8, [x0, #240]
    ret

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
