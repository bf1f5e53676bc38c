//! The `reincarnation` service as functions, with errors for people.

use abi::plan::Fault;
use abi::record::DeathRecord;
use abi::{SLOTS_MAX, SlotId};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use protocols::reincarnation::{Error, Reply, Request, Row, Standing};
use shell_core::Verb;
use shell_core::report::name;
use userlib::{Client, Grant, NO_GRANTS, Outcome, Status};
use zerocopy::{FromZeros, IntoBytes};

/// Room for a log ring of the usual size.
const LOG_BYTES: usize = 4096;

/// What the terminal hangs on: stopped, nobody could type `service start`.
const TERMINAL: [&str; 2] = ["console", "shell"];

/// Slot of root, by definition of the manifest.
const ROOT: u32 = 0;

/// RS, as a client sees it.
pub struct Supervisor(Client);

type Result<T> = core::result::Result<T, String>;

fn no_answer(status: Status) -> String {
    let what = match status.outcome() {
        Some(Outcome::Unknown) => {
            "it died with the request, or is too slow: the request may have been carried out"
        }
        _ => "nothing was done",
    };
    format!("rs does not answer ({what}); root restarts it: try again")
}

fn refusal(subject: &str, error: Error) -> String {
    let text = match error {
        Error::BadRequest => "rs does not know this request: shell and rs are of different versions",
        Error::NoSuchSlot => "rs does not control it; only what rs starts can be controlled",
        Error::Quarantined => "it is in quarantine: `service release` it",
        Error::NotQuarantined => "it is not in quarantine; `service restart` it",
        Error::Denied => "the manifest does not allow it: it must give rs the right `inject`",
        Error::TooSoon => "rs has just heard a complaint of this kind",
        Error::WrongState => "it is not running, or not ready yet: `services` tells why",
    };
    format!("{subject}: {text}")
}

/// Whether this is RS itself: besides root, it has charge of all but itself.
fn is_supervisor(row: &Row) -> bool {
    row.standing == Standing::Unsupervised as u32 && row.slot != ROOT
}

impl Supervisor {
    /// RS behind this handle.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Asks for data of at most `buffer.len()` bytes or rows; returns how many came.
    fn fetch(&self, subject: &str, request: Request, buffer: &mut [u8]) -> Result<usize> {
        let reply = self.0.call(&request.encode(), [Grant::Write(buffer), Grant::None]);
        match Reply::decode(&reply.map_err(|error| no_answer(error.0))?) {
            Reply::Written { count, .. } => Ok(count as usize),
            Reply::Failed(error) => Err(refusal(subject, error)),
            Reply::Done => Ok(0),
        }
    }

    /// All components.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let mut rows = vec![Row::new_zeroed(); SLOTS_MAX];
        let count = self.fetch("ps", Request::List, rows.as_mut_slice().as_mut_bytes())?;
        rows.truncate(count);
        Ok(rows)
    }

    /// The component with this name.
    pub fn find(&self, component: &str) -> Result<Row> {
        let found = self.rows()?.into_iter().find(|row| name(row) == component);
        found.ok_or_else(|| format!("{component}: no such component; `ps` lists all"))
    }

    /// Its log ring.
    pub fn log(&self, row: &Row) -> Result<Vec<u8>> {
        let mut ring = vec![0; LOG_BYTES];
        let count = self.fetch(&name(row), Request::Log(row.slot as SlotId), &mut ring)?;
        ring.truncate(count);
        Ok(ring)
    }

    /// How it died last.
    pub fn death(&self, row: &Row) -> Result<DeathRecord> {
        let mut record = DeathRecord::new_zeroed();
        self.fetch(&name(row), Request::Death(row.slot as SlotId), record.as_mut_bytes())?;
        Ok(record)
    }

    /// Makes a component fail, and says what has been done.
    pub fn fail(&self, component: &str, fault: Fault) -> Result<String> {
        let row = self.find(component)?;
        let itself = is_supervisor(&row);
        let (fault, note) = match fault {
            Fault::Kill if row.slot == ROOT => {
                return Err(format!(
                    "{component}: nobody may kill root; `fault {component} exit` makes it fail, which resets the board"
                ));
            }
            Fault::Kill if itself => (Fault::Exit, " (nobody but root may kill rs: it makes itself exit)"),
            fault => (fault, ""),
        };
        let slot = row.slot as SlotId;
        match self.0.call(&Request::Fault(slot, fault).encode(), NO_GRANTS) {
            Err(error) if itself && error.outcome() == Outcome::Unknown => Ok(format!(
                "{component}: {}{note}; it died with the request, root starts the next\n",
                fault.name()
            )),
            Err(error) => Err(no_answer(error.0)),
            Ok(reply) => match Reply::decode(&reply) {
                Reply::Failed(error) => Err(refusal(component, error)),
                _ => Ok(format!("{component}: {}, incarnation {}{note}\n", fault.name(), row.incarnation)),
            },
        }
    }

    /// Controls a component, and says what has been done.
    pub fn control(&self, verb: Verb, component: &str) -> Result<String> {
        let row = self.find(component)?;
        if matches!(verb, Verb::Stop) && TERMINAL.contains(&component) {
            return Err(format!(
                "{component}: not stopped, since nobody could type its start; `service restart {component}` restarts it"
            ));
        }
        let slot = row.slot as SlotId;
        let (request, done) = match verb {
            Verb::Stop => {
                (Request::Stop(slot), "stopped; its service answers \"unavailable\" until `service start`")
            }
            Verb::Start => (Request::Start(slot), "started"),
            Verb::Restart => (Request::Restart(slot, row.incarnation), "restarted"),
            Verb::Release => (Request::Release(slot), "released and started"),
        };
        let reply = self.0.call(&request.encode(), NO_GRANTS).map_err(|error| no_answer(error.0))?;
        match Reply::decode(&reply) {
            Reply::Failed(error) => Err(refusal(component, error)),
            _ => Ok(format!("{component}: {done}\n")),
        }
    }
}
