// First instructions of a component.
//
// Provided by the kernel: x0 slot, x1 incarnation, x2 flags, sp = abi::layout::STACK_TOP.
// samsara_main:       start.rs, through the macro entry! of the component.
// samsara_fault_stub: fault_stub.rs. Nothing calls it but the kernel; the word below keeps the linker from dropping it.

    .section .text._start, "ax"
    .global _start
    .type _start, %function
_start:
    mov     x29, #0             // a frame pointer of zero ends every backtrace
    mov     x30, #0
    bl      samsara_main
    udf     #0                  // samsara_main does not return
    .balign 8
    .xword  samsara_fault_stub
    .size _start, . - _start
