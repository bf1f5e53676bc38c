use super::*;
use abi::Status;
use protocols::files;
use register_core::BYTES;
use workload_core::record::KERNEL_STATUS;

const SEED: u64 = 7;
const UNKNOWN: u32 = KERNEL_STATUS + Status::UnknownDied as u32;
const NOT_EXECUTED: u32 = KERNEL_STATUS + Status::Expired as u32;

/// Three clients in slots 5, 6 and 7, with numbers 0 to 2, on registers that work.
struct Scene {
    registers: Registers,
    time: u64,
    operation: [u32; 3],
    step: [u32; 3],
    bytes: [Vec<u8>; REGISTERS],
}

/// What the file server does to an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    Well,
    /// It says so, and does nothing.
    Lied,
    /// It does it, and does not say so.
    Silently(u32),
    /// It does nothing, and says so.
    NotAtAll(u32),
    /// It does half of it.
    ByHalves,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self {
            registers: Registers::new(SEED, 5..8, 5),
            time: 8_000_000,
            operation: [0; 3],
            step: [0; 3],
            bytes: Default::default(),
        };
        (0..3).for_each(|client| scene.begin(client, true));
        scene
    }

    fn say(&mut self, client: usize, record: &Record) {
        self.time += 1000;
        self.registers.record(self.time, client as u8 + 5, record);
    }

    fn begin(&mut self, client: usize, fresh: bool) {
        let (step, operation) = (self.step[client], self.operation[client]);
        self.say(client, &Record::Begin { seed: SEED, client: client as u8, step, operation, fresh });
    }

    fn invoke(&mut self, client: usize) -> (u8, Access, Value) {
        let (operation, drawn) = (self.operation[client], step(SEED, client as u8, self.step[client]));
        let value = Value { register: drawn.register, client: client as u8, operation };
        self.operation[client] += 1;
        self.say(client, &Record::Invoked { operation, register: drawn.register, kind: drawn.kind });
        (drawn.register, drawn.kind, value)
    }

    fn told(&mut self, client: usize, status: u32, bytes: &[u8]) {
        let operation = self.operation[client] - 1;
        self.step[client] += u32::from(matches!(answer(status), Answer::Done | Answer::Refused));
        self.say(client, &Record::Returned { operation, status, bytes });
    }

    /// The client's next operation.
    fn work(&mut self, client: usize, served: Served) -> Access {
        let (register, access, value) = self.invoke(client);
        let register = usize::from(register);
        let status = match served {
            Served::Well | Served::Lied | Served::ByHalves => DONE,
            Served::Silently(status) | Served::NotAtAll(status) => status,
        };
        if access == Access::Write {
            match served {
                Served::Well | Served::Silently(_) => self.bytes[register] = value.bytes(SEED).to_vec(),
                Served::ByHalves => {
                    self.bytes[register].resize(BYTES, 0);
                    self.bytes[register][..BYTES / 2].copy_from_slice(&value.bytes(SEED)[..BYTES / 2]);
                }
                Served::Lied | Served::NotAtAll(_) => {}
            }
        }
        let read =
            if access == Access::Read && status == DONE { self.bytes[register].clone() } else { Vec::new() };
        self.told(client, status, &read);
        access
    }

    /// Work of all clients in turn, served well.
    fn rounds(&mut self, count: usize) {
        for turn in 0..count * 3 {
            self.work(turn % 3, Served::Well);
        }
    }

    /// One write of client 1, served so, behind some work and before so many rounds of it.
    fn one_write(&mut self, served: Served, rounds: usize) {
        self.rounds(5);
        while step(SEED, 1, self.step[1]).kind == Access::Read {
            self.work(1, Served::Well);
        }
        self.work(1, served);
        self.rounds(rounds);
    }

    fn card(&self) -> [Option<Vec<u8>>; REGISTERS] {
        self.bytes.clone().map(|bytes| (!bytes.is_empty()).then_some(bytes))
    }

    /// All that was found.
    fn said(&self) -> Vec<String> {
        let registers = &self.registers;
        let all = [
            registers.findings().to_vec(),
            registers.violations(),
            registers.violations_of_card(&self.card()),
        ];
        all.concat().iter().map(ToString::to_string).collect()
    }
}

#[test]
fn registers_that_work_have_no_findings() {
    let mut scene = Scene::new();
    scene.rounds(30);
    scene.say(1, &Record::Finished);
    scene.say(2, &Record::Finished);
    scene.say(0, &Record::Finished);
    scene.say(0, &Record::Unmounted { status: DONE });
    assert_eq!(scene.said(), [""; 0]);
    assert!(scene.registers.is_over() && scene.registers.is_unmounted());
    assert_eq!((scene.registers.acknowledged(), scene.registers.refusals().len()), (90, 0));
    assert_eq!(scene.registers.operations().iter().sum::<usize>(), 90);
    assert_eq!(scene.registers.lines().len(), 30, "one client writes lines");
}

#[test]
fn unknown_outcomes_are_believed_either_way() {
    for served in [Served::Silently(UNKNOWN), Served::NotAtAll(UNKNOWN), Served::NotAtAll(NOT_EXECUTED)] {
        let mut scene = Scene::new();
        scene.one_write(served, 20);
        assert_eq!(scene.said(), [""; 0]);
        assert_eq!(scene.registers.repeated(), 1);
    }
}

#[test]
fn a_client_that_died_goes_on_with_another_operation() {
    let mut scene = Scene::new();
    scene.rounds(5);
    let (register, access, value) = scene.invoke(1);
    if access == Access::Write {
        scene.bytes[usize::from(register)] = value.bytes(SEED).to_vec();
    }
    scene.registers.died(6);
    scene.begin(1, false);
    scene.rounds(20);
    assert_eq!(scene.said(), [""; 0]);
    scene.registers.died(6);
    scene.operation[1] -= 1;
    scene.begin(1, false);
    assert!(scene.said()[0].contains("client 1 goes on with step"), "a number is used twice");
}

#[test]
fn a_lost_write_is_found() {
    let mut scene = Scene::new();
    scene.one_write(Served::Lied, 20);
    let said = scene.said();
    assert!(said[0].contains("is not linearizable") && said[0].contains("client 1 wrote 1."), "{said:?}");
}

#[test]
fn a_write_that_was_not_executed_and_is_there_is_found() {
    let mut scene = Scene::new();
    scene.one_write(Served::Silently(NOT_EXECUTED), 0);
    assert!(scene.said()[0].contains("which nobody has written"), "{:?}", scene.said());
}

#[test]
fn a_torn_value_is_found_by_who_reads_it_and_on_the_card() {
    let mut scene = Scene::new();
    scene.one_write(Served::ByHalves, 20);
    assert!(scene.said()[0].contains("holds no value: 64 bytes, "), "{:?}", scene.said());
    let mut scene = Scene::new();
    scene.rounds(10);
    let register = scene.bytes.iter().position(|bytes| !bytes.is_empty()).unwrap();
    scene.bytes[register][BYTES - 1] ^= 1;
    let said = scene.said();
    assert!(
        said[0].starts_with(&format!("correctness: card: {} holds no value", PATHS[register])),
        "{said:?}"
    );
}

#[test]
fn a_value_of_another_register_and_a_card_of_yesterday_are_found() {
    let mut scene = Scene::new();
    scene.rounds(30);
    scene.bytes.rotate_left(1);
    assert_eq!(scene.said().len(), REGISTERS, "{:?}", scene.said());
    assert!(scene.said()[0].contains("the card at the end: read "), "{:?}", scene.said());
    scene.bytes = Default::default();
    let said = scene.said();
    assert_eq!(said.len(), REGISTERS);
    assert!(said[0].contains("the card at the end: read the empty value"), "{said:?}");
}

#[test]
fn refusals_are_loss_and_nothing_more() {
    let mut scene = Scene::new();
    scene.one_write(Served::NotAtAll(files::Status::NoSpace as u32), 20);
    scene.say(0, &Record::Unmounted { status: files::Status::NoCard as u32 });
    assert_eq!(scene.said(), [""; 0]);
    // The write, the unmounting, three clients that had not come to their end.
    assert_eq!(scene.registers.refusals().len(), 5);
    assert!(!scene.registers.is_unmounted());
}

#[test]
fn after_a_reset_registers_are_read_and_hold_what_was_acknowledged() {
    let mut scene = Scene::new();
    scene.rounds(20);
    scene.invoke(2);
    scene.registers.reset();
    for client in 0..3 {
        scene.operation[client] = AFTER_RESET;
        scene.step[client] = 0;
        scene.begin(client, true);
        for register in 0..REGISTERS as u8 {
            let operation = AFTER_RESET + u32::from(register);
            scene.say(client, &Record::Invoked { operation, register, kind: Access::Read });
            scene.operation[client] = operation + 1;
            let bytes = scene.bytes[usize::from(register)].clone();
            scene.told(client, DONE, &bytes);
        }
    }
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn records_that_do_not_fit_together_are_evidence_against_themselves() {
    let mut scene = Scene::new();
    scene.say(0, &Record::Returned { operation: 0, status: DONE, bytes: &[] });
    let drawn = step(SEED, 0, 0);
    let other = (drawn.register + 1) % REGISTERS as u8;
    scene.say(0, &Record::Invoked { operation: 0, register: other, kind: drawn.kind });
    scene.say(0, &Record::Line { step: 3 });
    scene.say(1, &Record::Unmounted { status: DONE });
    scene.begin(1, true);
    let said = scene.said();
    assert_eq!(said.iter().filter(|text| text.starts_with("evidence")).count(), 4, "{said:?}");
    assert!(said[4].contains("client 1 lost its checkpoint"), "{said:?}");
}
