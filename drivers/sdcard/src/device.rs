//! Registers of an SD host controller of version 3, as words of 32 bits.
//!
//! The specification has registers of 8 and 16 bits, too. The Arasan controller of the BCM2835 family can only be
//! accessed by words (*BCM2835 ARM Peripherals*, chapter 5), so that neighbours are one register here.
//!
//! # Resources
//! - *SD Specifications, Part A2, SD Host Controller Simplified Specification*, version 3.00, chapter 2 "SD Host
//!   Standard Register"; section numbers below are from there.
//! - *BCM2835 ARM Peripherals*, 6 February 2012, chapter 5 "External Mass Media Controller": the same registers by words.

use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {
    u32,

    /// Block Size and Block Count, sections 2.2.2 and 2.2.3.
    pub BlockSizeCount [
        SIZE OFFSET(0) NUMBITS(10) [],
        COUNT OFFSET(16) NUMBITS(16) [],
    ],

    /// Transfer Mode and Command, sections 2.2.5 and 2.2.6. A write starts the command.
    pub TransferCommand [
        BLOCK_COUNT_ENABLE OFFSET(1) NUMBITS(1) [],
        AUTO_COMMAND OFFSET(2) NUMBITS(2) [ Stop = 1 ],
        READ OFFSET(4) NUMBITS(1) [],
        MULTIPLE_BLOCKS OFFSET(5) NUMBITS(1) [],
        RESPONSE OFFSET(16) NUMBITS(2) [ None = 0, Long = 1, Short = 2, ShortBusy = 3 ],
        CRC_CHECK OFFSET(19) NUMBITS(1) [],
        INDEX_CHECK OFFSET(20) NUMBITS(1) [],
        DATA OFFSET(21) NUMBITS(1) [],
        TYPE OFFSET(22) NUMBITS(2) [ Normal = 0, Abort = 3 ],
        INDEX OFFSET(24) NUMBITS(6) [],
    ],

    /// Present State, section 2.2.9. The bits for a card's presence are not wired on these boards.
    pub PresentState [
        COMMAND_INHIBIT OFFSET(0) NUMBITS(1) [],
        DATA_INHIBIT OFFSET(1) NUMBITS(1) [],
        DATA0_LEVEL OFFSET(20) NUMBITS(1) [],
    ],

    /// Host Control 1 and Power Control, sections 2.2.10 and 2.2.11.
    pub HostControl [
        FOUR_BITS OFFSET(1) NUMBITS(1) [],
        BUS_POWER OFFSET(8) NUMBITS(1) [],
        BUS_VOLTAGE OFFSET(9) NUMBITS(3) [ V3_3 = 7 ],
    ],

    /// Clock Control, Timeout Control and Software Reset, sections 2.2.14 to 2.2.16.
    pub ClockReset [
        INTERNAL_ENABLE OFFSET(0) NUMBITS(1) [],
        INTERNAL_STABLE OFFSET(1) NUMBITS(1) [],
        CARD_ENABLE OFFSET(2) NUMBITS(1) [],
        DIVISOR_HIGH OFFSET(6) NUMBITS(2) [],
        DIVISOR_LOW OFFSET(8) NUMBITS(8) [],
        DATA_TIMEOUT OFFSET(16) NUMBITS(4) [ Longest = 14 ],
        RESET_ALL OFFSET(24) NUMBITS(1) [],
        RESET_COMMAND OFFSET(25) NUMBITS(1) [],
        RESET_DATA OFFSET(26) NUMBITS(1) [],
    ],

    /// Normal and Error Interrupt Status, and their enables, sections 2.2.17 to 2.2.22.
    pub Interrupt [
        COMMAND_COMPLETE OFFSET(0) NUMBITS(1) [],
        TRANSFER_COMPLETE OFFSET(1) NUMBITS(1) [],
        WRITE_READY OFFSET(4) NUMBITS(1) [],
        READ_READY OFFSET(5) NUMBITS(1) [],
        ERROR OFFSET(15) NUMBITS(1) [],
        COMMAND_TIMEOUT OFFSET(16) NUMBITS(1) [],
        COMMAND_CRC OFFSET(17) NUMBITS(1) [],
        COMMAND_END_BIT OFFSET(18) NUMBITS(1) [],
        COMMAND_INDEX OFFSET(19) NUMBITS(1) [],
        DATA_TIMEOUT OFFSET(20) NUMBITS(1) [],
        DATA_CRC OFFSET(21) NUMBITS(1) [],
        DATA_END_BIT OFFSET(22) NUMBITS(1) [],
        AUTO_COMMAND OFFSET(24) NUMBITS(1) [],
        ERRORS OFFSET(15) NUMBITS(17) [],
    ],

    /// Capabilities, section 2.2.26. Reads as zero on the boards, and as something sensible on emulated ones.
    pub Capabilities [
        BASE_CLOCK_MHZ OFFSET(8) NUMBITS(8) [],
    ],

    /// Slot Interrupt Status and Host Controller Version, sections 2.2.33 and 2.2.34.
    pub Version [
        SPECIFICATION OFFSET(16) NUMBITS(8) [ V3_00 = 2 ],
    ],
}

register_structs! {
    pub Sdhci {
        (0x00 => _argument2: u32),
        (0x04 => pub block_size_count: ReadWrite<u32, BlockSizeCount::Register>),
        (0x08 => pub argument: ReadWrite<u32>),
        (0x0C => pub transfer_command: ReadWrite<u32, TransferCommand::Register>),
        (0x10 => pub response0: ReadOnly<u32>),
        (0x14 => pub response1: ReadOnly<u32>),
        (0x18 => pub response2: ReadOnly<u32>),
        (0x1C => pub response3: ReadOnly<u32>),
        (0x20 => pub data: ReadWrite<u32>),
        (0x24 => pub present_state: ReadOnly<u32, PresentState::Register>),
        (0x28 => pub host_control: ReadWrite<u32, HostControl::Register>),
        (0x2C => pub clock_reset: ReadWrite<u32, ClockReset::Register>),
        (0x30 => pub interrupt: ReadWrite<u32, Interrupt::Register>),
        (0x34 => pub interrupt_enable: ReadWrite<u32, Interrupt::Register>),
        (0x38 => pub signal_enable: ReadWrite<u32, Interrupt::Register>),
        (0x3C => _host_control2: u32),
        (0x40 => pub capabilities: ReadOnly<u32, Capabilities::Register>),
        (0x44 => _reserved: [u32; 46]),
        (0xFC => pub version: ReadOnly<u32, Version::Register>),
        (0x100 => @END),
    }
}
