//! The `reincarnation` service: requests of people.
//!
//! *Rule.* A command is answered after the supervisor has committed and carried out what it decided: the caller of
//! [`handle`] works before it sends the reply.
//!
//! *Why.* Whoever has an answer may rely on it, also when RS dies in the next instant.

use abi::plan::Fault;
use abi::record::{DeathRecord, SlotInfo, TEXT_MAX};
use abi::{SLOTS_MAX, SlotId, Status};
use protocols::reincarnation::{Error, Reply, Request, Row, Standing};
use reincarnation_core::{Cause, Command, Refusal, Standing as Wish, Supervisor};
use userlib::control::{self, trigger};
use userlib::{DeathClass, Request as Received, sys, time};
use zerocopy::{FromZeros, IntoBytes};

/// Most bytes of a log ring that RS reads: that of a ring of the usual size.
const LOG_BYTES: usize = 4096;

/// Bytes in front of a record in a log ring; the second one is the number of bytes behind them.
const RECORD_HEADER: usize = 6;

/// Carries out a request and says how to answer it.
pub fn handle<const N: usize>(supervisor: &mut Supervisor<N>, received: &Received) -> Reply {
    let request = match Request::decode(&received.message) {
        Ok(request) => request,
        Err(error) => return Reply::Failed(error),
    };
    let result = match request {
        Request::List => list(supervisor, received),
        Request::Start(slot) => command(supervisor, slot, Command::Start),
        Request::Stop(slot) => command(supervisor, slot, Command::Stop),
        Request::Restart(slot, incarnation) => command(supervisor, slot, Command::Restart(incarnation)),
        Request::Release(slot) => command(supervisor, slot, Command::Release),
        Request::Fault(slot, fault) => fail(slot, fault),
        Request::Death(slot) => death(received, slot),
        Request::Log(slot) => log(received, slot),
        Request::Complain(slot) => supervisor
            .complain(sys::counter(), received.meta.sender, slot)
            .map(|()| Reply::Done)
            .map_err(refusal_error),
    };
    result.unwrap_or_else(Reply::Failed)
}

fn command<const N: usize>(
    supervisor: &mut Supervisor<N>,
    slot: SlotId,
    command: Command,
) -> Result<Reply, Error> {
    supervisor.command(sys::counter(), slot, command).map(|()| Reply::Done).map_err(refusal_error)
}

/// What a refusal of the supervisor means to the caller.
fn refusal_error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoSuchSlot => Error::NoSuchSlot,
        Refusal::Quarantined => Error::Quarantined,
        Refusal::NotQuarantined => Error::NotQuarantined,
        Refusal::NoSupplier => Error::Denied,
        Refusal::TooSoon => Error::TooSoon,
    }
}

/// What a refusal of the kernel means to the user.
fn kernel_error(status: Status) -> Error {
    match status {
        Status::Denied => Error::Denied,
        Status::WrongState | Status::Nothing => Error::WrongState,
        _ => Error::NoSuchSlot,
    }
}

fn fail(slot: SlotId, fault: Fault) -> Result<Reply, Error> {
    let result = match fault {
        Fault::Kill => control::kill(slot, DeathClass::Killed),
        fault => control::inject(slot, fault, trigger::NOW, 0),
    };
    result.map(|()| Reply::Done).map_err(kernel_error)
}

fn death(received: &Received, slot: SlotId) -> Result<Reply, Error> {
    let record = control::death_record(slot).map_err(kernel_error)?;
    write(received, record.as_bytes(), size_of::<DeathRecord>())
}

fn log(received: &Received, slot: SlotId) -> Result<Reply, Error> {
    let mut buffer = [0; LOG_BYTES];
    let bytes = control::log_ring(slot, &mut buffer).map_err(kernel_error)?;
    write(received, newest(&buffer[..bytes], received.grant_length(0)), bytes)
}

/// The last records of `ring` that fit into `room` bytes.
fn newest(ring: &[u8], room: usize) -> &[u8] {
    let mut records = ring;
    while records.len() > room {
        let length = records.get(1).map_or(0, |&length| usize::from(length));
        records = records.get(RECORD_HEADER + length..).unwrap_or(&[]);
    }
    records
}

/// Writes `data` to the caller's window, which must have room for all of it.
fn write(received: &Received, data: &[u8], total: usize) -> Result<Reply, Error> {
    received.copy_out(0, 0, data).map_err(|_| Error::BadRequest)?;
    Ok(Reply::Written { count: data.len() as u32, total: total as u32 })
}

fn list<const N: usize>(supervisor: &Supervisor<N>, received: &Received) -> Result<Reply, Error> {
    let room = received.grant_length(0) / size_of::<Row>();
    let (mut count, mut total) = (0, 0);
    for slot in 0..SLOTS_MAX as SlotId {
        let Ok(info) = control::slot_info(slot) else {
            continue;
        };
        total += 1;
        if count < room {
            let row = row(supervisor, slot, &info);
            received.copy_out(0, count * size_of::<Row>(), row.as_bytes()).map_err(|_| Error::BadRequest)?;
            count += 1;
        }
    }
    Ok(Reply::Written { count: count as u32, total })
}

fn row<const N: usize>(supervisor: &Supervisor<N>, slot: SlotId, info: &SlotInfo) -> Row {
    let ns = |ticks: u64| time::ns_from_ticks(ticks, sys::frequency());
    let death = control::death_record(slot).unwrap_or_else(|_| DeathRecord::new_zeroed());
    let history = supervisor.history(slot);
    let next_start = history
        .filter(|history| history.standing == Wish::Supervised && history.not_before > info.now)
        .map_or(0, |history| ns(history.not_before));
    Row {
        name: info.name,
        slot: u32::from(slot),
        incarnation: info.incarnation,
        state: info.state,
        activity: info.activity,
        blocked_on: info.blocked_on,
        standing: history.map_or(Standing::Unsupervised, |history| standing(history.standing)) as u32,
        priority: info.priority,
        ready: info.ready,
        queued: info.queued,
        in_service: info.in_service,
        heartbeat_pending: info.heartbeat_pending,
        deaths: info.deaths,
        failures: history.map_or(0, |history| history.failures),
        death_class: death.class,
        death_incarnation: death.incarnation,
        death_text_length: death.text_length.min(TEXT_MAX as u32),
        death_time: ns(death.time),
        death_pc: death.pc,
        started: ns(info.started),
        cpu: ns(info.cpu),
        silence: ns(info.now.saturating_sub(info.last_receive)),
        memory_used: info.memory_used,
        memory_size: info.memory_size,
        next_start,
        death_text: death.text,
    }
}

fn standing(wish: Wish) -> Standing {
    match wish {
        Wish::Supervised => Standing::Supervised,
        Wish::Manual => Standing::Manual,
        Wish::Finished => Standing::Finished,
        Wish::Stopped => Standing::Stopped,
        Wish::Quarantined(Cause::Intensity) => Standing::TooManyFailures,
        Wish::Quarantined(Cause::NeverReady) => Standing::NeverReady,
        Wish::Quarantined(Cause::Image) => Standing::ImageDamaged,
        Wish::Quarantined(Cause::Refused) => Standing::Refused,
    }
}
