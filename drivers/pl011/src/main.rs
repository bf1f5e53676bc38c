//! The console's process: takes requests and interrupts to the device logic, and its state to the checkpoint.
//!
//! Rule: everything that decides is in `lib.rs`; this file has no state of its own.

#![no_std]
#![no_main]

use defmt::info;
use pl011_driver::{Console, Line, Process, STATE_MAX};
use protocols::console::{Error, NOTIFY_INPUT, READ_MAX, Reply, Request, WRITE_MAX};
use userlib::device::Clock;
use userlib::driver::DriverClock;
use userlib::server::{Answer, Server};
use userlib::{Irq, Peer, Start, Window, binding, checkpoint, serve};

/// UARTCLK that the firmware sets (config.txt, `init_uart_clock`), in hertz, unless the manifest says otherwise.
const CLOCK_HZ: u64 = 48_000_000;
/// Bits per second, unless the manifest says otherwise.
const BAUD: u64 = 115_200;

/// What the device logic needs from the system.
struct System {
    clock: DriverClock,
    irq: Irq,
    reader: Option<Peer>,
}

impl Clock for System {
    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    fn wait(&self, limit_ns: u64) {
        self.irq.acknowledge();
        self.clock.wait(limit_ns);
    }
}

impl Process for System {
    fn commit(&self, state: &[u8]) {
        checkpoint::commit(state).expect("the state fits into the manifest's checkpoint");
    }

    fn notify_reader(&self) {
        if let Some(reader) = self.reader {
            reader.notify(NOTIFY_INPUT).expect("the manifest lets a server notify its reader");
        }
    }
}

struct Driver<'a> {
    console: Console<Window, &'a System>,
    system: &'a System,
}

impl Server for Driver<'_> {
    fn request(&mut self, request: &userlib::Request) -> Answer {
        let reply = match Request::decode(&request.message) {
            Ok(Request::Write { length }) => self.write(request, length),
            Ok(Request::Read { position, room }) => {
                let window = request.grant_length(0);
                let room = room.min(READ_MAX).min(window as u32);
                self.console.read(position, room, |bytes| request.copy_out(0, 0, bytes).is_ok())
            }
            Ok(Request::Attach) => self.console.attach(),
            Err(error) => Reply::Failed(error),
        };
        self.serve_interrupt();
        Answer::Reply(reply.encode())
    }

    fn notified(&mut self, bits: u64) {
        if bits & self.system.irq.bit() != 0 {
            self.console.interrupt();
            self.system.irq.acknowledge();
        }
        self.serve_interrupt();
    }
}

impl Driver<'_> {
    fn write(&mut self, request: &userlib::Request, length: u32) -> Reply {
        let mut bytes = [0; WRITE_MAX as usize];
        let bytes = &mut bytes[..length as usize];
        if request.copy_in(0, 0, bytes).is_err() {
            return Reply::Failed(Error::BadRequest);
        }
        self.console.write(request.id, bytes)
    }

    /// Interrupts that came while the device logic waited.
    fn serve_interrupt(&mut self) {
        if self.system.clock.take_notifications() & self.system.irq.bit() != 0 {
            self.console.interrupt();
            self.system.irq.acknowledge();
        }
    }
}

userlib::entry!(main);

fn main(start: Start) -> ! {
    // Whoever reads: the shell, or the client of a campaign.
    let reader = binding!(notify ? "shell").or(binding!(notify ? "client"));
    let system = System { clock: DriverClock::new(), irq: binding!(irq "uart0"), reader };
    let line = Line {
        clock_hz: binding!(parameter ? "uart_clock_hz").unwrap_or(CLOCK_HZ) as u32,
        baud: binding!(parameter ? "baud").unwrap_or(BAUD) as u32,
        loopback: binding!(parameter ? "loopback").is_some_and(|on| on != 0),
    };
    let mut saved = [0; STATE_MAX];
    let saved = checkpoint::load(&mut saved);
    info!(
        "{=u32} baud from {=u32} Hz, restart with state: {=bool}",
        line.baud,
        line.clock_hz,
        saved.is_some()
    );
    let console = Console::start(binding!(window "uart0"), &system, line, start.incarnation, saved);
    system.irq.acknowledge();
    serve(&mut Driver { console, system: &system })
}
