//! The evidence line: frames wait for it in their order, and leave in pieces.
//!
//! Rule: nobody runs before the kernel's own frames are out; a component's own record is out when its call returns, and
//! meanwhile others may run, whom it cannot have told of what it does next. Between two pieces interrupts have their turn.
//! Nothing that waits is lost: before the CPU rests, before a reset and in a panic it goes out.

use abi::trace::{Event, Frame, encode};
use bsp::PATIENCE;
use kernel_core::frames::Frames;

/// Most bytes between two looks for interrupts.
const PIECE: usize = 32;

/// The frames that wait, and the line's silence.
pub struct Evidence {
    pub frames: Frames,
    /// Looks at a line without room before it counts as dead.
    patience: u32,
}

impl Evidence {
    /// Nothing waits.
    pub const EMPTY: Self = Self { frames: Frames::EMPTY, patience: PATIENCE };

    /// Puts a frame behind all others.
    #[inline(never)]
    pub fn push(&mut self, board: &mut bsp::Board, time: u64, event: Event<'_>) {
        while self.frames.is_full() {
            self.send_piece(board);
        }
        self.frames.push(|place| encode(&Frame { time, event }, place));
    }

    /// Sends a piece of the oldest frame, as far as there is room; a line that does not go on loses the frame.
    #[inline(never)]
    pub fn send_piece(&mut self, board: &mut bsp::Board) {
        let sent = board.uart.offer(self.frames.next(PIECE));
        self.patience = if sent > 0 { PATIENCE } else { self.patience - 1 };
        if self.patience == 0 {
            self.patience = PATIENCE;
            self.frames.drop_oldest();
        } else if sent > 0 {
            self.frames.sent(sent);
        }
    }
}
