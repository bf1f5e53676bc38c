//! The session: a line is typed, run, and the next one typed, across the deaths of everybody.
//!
//! *Rule.* State is committed before it is shown.

use crate::execute::Shell;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use defmt::info;
use protocols::console::{NOTIFY_INPUT, READ_MAX};
use protocols::reincarnation::NOTIFY_NEWS;
use serde::{Deserialize, Serialize};
use shell_core::complete;
use shell_core::editor::{Action, Editor, Saved, SavedLine, saved_line};
use shell_core::report::{Seen, news};
use userlib::{Instant, Start, checkpoint, recv_notifications, time::now};

/// Of the checkpoint's format.
const VERSION: u16 = 1;
/// Size of the checkpoint in the manifest.
const CHECKPOINT_BYTES: usize = 4096;
/// Between two tries to reach a console that does not answer.
const RETRY_MS: u64 = 1000;
/// To the first column, and nothing behind it.
const ERASE_ROW: &[u8] = b"\r\x1b[K";
/// What Ctrl-D prints.
const NO_EXIT: &[u8] = b"\r\n(the shell does not end; `./x run` says how to leave)\r\n";

/// What outlives an incarnation.
#[derive(Default, Serialize, Deserialize)]
struct State {
    editor: Saved,
    /// [`crate::terminal::Terminal::position`].
    position: u64,
    /// The command that is being run.
    running: Option<SavedLine>,
}

/// The shell at its terminal.
pub struct Session {
    shell: Shell,
    editor: Editor,
    running: Option<SavedLine>,
    buffer: Vec<u8>,
    /// The console knows where this session reads.
    attached: bool,
    /// What is known of the components, by slot.
    seen: BTreeMap<u32, Seen>,
}

impl Session {
    /// Goes on where the last incarnation was.
    pub fn restore(mut shell: Shell, start: Start) -> Self {
        let mut buffer = vec![0; CHECKPOINT_BYTES];
        let saved = checkpoint::load_value::<State>(VERSION, &mut buffer);
        let attached = saved.is_some();
        let state = saved.unwrap_or_default();
        shell.terminal.position = state.position;
        let greeting = match (state.running, start.incarnation) {
            (Some(line), _) => format!("\nshell: restarted; `{line}` was cut short and is not repeated\n"),
            (None, 1) => "\nSamsara shell: `help` lists the commands\n".into(),
            (None, number) => format!("\nshell: restarted, incarnation {number}\n"),
        };
        info!("goes on from a checkpoint: {=bool}, at input {=u64}", attached, state.position);
        let editor = Editor::restore(&state.editor);
        let seen = BTreeMap::new();
        let mut session = Self { shell, editor, running: None, buffer, attached, seen };
        session.commit();
        // What it finds is no news.
        let _ = session.news();
        session.shell.terminal.print(&greeting);
        session.draw();
        session
    }

    /// Serves the terminal for ever.
    pub fn run(mut self) -> ! {
        let mut answered = self.take_input();
        loop {
            let complete = answered && !self.shell.terminal.missed.get();
            let deadline = if complete { Instant::NEVER } else { now().plus_ms(RETRY_MS) };
            let kept = self.shell.terminal.kept.take();
            let deadline = if kept == 0 { deadline } else { Instant::from_ticks(0) };
            let bits = match recv_notifications(deadline) {
                None if kept == 0 => None,
                bits => Some(bits.unwrap_or(0) | kept),
            };
            if bits.is_some_and(|bits| bits & NOTIFY_NEWS != 0) {
                self.tell();
            }
            if !complete && bits.is_none() {
                self.shell.terminal.missed.set(false);
                self.draw();
            }
            if bits.is_none_or(|bits| bits & NOTIFY_INPUT != 0) {
                answered = self.take_input();
            }
        }
    }

    /// What has happened to components since the last look.
    fn news(&mut self) -> String {
        let rows = self.shell.supervisor.rows().unwrap_or_default();
        news(&mut self.seen, &rows, now().ns())
    }

    /// Shows the news, and the line again beneath it.
    fn tell(&mut self) {
        let text = self.news();
        if !text.is_empty() {
            self.shell.terminal.write(ERASE_ROW);
            self.shell.terminal.print(&text);
            self.draw();
        }
    }

    fn commit(&mut self) {
        let state = State {
            editor: self.editor.save(),
            position: self.shell.terminal.position,
            running: self.running.clone(),
        };
        checkpoint::commit_value(VERSION, &state, &mut self.buffer)
            .expect("the state fits into the manifest's checkpoint");
    }

    fn draw(&self) {
        let mut out = Vec::new();
        self.editor.draw(&mut out);
        self.shell.terminal.write(&out);
    }

    /// Takes all input that there is. `false`: the console does not answer.
    fn take_input(&mut self) -> bool {
        if !self.attached {
            self.attached = self.shell.terminal.attach();
        }
        let mut buffer = [0; READ_MAX as usize];
        while self.attached {
            match self.shell.terminal.peek(&mut buffer) {
                None => return false,
                Some(0) => return true,
                Some(length) => self.take(&buffer[..length]),
            }
        }
        false
    }

    /// Takes bytes up to the first one that calls for an action; the others are read again.
    fn take(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        let mut action = None;
        for byte in bytes {
            self.shell.terminal.position += 1;
            action = self.editor.feed(*byte, &mut out);
            if action.is_some() {
                break;
            }
        }
        if let Some(Action::Run(line)) = &action {
            self.running = Some(saved_line(line));
        }
        self.commit();
        self.shell.terminal.write(&out);
        match action {
            None => {}
            Some(Action::Run(line)) => self.run_line(&line),
            Some(Action::Complete) => self.complete(),
            Some(Action::End) => {
                self.shell.terminal.write(NO_EXIT);
                self.draw();
            }
        }
    }

    fn run_line(&mut self, line: &str) {
        self.shell.run(line);
        self.running = None;
        self.commit();
        self.draw();
    }

    fn complete(&mut self) {
        let (kind, word) = complete::word(self.editor.before_cursor());
        let (start, mut candidates) = match kind {
            complete::Kind::Path => {
                let (directory, start) = complete::split_path(word);
                (start, self.shell.names_in(directory, start))
            }
            complete::Kind::Component => (word, self.shell.component_names()),
            kind => (word, complete::known(kind)),
        };
        let more = complete::common(start, &mut candidates);
        candidates.sort_unstable();
        let mut out = Vec::new();
        if candidates.len() > complete::NAMES_MAX {
            out.extend(format!("\r\n(more than {} names: type more of it)\r\n", complete::NAMES_MAX).bytes());
            self.editor.draw(&mut out);
        } else if more.is_empty() && candidates.len() > 1 {
            out.extend(b"\r\n");
            out.extend(candidates.join(" ").bytes());
            out.extend(b"\r\n");
            self.editor.draw(&mut out);
        } else if more.is_empty() {
            out.push(7);
        } else {
            self.editor.insert(&more, &mut out);
            self.commit();
        }
        self.shell.terminal.write(&out);
    }
}
