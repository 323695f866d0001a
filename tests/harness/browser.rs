//! A real browser without a screen, told what to do over the pipes of Chromium's DevTools protocol: JSON, each message ended by a zero byte.
//!
//! Debian's package `chromium` is installed where we may; elsewhere the browser is skipped in one loud, counted line.

use crate::process;
use crate::programs::installed;
use crate::scratch::Scratch;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// One answer takes no longer than this, on the slowest of machines.
const ANSWER_WITHIN: Duration = Duration::from_mins(10);

/// One browser at a time: several take the cores from each other and from the tests beside them.
static ONE: Mutex<()> = Mutex::new(());

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Of the window, in pixels.
    pub width: u32,
    /// Of the window.
    pub height: u32,
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// `screen` or `print`.
    pub media: &'static str,
    /// Whether scripts run.
    pub scripts: bool,
}

/// What was heard while a page was open.
#[derive(Debug, Default)]
pub struct Heard {
    /// Addresses that it asked for, but for itself.
    pub requests: Vec<String>,
    /// Errors and warnings on the console, exceptions.
    pub complaints: Vec<String>,
}

/// A running browser with one page.
pub struct Browser {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<Value>,
    events: VecDeque<Value>,
    session: Option<String>,
    next_id: u64,
    // Its profile; gone with it.
    _home: Scratch,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one; `None`, loudly, where there is none and none may be installed.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub fn start() -> Option<Self> {
        let program = chromium()?;
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home = Scratch::new("browser");
        // The browser reads requests from descriptor 3 and writes answers to 4.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null; exec \"$@\"", "sh"])
            .arg(program);
        shell.args([
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox", // which root may not have
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            // Nothing of its own goes to the network.
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
        ]);
        shell.arg(format!("--user-data-dir={}", home.path().display()));
        let mut child = process::spawn(&shell).expect("sh can be started");
        let (sender, answers) = channel();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let requests = child.stdin.take();
        let (events, session) = (VecDeque::new(), None);
        let mut browser =
            Self { child, requests, answers, events, session, next_id: 0, _home: home, _turn: turn };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens a file and waits until all of it is there.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn open(&mut self, file: &Path, view: View) -> Heard {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": false}),
        );
        let scheme = json!([{"name": "prefers-color-scheme", "value": view.scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"media": view.media, "features": scheme}));
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !view.scripts}));
        self.events.clear();
        let address = format!("file://{}", file.display());
        let answer = self.call("Page.navigate", json!({"url": address}));
        assert!(answer.get("errorText").is_none(), "{address}: {answer}");
        let mut heard = Heard::default();
        while !self.hear(&address, &mut heard) {
            assert!(self.receive(Instant::now() + ANSWER_WITHIN), "{address} did not load");
        }
        heard
    }

    /// What was said since, without waiting.
    pub fn listen(&mut self, file: &Path, heard: &mut Heard) {
        while self.receive(Instant::now()) {}
        self.hear(&format!("file://{}", file.display()), heard);
    }

    /// Sorts the events that came; whether the page is loaded.
    fn hear(&mut self, address: &str, heard: &mut Heard) -> bool {
        let mut loaded = false;
        for event in self.events.drain(..) {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Page.loadEventFired" => loaded = true,
                "Network.requestWillBeSent" => {
                    let asked = parameters["request"]["url"].as_str().unwrap_or_default();
                    if asked != address {
                        heard.requests.push(asked.to_owned());
                    }
                }
                "Runtime.exceptionThrown" => {
                    heard.complaints.push(parameters["exceptionDetails"].to_string());
                }
                "Runtime.consoleAPICalled" => heard.complaints.push(parameters["args"].to_string()),
                "Log.entryAdded" => heard.complaints.push(parameters["entry"].to_string()),
                _ => {}
            }
        }
        loaded
    }

    /// The value of an expression in the page.
    ///
    /// # Panics
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Moves the pointer to a place in the window.
    pub fn point_at(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// A picture of the whole page.
    ///
    /// # Panics
    /// If it cannot be taken or written.
    pub fn picture(&mut self, file: &Path) {
        let size = self.call("Page.getLayoutMetrics", json!({}));
        let size = &size["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let whole = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", whole);
        let data = answer["data"].as_str().expect("a picture has data");
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).expect("base64");
        std::fs::create_dir_all(file.parent().expect("a picture lies in a folder"))
            .expect("folder of pictures");
        std::fs::write(file, bytes).expect("the picture can be written");
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut request = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let requests = self.requests.as_mut().expect("open until the end");
        let sent = requests.write_all(request.to_string().as_bytes()).and_then(|()| requests.write_all(&[0]));
        sent.and_then(|()| requests.flush())
            .unwrap_or_else(|error| panic!("{method}: the browser ended: {error}"));
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            assert!(self.receive(deadline), "{method}: no answer within {ANSWER_WITHIN:?}");
            let Some(last) = self.events.back() else { continue };
            if last["id"] == json!(id) {
                let answer = self.events.pop_back().unwrap_or_default();
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// Takes one message; `false` if none came in time.
    fn receive(&mut self, deadline: Instant) -> bool {
        match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => self.events.push_back(message),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => panic!("the browser ended: {:?}", self.child.try_wait()),
        }
        true
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes end when the pipe does.
        drop(self.requests.take());
        if process::wait(&mut self.child, Duration::from_secs(10)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Chromium; `None`, loudly, where it is not installed and may not be.
pub fn chromium() -> Option<PathBuf> {
    installed("chromium", "chromium", &["chromium", "chromium-browser", "google-chrome"])
}
