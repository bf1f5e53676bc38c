//! Registers of the ARM PrimeCell UART PL011.
//!
//! # Resources
//! - *PrimeCell UART (PL011) Technical Reference Manual*, ARM DDI 0183, chapter 3 "Programmer's model", table 3-1.
//! - *BCM2835 ARM Peripherals*, 6 February 2012, chapter 13 "UART": the same block with FIFOs of 16 bytes, and without
//!   the IrDA and DMA functions, whose registers are therefore only ever set to zero.

use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {
    u32,

    /// UARTDR, section 3.3.1.
    pub Data [
        DATA OFFSET(0) NUMBITS(8) [],
        FRAMING_ERROR OFFSET(8) NUMBITS(1) [],
        PARITY_ERROR OFFSET(9) NUMBITS(1) [],
        BREAK_ERROR OFFSET(10) NUMBITS(1) [],
        OVERRUN_ERROR OFFSET(11) NUMBITS(1) [],
    ],

    /// UARTFR, section 3.3.3.
    pub Flag [
        BUSY OFFSET(3) NUMBITS(1) [],
        RECEIVE_EMPTY OFFSET(4) NUMBITS(1) [],
        TRANSMIT_FULL OFFSET(5) NUMBITS(1) [],
    ],

    /// UARTIBRD, section 3.3.5.
    pub IntegerBaudRate [ DIVISOR OFFSET(0) NUMBITS(16) [] ],

    /// UARTFBRD, section 3.3.6.
    pub FractionalBaudRate [ DIVISOR OFFSET(0) NUMBITS(6) [] ],

    /// UARTLCR_H, section 3.3.7.
    pub LineControl [
        FIFO_ENABLE OFFSET(4) NUMBITS(1) [],
        WORD_LENGTH OFFSET(5) NUMBITS(2) [ EightBits = 3 ],
    ],

    /// UARTCR, section 3.3.8.
    pub Control [
        UART_ENABLE OFFSET(0) NUMBITS(1) [],
        LOOPBACK OFFSET(7) NUMBITS(1) [],
        TRANSMIT_ENABLE OFFSET(8) NUMBITS(1) [],
        RECEIVE_ENABLE OFFSET(9) NUMBITS(1) [],
    ],

    /// UARTIFLS, section 3.3.9.
    pub FifoLevel [
        TRANSMIT OFFSET(0) NUMBITS(3) [ OneEighth = 0, OneQuarter = 1 ],
        RECEIVE OFFSET(3) NUMBITS(3) [ OneHalf = 2 ],
    ],

    /// UARTIMSC, UARTRIS, UARTMIS and UARTICR, sections 3.3.10 to 3.3.13.
    pub Interrupt [
        RECEIVE OFFSET(4) NUMBITS(1) [],
        TRANSMIT OFFSET(5) NUMBITS(1) [],
        RECEIVE_TIMEOUT OFFSET(6) NUMBITS(1) [],
        ALL OFFSET(0) NUMBITS(11) [],
    ],
}

register_structs! {
    pub Block {
        (0x00 => pub data: ReadWrite<u32, Data::Register>),
        (0x04 => _receive_status: [u32; 5]),
        (0x18 => pub flag: ReadOnly<u32, Flag::Register>),
        (0x1C => _irda: [u32; 2]),
        (0x24 => pub integer_baud_rate: ReadWrite<u32, IntegerBaudRate::Register>),
        (0x28 => pub fractional_baud_rate: ReadWrite<u32, FractionalBaudRate::Register>),
        (0x2C => pub line_control: ReadWrite<u32, LineControl::Register>),
        (0x30 => pub control: ReadWrite<u32, Control::Register>),
        (0x34 => pub fifo_level: ReadWrite<u32, FifoLevel::Register>),
        (0x38 => pub interrupt_mask: ReadWrite<u32, Interrupt::Register>),
        (0x3C => pub interrupt_status: ReadOnly<u32, Interrupt::Register>),
        (0x40 => _masked_interrupt_status: u32),
        (0x44 => pub interrupt_clear: WriteOnly<u32, Interrupt::Register>),
        (0x48 => @END),
    }
}
