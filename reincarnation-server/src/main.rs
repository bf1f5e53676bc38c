//! The reincarnation server: starts every component, watches it, and starts it again when it dies.
//!
//! *Role.* The shell around `reincarnation-core`: system calls, the checkpoint, and the `reincarnation` service.
//!
//! *Rule.* RS calls nobody. It depends on no service that it supervises, it allocates nothing, and between any two of its
//! actions it may die: the next incarnation goes on from the slots and the checkpoint that it finds.
//!
//! *Why.* Who waits for what it is to restart waits for ever; and who is itself restarted must lose nothing by it.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod service;

use abi::message::bits;
use abi::{SLOTS_MAX, Status};
use defmt::info;
use protocols::reincarnation::NOTIFY_NEWS;
use reincarnation_core::{Action, Supervisor, checkpoint_max};
use reincarnation_server::{notice, perform, take_charge, write_report};
use userlib::{
    Event, Instant, Peer, Request, Start, binding, checkpoint, recv, recv_notifications, sys, time,
};

userlib::entry!(main);

/// A death is reported so long after it, so that the next incarnation gets the CPU first.
const REPORT_DELAY_NS: u64 = 1_000_000;

/// Actions that take long, between two looks at the notifications.
const LONG_ACTIONS: u32 = 4;

/// All of RS that lives longer than one request.
struct Server {
    supervisor: Supervisor<SLOTS_MAX>,
    /// Who shows people what has happened.
    reporter: Option<Peer>,
}

fn main(_start: Start) -> ! {
    let delay = time::ticks_from_ns(REPORT_DELAY_NS, sys::frequency());
    let mut server =
        Server { supervisor: Supervisor::new(delay).watched(), reporter: binding!(notify ? "shell") };
    server.adopt();
    // The news of this server's own death, and of what happened while there was none.
    server.tell();
    let mut deadline = server.work();
    let mut event = recv(deadline);
    loop {
        event = match event {
            Event::Request(request) => {
                let reply = server.request(&request);
                deadline = server.work();
                request.reply_recv(&reply, deadline)
            }
            Event::Notification(set) => {
                server.notified(set);
                deadline = server.work();
                recv(deadline)
            }
            Event::Timeout => {
                deadline = server.work();
                recv(deadline)
            }
        };
    }
}

impl Server {
    /// Takes charge of all slots that the manifest lets RS control, as they are, with the committed history.
    fn adopt(&mut self) {
        let mut buffer = [0; checkpoint_max(SLOTS_MAX)];
        let committed = checkpoint::load(&mut buffer);
        let history = committed.is_some();
        for slot in 0..SLOTS_MAX {
            if take_charge(&mut self.supervisor, slot as u8, committed) == Err(Status::BadHandle) {
                break;
            }
        }
        notice(&mut self.supervisor);
        let charges = self.supervisor.charges().count_ones();
        info!("in charge of {=u32} components, with their history: {=bool}", charges, history);
    }

    /// Lets people hear of it. A reporter that is dead asks when it begins.
    fn tell(&self) {
        if let Some(reporter) = self.reporter {
            let _ = reporter.notify(NOTIFY_NEWS);
        }
    }

    fn notified(&mut self, set: u64) {
        if set & bits::DEATH != 0 {
            notice(&mut self.supervisor);
        }
    }

    /// Does all that there is to do, and returns when there will be more.
    fn work(&mut self) -> Instant {
        let mut long = 0;
        loop {
            let action = self.supervisor.next(sys::counter());
            match action {
                Action::Wait(until) => return Instant::from_ticks(until),
                Action::Commit => self.commit(),
                Action::Report(report) => {
                    write_report(&self.supervisor, report);
                    self.tell();
                }
                Action::DoubtItself(slot) => {
                    panic!(
                        "what is to be done to slot {slot} may be a mistake: a fresh reincarnation server is to decide"
                    )
                }
                action => perform(&mut self.supervisor, action),
            }
            long += u32::from(matches!(action, Action::Start(_) | Action::Report(_)));
            if long == LONG_ACTIONS
                && let Some(set) = recv_notifications(Instant::from_ticks(0))
            {
                self.notified(set);
            }
            long %= LONG_ACTIONS;
        }
    }

    fn commit(&mut self) {
        let mut buffer = [0; checkpoint_max(SLOTS_MAX)];
        let encoded = self.supervisor.checkpoint(&mut buffer);
        let done = encoded.is_some_and(|bytes| checkpoint::commit(bytes).is_ok());
        self.supervisor.committed(sys::counter(), done);
    }

    fn request(&mut self, request: &Request) -> abi::Message {
        service::handle(&mut self.supervisor, request).encode()
    }
}
