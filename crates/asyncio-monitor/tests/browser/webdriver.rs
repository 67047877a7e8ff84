//! A browser without a window, driven by its driver: JSON over HTTP, as WebDriver says
//! (<https://www.w3.org/TR/webdriver2/>).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use asyncio_http::ClientSession;
use asyncio_task::{sleep, timeout, to_thread};
use serde_json::{Value, json};

/// More than a loaded machine needs: a wait that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The driver. Dropping it ends the browser and the driver's process.
struct Driver {
    process: Child,
    /// The driver's port, and the path of the browser's session.
    session: Option<(u16, String)>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some((port, path)) = self.session.take() {
            // A browser outlives a killed driver, so the browser is ended first. The test is over,
            // so a failure here is ignored.
            if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) {
                let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
                let _ = write!(socket, "DELETE {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
                let _ = socket.read(&mut [0; 64]);
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser that is closed when this value is dropped.
pub(crate) struct Browser {
    _driver: Driver,
    http: ClientSession,
    /// The address of the browser's session at the driver.
    session: String,
}

impl Browser {
    pub(crate) async fn start(size: &str) -> Self {
        let process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let mut driver = Driver { process, session: None };
        let out = driver.process.stdout.take().unwrap();
        let port = to_thread(move || port(BufReader::new(out))).await.unwrap();
        let (http, driver_url) = (ClientSession::new(), format!("http://127.0.0.1:{port}"));
        let size = format!("--window-size={size}");
        // In a container there is no other user for a sandbox, and little shared memory.
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            size,
            "--force-device-scale-factor=1",
            "--hide-scrollbars",
            "--force-color-profile=srgb"
        ]);
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "ignore",
        }}});
        let answer = http.post(format!("{driver_url}/session")).json(&capabilities);
        let answer: Value = answer.await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no browser: {answer}"));
        let session = format!("{driver_url}/session/{id}");
        driver.session = Some((port, format!("/session/{id}")));
        Self { _driver: driver, http, session }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.session);
        let answer = self.http.post(&url).json(body).await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{path} {body}: {value}");
        value
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url })).await;
    }

    /// Runs a script in the page, and returns the script's value.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// The value of an expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}")).await
    }

    /// Waits until an expression is true.
    pub(crate) async fn wait_for(&self, condition: &str) {
        let wait = async {
            while self.value(condition).await != true {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(TIMEOUT, wait).await.is_err() {
            let page = self.value("document.body.innerText").await;
            panic!("never true: {condition}\n{}", page.as_str().unwrap_or_default());
        }
    }

    /// The path of the first element of a selector.
    async fn find(&self, selector: &str) -> String {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.post("element", &query).await;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str());
        format!("element/{}", id.unwrap_or_else(|| panic!("no {selector}")))
    }

    /// Clicks where the first element of a selector is, as a user would.
    pub(crate) async fn click(&self, selector: &str) {
        self.post(&format!("{}/click", self.find(selector).await), &json!({})).await;
    }

    /// Types text into the first element of a selector.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let path = format!("{}/value", self.find(selector).await);
        self.post(&path, &json!({ "text": text })).await;
    }

    /// Accepts the page's confirmation dialog.
    pub(crate) async fn accept(&self) {
        self.post("alert/accept", &json!({})).await;
    }

    /// The errors in the browser's console since the last call.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// A screenshot as a PNG in base64.
    pub(crate) async fn picture(&self) -> String {
        let url = format!("{}/screenshot", self.session);
        let answer: Value = self.http.get(&url).await.unwrap().json().await.unwrap();
        answer["value"].as_str().unwrap().to_owned()
    }
}

/// The port that the driver names on its standard output.
fn port(out: impl BufRead) -> u16 {
    for line in out.lines() {
        let line = line.unwrap();
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("the driver did not start");
}
