//! The emulator's control protocol: JSON objects, one a line. Events and answers share the socket.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest that an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The control socket.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    answers: Receiver<Value>,
    next_id: u64,
    reader: Option<JoinHandle<()>>,
}

impl Qmp {
    /// Negotiates on a connected socket. Events go to `on_event` (name and data) from a thread of its own.
    ///
    /// # Errors
    /// Fails when the other side does not speak the protocol.
    pub fn new(stream: UnixStream, on_event: impl Fn(&str, &Value) + Send + 'static) -> Result<Self> {
        let reader = BufReader::new(stream.try_clone().context("duplicating the control socket")?);
        let (sender, answers) = channel();
        let reader = std::thread::spawn(move || read_all(reader, &sender, on_event));
        let mut qmp = Self { stream, answers, next_id: 0, reader: Some(reader) };
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// The emulator has ended: returns when its last events have been reported.
    pub fn drain(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has nothing more to report.
            let _ = reader.join();
        }
    }

    /// Carries out a command and returns its result.
    ///
    /// # Errors
    /// Fails when the emulator refuses the command, does not answer in time, or is gone.
    pub fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        self.next_id += 1;
        let request = json!({ "execute": name, "arguments": arguments, "id": self.next_id });
        // In one piece: the emulator looks at each that comes.
        let line = format!("{request}\n");
        self.stream.write_all(line.as_bytes()).with_context(|| format!("sending {name} to the emulator"))?;
        loop {
            let answer = self.answers.recv_timeout(ANSWER_LIMIT).map_err(|error| match error {
                RecvTimeoutError::Timeout => anyhow!("the emulator does not answer {name}"),
                RecvTimeoutError::Disconnected => anyhow!("the emulator ended before it answered {name}"),
            })?;
            if answer["id"] != json!(self.next_id) {
                continue;
            }
            match answer.get("error") {
                Some(error) => bail!("the emulator refuses {name}: {error}"),
                None => return Ok(answer["return"].clone()),
            }
        }
    }
}

fn read_all(reader: BufReader<UnixStream>, answers: &Sender<Value>, on_event: impl Fn(&str, &Value)) {
    for line in reader.lines() {
        let Ok(line) = line else { return };
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        match message.get("event").and_then(Value::as_str) {
            Some(event) => on_event(event, &message["data"]),
            None if message.get("QMP").is_some() => {}
            None => {
                if answers.send(message).is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_events_and_stale_answers() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let script = r#"{"QMP":{}}
{"return":{},"id":1}
{"event":"RESET","data":{"guest":true}}
{"return":{"stale":true},"id":1}
{"return":{"status":"running"},"id":2}
{"error":{"desc":"no"},"id":3}
"#;
        (&theirs).write_all(script.as_bytes()).unwrap();
        let (events, seen) = channel();
        let mut qmp = Qmp::new(ours, move |name, data| {
            events.send((name.to_owned(), data["guest"].clone())).unwrap();
        })
        .unwrap();
        assert_eq!(qmp.command("query-status", &json!({})).unwrap()["status"], "running");
        assert_eq!(seen.recv().unwrap(), ("RESET".to_owned(), json!(true)));
        assert!(qmp.command("refused", &json!({})).unwrap_err().to_string().contains("refuses refused"));
        drop(theirs);
        assert!(qmp.command("late", &json!({})).is_err());
    }
}
