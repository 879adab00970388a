//! Where answers go: text for people, or one JSON document, never both.

use std::io::Write;

use anyhow::Error;
use serde_json::{Value, json};

use crate::client::ClientError;
use crate::paint::{Paint, Style};

/// How this process prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    paint: Paint,
}

impl Output {
    /// JSON or text; text is painted when stdout is a terminal.
    pub fn new(json: bool) -> Output {
        Output { json, paint: Paint::for_stream(&std::io::stdout()) }
    }

    /// Whether JSON is wanted.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether to paint text.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Prints the answer: `value`, or the text that `text` makes.
    pub fn answer(&self, value: &Value, text: impl FnOnce() -> String) {
        if self.json {
            print_line(&pretty(value));
        } else {
            print_line(text().trim_end_matches('\n'));
        }
    }

    /// Prints one event or the like: JSON on one line, so that a stream of them can be read.
    pub fn line(&self, value: &Value, text: impl FnOnce() -> String) {
        print_line(&if self.json { value.to_string() } else { text() });
    }

    /// Says what went wrong and what to do: on stderr for people, and as JSON on stdout if that is wanted.
    pub fn error(&self, error: &Error) {
        let client = error.downcast_ref::<ClientError>();
        let remedy = client.and_then(ClientError::remedy);
        let message = match client.and_then(ClientError::refusal) {
            Some(refusal) => refusal.message.clone(),
            None => format!("{error:#}"),
        };
        if self.json {
            let code = client.and_then(ClientError::refusal).map(|refusal| refusal.code);
            let error = json!({ "error": { "message": message, "code": code, "remedy": remedy } });
            print_line(&pretty(&error));
        }
        let paint = Paint::for_stream(&std::io::stderr());
        eprintln!("{}: {message}", paint.apply(Style::Bad, "error"));
        if let Some(remedy) = remedy {
            eprintln!("  {}: {remedy}", paint.apply(Style::Good, "help"));
        }
    }
}

/// A reader that has seen enough (`| head`) is no error.
fn print_line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value has string keys only")
}
