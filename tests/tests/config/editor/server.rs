//! [`Server`]: the YAML language server over its standard input and output, with one deadline for all that is asked of it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// By which schema a file is looked at: the folder of its address says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Newer,
    Draft07,
}

/// All of it takes seconds; a machine that does much else takes longer.
const LIMIT: Duration = Duration::from_secs(600);

pub struct Server {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    deadline: Instant,
    asked: u64,
    settings: Value,
    is_set: bool,
    /// What was said of each file: lines from 0, and messages.
    diagnostics: HashMap<String, Vec<(usize, String)>>,
}

impl Server {
    /// Starts it, and says which schema is for which folder. It is asked to fetch nothing.
    pub fn start(schemas: &[(Schema, PathBuf)]) -> Self {
        let mut child = Command::new("node")
            .arg(super::program())
            .arg("--stdio")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run node ({e}): install it with tests/lab/deps.sh"));
        let stdin = child.stdin.take().unwrap();
        let messages = listen(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdin,
            messages,
            deadline: Instant::now() + LIMIT,
            asked: 0,
            settings: settings(schemas),
            is_set: false,
            diagnostics: HashMap::new(),
        };
        let item = json!({"snippetSupport": true, "documentationFormat": ["markdown"]});
        let capabilities = json!({"textDocument": {
            "hover": {"contentFormat": ["markdown"]},
            "completion": {"completionItem": item},
        }});
        server.ask(
            "initialize",
            json!({"processId": std::process::id(), "rootUri": null, "capabilities": capabilities}),
        );
        server.tell("initialized", json!({}));
        // Files that are opened before it has its settings would be looked at without a schema.
        while !server.is_set {
            let message = server.next("a question for its settings");
            server.take(&message);
        }
        server
    }

    /// Opens a file.
    pub fn open(&mut self, schema: Schema, name: &str, text: &str) {
        let uri = uri(schema, name);
        let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": document}));
    }

    /// What is said of a file that was opened: lines from 0, and messages.
    pub fn diagnostics(&mut self, schema: Schema, name: &str) -> Vec<(usize, String)> {
        let uri = uri(schema, name);
        loop {
            if let Some(said) = self.diagnostics.get(&uri) {
                return said.clone();
            }
            let message = self.next(&format!("diagnostics of {uri}"));
            self.take(&message);
        }
    }

    /// What is offered at a place of a file.
    pub fn complete(&mut self, schema: Schema, name: &str, text: &str, at: usize) -> Vec<Value> {
        let answer = self.ask("textDocument/completion", place(schema, name, text, at));
        let items = answer.get("items").unwrap_or(&answer);
        items.as_array().cloned().unwrap_or_default()
    }

    /// What is shown over a place of a file.
    pub fn hover(&mut self, schema: Schema, name: &str, text: &str, at: usize) -> String {
        let answer = self.ask("textDocument/hover", place(schema, name, text, at));
        let shown = answer["contents"]["value"].as_str();
        shown.unwrap_or_default().to_owned()
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.next(&format!("the answer to {method}"));
            if message["id"] == id && message.get("method").is_none() {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.take(&message);
        }
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{text}", text.len())
            .and_then(|()| self.stdin.flush())
            .expect("the language server reads");
    }

    fn next(&mut self, what: &str) -> Value {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.messages
            .recv_timeout(left)
            .unwrap_or_else(|e| panic!("the language server did not send {what}: {e}"))
    }

    /// Notes diagnostics, and answers what the server asks: its settings, again.
    fn take(&mut self, message: &Value) {
        let params = &message["params"];
        if message["method"] == "textDocument/publishDiagnostics" {
            let all = params["diagnostics"].as_array().into_iter().flatten();
            let all = all.map(|one| {
                let line = one["range"]["start"]["line"].as_u64().unwrap_or_default();
                let text = one["message"].as_str().unwrap_or_default();
                (usize::try_from(line).unwrap_or_default(), text.to_owned())
            });
            let uri = params["uri"].as_str().unwrap_or_default().to_owned();
            self.diagnostics.insert(uri, all.collect());
        } else if let (Some(id), Some(method)) = (message.get("id"), message.get("method")) {
            let asked = params["items"].as_array().into_iter().flatten();
            let answers = asked.map(|item| match item["section"] == "yaml" {
                true => self.settings.clone(),
                false => Value::Null,
            });
            let for_settings = method == "workspace/configuration";
            let answer = match for_settings {
                true => answers.collect(),
                false => Value::Null,
            };
            self.is_set |= for_settings;
            self.send(&json!({"jsonrpc": "2.0", "id": id, "result": answer}));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to lose, and its own process alone is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which schema is for which folder; nothing is to be fetched.
fn settings(schemas: &[(Schema, PathBuf)]) -> Value {
    let folders = schemas.iter().map(|(schema, path)| {
        let address = format!("file://{}", path.display());
        (address, Value::from(format!("/{schema:?}/*.yaml")))
    });
    let folders: Map<String, Value> = folders.collect();
    json!({
        "validate": true, "hover": true, "completion": true,
        "schemaStore": {"enable": false}, "schemas": folders,
    })
}

fn uri(schema: Schema, name: &str) -> String {
    format!("file:///{schema:?}/{name}.yaml")
}

/// A place of a file as the protocol has it. The files are ASCII up to there.
fn place(schema: Schema, name: &str, text: &str, at: usize) -> Value {
    let before = &text[..at];
    let line = before.matches('\n').count();
    let character = before.rsplit('\n').next().unwrap_or_default().len();
    json!({
        "textDocument": {"uri": uri(schema, name)},
        "position": {"line": line, "character": character},
    })
}

/// All messages, in order, until the server's output ends.
fn listen(stdout: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        while let Some(message) = message(&mut stdout) {
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

fn message(stdout: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        stdout.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length?];
    stdout.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
