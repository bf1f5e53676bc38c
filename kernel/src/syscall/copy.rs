//! `copy`: moves bytes between the server and a window that the blocked caller granted.
//!
//! The direction is the grant's: the server writes to a writable window and reads from any other. Long copies stop for
//! interrupts; their registers say how far they have come. `BadGrant`: beyond the window, or memory that the caller itself
//! may not access so; `BadAddress`: the server's own buffer.

use super::Done;
use crate::Kernel;
use crate::arch::cpu;
use crate::user::{Place, Side, copy_step};
use abi::message::{CallId, GRANT_WRITABLE, GRANTS};
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_copy(&mut self, slot: SlotId) -> Result<Done, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (call, index, offset, buffer, length) = (CallId(x[0]), x[1], x[2], x[3], x[4]);
        let caller = self.core.in_service(slot, call)?;
        if index >= GRANTS as u64 {
            return Err(Status::BadArgument);
        }
        let grant = &self.shell.frames.get(caller).x[11 + 2 * index as usize..];
        let (window, size, writable) = (grant[0], grant[1] & !GRANT_WRITABLE, grant[1] & GRANT_WRITABLE != 0);
        let end = offset.checked_add(length).ok_or(Status::BadGrant)?;
        if end > size || window.checked_add(size).is_none() {
            return Err(Status::BadGrant);
        }
        if buffer.checked_add(length).is_none() {
            return Err(Status::BadAddress);
        }
        let mut done = 0;
        while done < length {
            let client = Place { space: self.shell.space(caller), address: window + offset + done };
            let server = Place { space: self.shell.space(slot), address: buffer + done };
            let (to, from) = if writable { (client, server) } else { (server, client) };
            let step = copy_step(to, from, (length - done) as usize);
            done += step.map_err(|side| blame(side, writable))? as u64;
            if done < length && cpu::interrupt_pending() {
                let x = &mut self.shell.frames.get_mut(slot).x;
                (x[2], x[3], x[4]) = (offset + done, buffer + done, length - done);
                return Ok(Done::Again);
            }
        }
        Ok(Done::Status(Status::Ok))
    }
}

fn blame(side: Side, to_client: bool) -> Status {
    let client = if to_client { Side::Target } else { Side::Source };
    if side == client { Status::BadGrant } else { Status::BadAddress }
}
