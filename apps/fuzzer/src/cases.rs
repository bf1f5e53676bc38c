//! Named cases: one wrong argument, and the one answer that is right.

use crate::raw::{IMMEDIATES, Memory, Registers};
use abi::PAGE_SIZE;
use abi::layout::{ARENA_BASE, DEVICE_BASE, DEVICE_STRIDE, IMAGE_BASE, PLAN_BASE, STACK_TOP, USER_END};
use abi::message::{GRANT_MAX, GRANT_WRITABLE};
use abi::plan::Fault;
use abi::syscall::{
    Call, RECV_NOTIFICATIONS, checkpoint, inspect, log, received, reg, reply, reset, slot_ctl, trigger,
};
use userlib::{SlotId, Status, sys};

/// Linear map of the kernel; the addresses are those of its code, of the components' banks, and of a device.
const KERNEL: [u64; 3] = [0xFFFF_FF80_0008_0000, 0xFFFF_FF80_0210_0000, 0xFFFF_FF80_3F20_1000];

/// Handles, indices and slots that nobody has.
const NOWHERE: [u64; 6] = [31, 32, 255, 1 << 32, 1 << 63, u64::MAX];

/// Numbers that no operation has, in any call.
const NO_OPERATION: [u64; 5] = [100, 255, 1 << 32, 1 << 63, u64::MAX];

/// More bytes than anything has.
const HUGE: [u64; 6] = [(1 << 20) + 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, u64::MAX - 4096];

/// Bytes of a transfer that is to fail for its address.
const BYTES: u64 = 64;

/// Bytes of the windows that the witness grants to the server.
pub const WINDOW: u64 = 64;

/// The label of `echo` that copies from grant 0 to grant 1.
const COPY: u64 = 4;

/// Slot of the prey, and slots that the supervisor does not control: root and itself.
pub const PREY: u64 = 2;
/// The slot that is the supervisor's, too, and that it starts and leaves alone.
pub const BYSTANDER: u64 = 3;
const NOT_CONTROLLED: [u64; 2] = [0, 1];

/// Ways to end: class, address and length of the text. Of each, one incarnation dies.
fn odd_exits(memory: &Memory) -> [[u64; 3]; 6] {
    [
        [2, 0, 64],
        [2, KERNEL[0], u64::MAX],
        [u64::MAX, memory.end - 4, 4096],
        [12, DEVICE_BASE, 1 << 32],
        [1 << 32 | 2, memory.constant, u64::MAX],
        [0, u64::MAX, u64::MAX],
    ]
}

/// Ends the first incarnations by `exit` with arguments that are not right.
pub fn exit_in_odd_ways(memory: &Memory, incarnation: u32) {
    if let Some(arguments) = odd_exits(memory).get(incarnation as usize - 1) {
        // Who has never received counts as one that cannot start.
        sys::recv(0, 0);
        memory.attempt(Call::Exit as u16, &with(arguments));
        panic!("exit came back");
    }
}

/// Counts the cases and judges their answers.
struct Cases<'a> {
    memory: &'a Memory,
    count: u32,
}

fn with(arguments: &[u64]) -> Registers {
    let mut registers = [0; 15];
    registers[..arguments.len()].copy_from_slice(arguments);
    registers
}

/// Soon, and never so late that a watcher takes this component for dead.
fn soon() -> u64 {
    sys::counter() + sys::frequency() / 100
}

impl Cases<'_> {
    fn attempt(&mut self, call: Call, arguments: &[u64]) -> Registers {
        self.count += 1;
        if self.count.is_multiple_of(16) {
            self.memory.check();
            sys::recv(0, RECV_NOTIFICATIONS);
        }
        self.memory.attempt(call as u16, &with(arguments))
    }

    fn expect(&mut self, status: Status, call: Call, arguments: &[u64]) {
        let found = self.attempt(call, arguments)[0];
        assert!(found == status as u64, "{call:?}{arguments:x?}: {found} instead of {status:?}");
    }

    /// Each of `values` as argument number `at`, the others being as in `arguments`.
    fn each(&mut self, status: Status, call: Call, arguments: &[u64], at: usize, values: &[u64]) {
        let mut varied = with(arguments);
        for value in values {
            varied[at] = *value;
            self.expect(status, call, &varied[..arguments.len().max(at + 1)]);
        }
    }

    /// Addresses at which nothing can be read, or nothing that the kernel may touch.
    fn unreadable(&self) -> [u64; 22] {
        let Memory { scratch, end, .. } = *self.memory;
        let page = PAGE_SIZE as u64;
        let [code, bank, device] = KERNEL;
        [
            0,
            1,
            page - 1,
            STACK_TOP,
            IMAGE_BASE - 8,
            end - 8,
            end,
            end + page,
            0x8_0000,
            ARENA_BASE,
            PLAN_BASE - 8,
            DEVICE_BASE,
            DEVICE_BASE + DEVICE_STRIDE,
            USER_END - 8,
            USER_END,
            code,
            bank,
            device,
            1 << 63,
            u64::MAX - 7,
            u64::MAX,
            // Tags are no part of an address here.
            scratch | 0x55 << 56,
        ]
    }

    /// Addresses at which the component can read but not write.
    fn read_only(&self) -> [u64; 3] {
        [IMAGE_BASE, self.memory.constant, PLAN_BASE]
    }

    /// Argument `at` as an address to read from.
    fn bad_source(&mut self, call: Call, arguments: &[u64], at: usize) {
        let addresses = self.unreadable();
        self.each(Status::BadAddress, call, arguments, at, &addresses);
    }

    /// Argument `at` as an address to write to.
    fn bad_target(&mut self, call: Call, arguments: &[u64], at: usize) {
        self.bad_source(call, arguments, at);
        let addresses = self.read_only();
        self.each(Status::BadAddress, call, arguments, at, &addresses);
    }
}

/// All cases for a component with a service to call, a device window, four pages of heap, a checkpoint of a page, and the
/// rights `event` and `plan`. Returns how many there were.
pub fn ordinary(memory: &Memory, own: SlotId) -> u32 {
    let mut cases = Cases { memory, count: 0 };
    let own = u64::from(own);
    unknown_calls(&mut cases);
    calls(&mut cases);
    call_ids(&mut cases, own);
    grants(&mut cases);
    records(&mut cases);
    checkpoints(&mut cases);
    registers(&mut cases);
    small_calls(&mut cases, own);
    inspection(&mut cases, own);
    for slot in [0, 1, own] {
        let status = if slot == own { Status::BadArgument } else { Status::Denied };
        cases.each(status, Call::Inspect, &[0, slot, memory.scratch, BYTES], 0, &NO_OPERATION);
    }
    for call in [Call::Start, Call::Kill, Call::SlotCtl] {
        cases.each(Status::BadHandle, call, &[0, 6], 0, &NOWHERE);
        cases.each(Status::Denied, call, &[0, 6], 0, &[0, 1, own]);
    }
    cases.each(Status::Denied, Call::Inject, &[0, 1, 0, 0], 0, &NOWHERE);
    cases.each(Status::Denied, Call::Inject, &[0, 1, 0, 0], 0, &[0, 1, own]);
    cases.each(Status::Denied, Call::Reset, &[0], 0, &[reset::RESET, reset::POWER_OFF, reset::PET, u64::MAX]);
    memory.check();
    cases.count
}

fn unknown_calls(cases: &mut Cases) {
    for immediate in IMMEDIATES.into_iter().filter(|number| Call::from_immediate(*number).is_none()) {
        cases.count += 1;
        let found = cases.memory.attempt(immediate, &[u64::MAX; 15])[0];
        assert!(found == Status::NoSuchCall as u64, "immediate {immediate}: {found}");
    }
}

fn calls(cases: &mut Cases) {
    let deadline = soon();
    cases.each(Status::BadHandle, Call::Call, &[0, deadline, 1], 0, &[1, 7, 8]);
    cases.each(Status::BadHandle, Call::Call, &[0, deadline, 1], 0, &NOWHERE);
    cases.each(Status::BadArgument, Call::Call, &[0, deadline, 1], 2, &[64, 1 << 32 | 1, u64::MAX]);
    cases.each(Status::Denied, Call::Call, &[0, deadline, 1], 2, &[0, 10, 63]);
    cases.expect(Status::Expired, Call::Call, &[0, 0, 1]);
    for length in [12, 14] {
        cases.each(Status::BadArgument, Call::Call, &[0, deadline, 1], length, &HUGE);
    }
}

/// Receiving with odd arguments, and replies and copies for calls that are not in service here: the witness's, our own,
/// nobody's.
fn call_ids(cases: &mut Cases, own: u64) {
    for flags in NO_OPERATION {
        let kind = cases.attempt(Call::Recv, &[0, flags])[0];
        assert!(
            [received::NOTIFICATION, received::TIMEOUT].contains(&kind),
            "recv with flags {flags:#x}: {kind}"
        );
    }
    for slot in (0..8).chain([own, 255]) {
        for number in [0, 1, 2, 40, 100, (1 << 56) - 1] {
            let call = slot << 56 | number;
            cases.expect(Status::Stale, Call::Reply, &[reply::ANSWER, call]);
            cases.expect(Status::Stale, Call::Reply, &[reply::BLAME, call]);
            cases.expect(Status::Stale, Call::Copy, &[call, 0, 0, cases.memory.scratch, BYTES]);
            cases.expect(Status::Stale, Call::Copy, &[call, 9, u64::MAX, KERNEL[0], u64::MAX]);
            let kind = cases.attempt(Call::ReplyRecv, &[0, call])[0];
            assert!([received::NOTIFICATION, received::TIMEOUT].contains(&kind), "a stale reply: {kind}");
        }
    }
    cases.each(Status::BadArgument, Call::Reply, &[0, 1], 0, &NO_OPERATION);
}

/// Windows that the server is to copy from and to: it is told, and answers that it could not.
fn grants(cases: &mut Cases) {
    let Memory { scratch, end, .. } = *cases.memory;
    let refused = |cases: &mut Cases, source: [u64; 2], target: [u64; 2]| {
        let mut arguments = with(&[0, soon(), COPY, BYTES]);
        [arguments[11], arguments[12]] = source;
        [arguments[13], arguments[14]] = target;
        let answer = cases.attempt(Call::Call, &arguments);
        assert!(answer[0] == 0 && answer[2] == 1, "windows {source:x?} and {target:x?}: {answer:x?}");
    };
    let good = [[scratch, BYTES], [scratch + 1024, BYTES | GRANT_WRITABLE]];
    for address in cases.unreadable() {
        refused(cases, [address, BYTES], good[1]);
        refused(cases, good[0], [address, BYTES | GRANT_WRITABLE]);
    }
    for address in cases.read_only() {
        refused(cases, good[0], [address, BYTES | GRANT_WRITABLE]);
    }
    refused(cases, [scratch, BYTES - 1], good[1]);
    refused(cases, [scratch, BYTES | GRANT_WRITABLE], good[1]);
    refused(cases, good[0], [scratch, BYTES]);
    refused(cases, [end - 8, GRANT_MAX], good[1]);
    refused(cases, [u64::MAX - 8, GRANT_MAX], good[1]);
    refused(cases, good[0], [0, 0]);
}

fn records(cases: &mut Cases) {
    let scratch = cases.memory.scratch;
    cases.bad_source(Call::Log, &[log::TEXT, 0, BYTES], 1);
    cases.each(Status::BadArgument, Call::Log, &[log::TEXT, scratch, 0], 2, &[log::BYTES_MAX + 1]);
    cases.each(Status::BadArgument, Call::Log, &[log::TEXT, scratch, 0], 2, &HUGE);
    cases.each(Status::BadArgument, Call::Log, &[0, scratch, 8], 0, &NO_OPERATION);
    cases.expect(Status::Ok, Call::Log, &[log::TEXT, scratch, 8]);
}

fn checkpoints(cases: &mut Cases) {
    let scratch = cases.memory.scratch;
    cases.expect(Status::Nothing, Call::Checkpoint, &[checkpoint::LOAD, scratch, BYTES]);
    cases.bad_source(Call::Checkpoint, &[checkpoint::COMMIT, 0, BYTES], 1);
    cases.each(Status::QuotaExceeded, Call::Checkpoint, &[checkpoint::COMMIT, scratch, 0], 2, &[4097]);
    cases.each(Status::QuotaExceeded, Call::Checkpoint, &[checkpoint::COMMIT, scratch, 0], 2, &HUGE);
    cases.each(Status::BadArgument, Call::Checkpoint, &[0, scratch, 8], 0, &NO_OPERATION);
    cases.expect(Status::Nothing, Call::Checkpoint, &[checkpoint::LOAD, scratch, BYTES]);
    cases.expect(Status::Ok, Call::Checkpoint, &[checkpoint::COMMIT, scratch, BYTES]);
    cases.bad_target(Call::Checkpoint, &[checkpoint::LOAD, 0, BYTES], 1);
    cases.each(Status::Ok, Call::Checkpoint, &[checkpoint::LOAD, scratch, 0], 2, &HUGE);
}

fn registers(cases: &mut Cases) {
    let scratch = cases.memory.scratch;
    cases.each(Status::BadHandle, Call::Reg, &[0, reg::READ, 4], 0, &[1, 3, 4]);
    cases.each(Status::BadHandle, Call::Reg, &[0, reg::READ, 4], 0, &NOWHERE);
    cases.each(Status::BadArgument, Call::Reg, &[0, 0, 4, scratch, 1], 1, &NO_OPERATION);
    for operation in [reg::READ, reg::WRITE, reg::READ_WORDS, reg::WRITE_WORDS] {
        let arguments = [0, operation, 0, scratch, 1];
        cases.each(Status::BadArgument, Call::Reg, &arguments, 2, &[0x20, 0x1000, 1 << 32, u64::MAX]);
        cases.each(Status::Denied, Call::Reg, &arguments, 2, &[1, 2, 3, 0x1D, 0x1E, 0x1F]);
    }
    for operation in [reg::READ_WORDS, reg::WRITE_WORDS] {
        cases.each(Status::BadArgument, Call::Reg, &[0, operation, 0xC, scratch, 1], 4, &[513]);
        cases.each(Status::BadArgument, Call::Reg, &[0, operation, 0xC, scratch, 1], 4, &HUGE);
    }
    cases.each(Status::BadArgument, Call::Reg, &[0, reg::WRITE, 0xC, 0, 1], 3, &[1 << 32, u64::MAX]);
    cases.each(Status::BadArgument, Call::Reg, &[0, reg::WRITE, 0xC, 0, 1], 4, &[1 << 32, u64::MAX]);
    cases.bad_target(Call::Reg, &[0, reg::READ_WORDS, 4, 0, 16], 3);
    cases.bad_source(Call::Reg, &[0, reg::WRITE_WORDS, 0xC, 0, 16], 3);
}

fn small_calls(cases: &mut Cases, own: u64) {
    cases.each(Status::BadHandle, Call::IrqAck, &[0], 0, &[0, 1, 3, 4]);
    cases.each(Status::BadHandle, Call::IrqAck, &[0], 0, &NOWHERE);
    cases.expect(Status::BadArgument, Call::Map, &[0, 0]);
    cases.each(Status::QuotaExceeded, Call::Map, &[0, 0], 0, &[1, 1 << 20, 1 << 52, 1 << 63, u64::MAX]);
    cases.each(Status::BadArgument, Call::Map, &[1, 0], 1, &[5, 1 << 52, u64::MAX]);
    cases.each(Status::BadHandle, Call::Notify, &[0, 1], 0, &NOWHERE);
    cases.each(Status::Denied, Call::Notify, &[0, 1], 0, &[0, 1, own]);
}

fn inspection(cases: &mut Cases, slot: u64) {
    let scratch = cases.memory.scratch;
    for what in [inspect::SLOT, inspect::POLICY, inspect::COUNTERS] {
        cases.bad_target(Call::Inspect, &[what, slot, 0, BYTES], 2);
        cases.each(Status::Ok, Call::Inspect, &[what, slot, scratch, 0], 3, &HUGE);
    }
    for what in [inspect::SLOT, inspect::DEATH, inspect::POLICY, inspect::NEXT_DEAD, inspect::LOG] {
        cases.each(Status::BadHandle, Call::Inspect, &[what, 0, scratch, BYTES], 1, &NOWHERE);
    }
    let logged = cases.attempt(Call::Inspect, &[inspect::LOG, slot, scratch, 4096]);
    if logged[1] >= 8 {
        cases.bad_target(Call::Inspect, &[inspect::LOG, slot, 0, 4096], 2);
    }
}

/// Starts the bystander, which is to notice nothing of all the rest.
pub fn start_bystander(memory: &Memory) {
    start(&mut Cases { memory, count: 0 }, BYSTANDER);
}

/// All cases for a component that controls slot 2 and has the rights `reset`, `inject` and `inspect`.
pub fn supervisor(memory: &Memory) -> u32 {
    let mut cases = Cases { memory, count: 0 };
    for call in [Call::Start, Call::Kill, Call::SlotCtl] {
        cases.each(Status::BadHandle, call, &[0, 6], 0, &[BYSTANDER + 1, 1 << 32 | PREY]);
        cases.each(Status::BadHandle, call, &[0, 6], 0, &NOWHERE);
        cases.each(Status::Denied, call, &[0, 6], 0, &NOT_CONTROLLED);
    }
    start(&mut cases, PREY);
    cases.expect(Status::WrongState, Call::Start, &[PREY]);
    // 13: only a component itself says that its checkpoint is damaged.
    let no_class = [0, 13, 15, 255, 1 << 32 | 6, u64::MAX];
    cases.each(Status::BadArgument, Call::Kill, &[PREY, 0], 1, &no_class);
    cases.each(Status::Denied, Call::SlotCtl, &[PREY, 0], 1, &[slot_ctl::STORE, slot_ctl::SEAL]);
    cases.each(Status::BadHandle, Call::SlotCtl, &[0, slot_ctl::STORE], 0, &NOWHERE);
    cases.each(Status::BadHandle, Call::SlotCtl, &[0, slot_ctl::SEAL], 0, &NOWHERE);
    cases.each(Status::BadArgument, Call::SlotCtl, &[PREY, 0], 1, &[9]);
    cases.each(Status::BadArgument, Call::SlotCtl, &[PREY, 0], 1, &NO_OPERATION);
    injections(&mut cases);
    cases.expect(Status::Ok, Call::Kill, &[PREY, 6]);
    cases.expect(Status::WrongState, Call::Kill, &[PREY, 6]);
    cases.expect(Status::WrongState, Call::SlotCtl, &[PREY, slot_ctl::HEARTBEAT]);
    // It was ended by others: that says nothing against its checkpoint.
    cases.expect(Status::WrongState, Call::SlotCtl, &[PREY, slot_ctl::DROP_CHECKPOINT]);
    cases.expect(Status::WrongState, Call::Inject, &[PREY, 1, trigger::NOW, 0]);
    let dead = cases.attempt(Call::Inspect, &[inspect::NEXT_DEAD, 0, 0, 0]);
    assert!(dead[..2] == [0, PREY], "the dead slot: {:x?}", &dead[..2]);
    for slot in [0, 1, PREY] {
        inspection(&mut cases, slot);
    }
    cases.bad_target(Call::Inspect, &[inspect::DEATH, PREY, 0, BYTES], 2);
    cases.each(Status::BadArgument, Call::Reset, &[0], 0, &[3]);
    cases.each(Status::BadArgument, Call::Reset, &[0], 0, &NO_OPERATION);
    cases.expect(Status::Unsupported, Call::Reset, &[reset::PET]);
    memory.check();
    cases.count
}

/// Starts a slot that has never run.
fn start(cases: &mut Cases, slot: u64) {
    loop {
        let status = cases.attempt(Call::Start, &[slot])[0];
        if status == Status::Ok as u64 {
            break;
        }
        assert!(status == Status::More as u64, "slot {slot} cannot be started: {status}");
    }
    // It runs when nobody above it does, and is ready then.
    userlib::sleep_until(userlib::Instant::now().plus_ms(1));
}

fn injections(cases: &mut Cases) {
    cases.each(Status::BadHandle, Call::Inject, &[0, 1, 0, 0], 0, &[BYSTANDER + 1, 1 << 32 | PREY]);
    cases.each(Status::BadHandle, Call::Inject, &[0, 1, 0, 0], 0, &NOWHERE);
    let no_fault = [0, Fault::ALL.len() as u64 + 1, 255, 1 << 32 | 1, u64::MAX];
    cases.each(Status::BadArgument, Call::Inject, &[PREY, 0, 0, 0], 1, &no_fault);
    cases.each(Status::BadArgument, Call::Inject, &[PREY, 1, 0, 1], 2, &[trigger::ALARM + 1]);
    cases.each(Status::BadArgument, Call::Inject, &[PREY, 1, 0, 1], 2, &NO_OPERATION);
    for kind in [trigger::RECEIVED, trigger::SENT, trigger::ANSWERED, trigger::ALARM] {
        cases.expect(Status::BadArgument, Call::Inject, &[PREY, 1, kind, 0]);
    }
}

/// All cases for the server of a request in service. Grant 0 is a window of [`WINDOW`] bytes to read from, grant 1 one to
/// write to; in the end the second one holds what the first one does.
pub fn serving(memory: &Memory, call: u64) -> u32 {
    let mut cases = Cases { memory, count: 0 };
    let scratch = memory.scratch;
    for grant in [0, 1] {
        let good = [call, grant, 0, scratch, WINDOW];
        cases.each(Status::BadArgument, Call::Copy, &good, 1, &[2, 3, 1 << 63, u64::MAX]);
        cases.each(Status::BadGrant, Call::Copy, &good, 2, &[1, WINDOW, WINDOW + 1]);
        cases.each(Status::BadGrant, Call::Copy, &good, 2, &HUGE);
        cases.each(Status::BadGrant, Call::Copy, &good, 2, &[u64::MAX - WINDOW + 1, u64::MAX]);
        cases.each(Status::BadGrant, Call::Copy, &good, 4, &[WINDOW + 1, u64::MAX]);
        cases.each(Status::BadGrant, Call::Copy, &good, 4, &HUGE);
        cases.each(Status::Ok, Call::Copy, &[call, grant, WINDOW, 0, 0], 3, &[0, KERNEL[0], u64::MAX]);
    }
    cases.bad_target(Call::Copy, &[call, 0, 0, 0, WINDOW], 3);
    cases.bad_source(Call::Copy, &[call, 1, 0, 0, WINDOW], 3);
    cases.each(Status::BadArgument, Call::Reply, &[0, call], 0, &NO_OPERATION);
    for slot in 0..8 {
        cases.expect(Status::Stale, Call::Copy, &[slot << 56 | ((call + 1) & 0xFF), 0, 0, scratch, WINDOW]);
    }
    cases.expect(Status::Ok, Call::Copy, &[call, 0, 0, scratch, WINDOW]);
    cases.expect(Status::Ok, Call::Copy, &[call, 1, 0, scratch, WINDOW]);
    memory.check();
    cases.count
}

/// The request is answered: nothing can be done with it any more.
pub fn served(memory: &Memory, call: u64) -> u32 {
    let mut cases = Cases { memory, count: 0 };
    for kind in [reply::ANSWER, reply::BLAME] {
        cases.expect(Status::Stale, Call::Reply, &[kind, call]);
    }
    for grant in [0, 1] {
        cases.expect(Status::Stale, Call::Copy, &[call, grant, 0, memory.scratch, WINDOW]);
    }
    cases.count
}
