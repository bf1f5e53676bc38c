//! Where things lie in a component's address space: 1 GiB, translated by two levels of tables.
//!
//! Low addresses stay unmapped, so that a null pointer with a large offset still faults. The stack lies below the image
//! in the same 2 MiB: a small component needs two table pages.

/// First address beyond user space.
pub const USER_END: u64 = 0x4000_0000;

/// Lowest address that a stack may reach; the page below the mapped stack is a guard.
pub const STACK_LIMIT: u64 = 0x20_1000;

/// Initial stack pointer. The page above it, up to the image, is a guard.
pub const STACK_TOP: u64 = 0x2F_F000;

/// Where images are linked: text, read-only data, data, zeroed data, each on a page boundary, in this order.
pub const IMAGE_BASE: u64 = 0x30_0000;

/// First address beyond the range for images.
pub const IMAGE_END: u64 = 0x100_0000;

/// Where `map` places heap pages, upwards.
pub const HEAP_BASE: u64 = 0x100_0000;

/// First address beyond the heap.
pub const HEAP_END: u64 = 0x2000_0000;

/// Where the slot's DMA arena appears (normal memory, not cached).
pub const ARENA_BASE: u64 = 0x2000_0000;

/// Where the fault plan appears, read-only, for components with the right [`crate::rights::Rights::PLAN`].
pub const PLAN_BASE: u64 = 0x2800_0000;

/// Where the mapped device windows appear: window `i` at `DEVICE_BASE + i * DEVICE_STRIDE`.
pub const DEVICE_BASE: u64 = 0x3000_0000;

/// Distance between device windows in bytes.
pub const DEVICE_STRIDE: u64 = 0x10_0000;
