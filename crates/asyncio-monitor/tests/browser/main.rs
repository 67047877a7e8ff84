//! The page in a real browser. It runs where `ASYNCIO_BROWSER` is set, as `ci/check.sh monitor`
//! does: it needs Chromium and its driver.
//!
//! With `ASYNCIO_PICTURES=FOLDER` it also makes the pictures of docs/DEBUGGING.md.

mod webdriver;

use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use asyncio_loop::{TaskOptions, running_loop};
use asyncio_monitor::{Monitor, Options};
use asyncio_sync::Lock;
use asyncio_task::{LoopThread, create_task_with, run, sleep, sync_to_async, yield_now};
use base64::Engine;

use crate::webdriver::Browser;

const LONG: Duration = Duration::from_secs(3600);

/// A name that contains markup, which the page must escape.
const EVIL: &str = "<img src=x onerror='window.evil=1'>";

/// The monitored program. It has a thread and a loop of its own, so that the test can go on while
/// that loop is blocked.
struct Program {
    thread: LoopThread,
    url: String,
}

impl Program {
    fn start(token: Option<&'static str>) -> Self {
        let thread = LoopThread::builder().name("service").start().unwrap();
        let url = thread.run(async move || {
            let event_loop = running_loop();
            let mut options =
                Options::new().address("127.0.0.1:0").answer_timeout(Duration::from_millis(300));
            if let Some(token) = token {
                options = options.token(token);
            }
            let monitor = asyncio_monitor::start(&event_loop, options).unwrap();
            let url = format!("http://{}/", monitor.local_addr().unwrap());
            // The loop keeps the monitor until the loop is closed.
            event_loop.local::<Kept>().0.replace(Some(monitor));
            for name in ["accept", EVIL, "worker-1", "worker-2"] {
                spawn(name, sleep(LONG));
            }
            let inner = spawn("inner", sleep(LONG));
            spawn("outer", async { drop(inner.await) });
            deadlock();
            url
        });
        Self { thread, url: url.unwrap() }
    }

    /// Blocks the loop until the result is dropped.
    fn block(&self) -> Sender<()> {
        let (go_on, may_go_on) = channel::<()>();
        drop(self.thread.submit(async move || may_go_on.recv().is_err()));
        go_on
    }

    async fn has_task(&self, name: &'static str) -> bool {
        let ask = async move || asyncio_task::all_tasks().iter().any(|task| task.name() == name);
        self.thread.submit(ask).await.unwrap()
    }
}

#[derive(Default)]
struct Kept(std::cell::RefCell<Option<Monitor>>);

fn spawn<F>(name: &str, future: F) -> asyncio_task::Task<F::Output>
where
    F: Future + 'static,
{
    create_task_with(future, TaskOptions::new().name(name))
}

/// Two tasks that wait for each other's locks.
fn deadlock() {
    let (a, b) = (Rc::new(Lock::new(())), Rc::new(Lock::new(())));
    for (name, first, second) in [("left", &a, &b), ("right", &b, &a)] {
        let (first, second) = (Rc::clone(first), Rc::clone(second));
        drop(spawn(name, async move {
            let _first = first.acquire().await;
            yield_now().await;
            let _second = second.acquire().await;
        }));
    }
}

fn is_wanted() -> bool {
    let is_wanted = std::env::var_os("ASYNCIO_BROWSER").is_some();
    if !is_wanted {
        eprintln!("not run: it needs a browser, and ASYNCIO_BROWSER");
    }
    is_wanted
}

/// The names in the table, in their order.
const NAMES: &str = "[...document.querySelectorAll('#rows .link')].map(e => e.textContent).join()";

#[test]
fn the_page_shows_and_cancels_tasks() {
    if !is_wanted() {
        return;
    }
    run(async {
        let program = Program::start(None);
        let browser = Browser::start("1400,900").await;
        browser.open(&program.url).await;
        browser.wait_for("document.querySelectorAll('#rows tr').length >= 8").await;
        assert_eq!(browser.value("document.getElementById('state').textContent").await, "live");
        let text = browser.value("document.getElementById('rows').textContent").await;
        let text = text.as_str().unwrap();
        assert!(text.contains("waiting") && text.contains("a lock created at"), "{text}");
        assert!(text.contains("browser/main.rs:"), "{text}");
        assert!(text.contains(EVIL), "names are text: {text}");
        assert!(browser.value("window.evil").await.is_null(), "and no markup");

        filters_and_sorts(&browser).await;
        shows_who_awaits_whom(&browser).await;
        runs_commands(&browser).await;
        cancels(&browser, &program).await;
        tells_of_a_blocked_loop(&browser, &program).await;
        changes_its_colours(&browser).await;
        records(&browser).await;
        scrolls_through_many_tasks(&browser, &program).await;
        assert_eq!(browser.complaints().await, [""; 0], "no file was loaded from another origin");
        drop(browser);
        sync_to_async(move || program.thread.stop()).await.unwrap();
    });
}

async fn filters_and_sorts(browser: &Browser) {
    browser.type_into("#filter", "worker").await;
    browser.wait_for(&format!("{NAMES} === 'worker-1,worker-2'")).await;
    browser.click("#sort-name").await;
    browser.wait_for("!!document.querySelector('th[aria-sort=ascending] #sort-name')").await;
    browser.click("#sort-name").await;
    browser.wait_for(&format!("{NAMES} === 'worker-2,worker-1'")).await;
    let sorted = "!!document.querySelector('th[aria-sort=descending] #sort-name')";
    assert_eq!(browser.value(sorted).await, true);
    let clear = "const f = document.getElementById('filter'); f.value = '';\
                 f.dispatchEvent(new Event('input'))";
    browser.run(clear).await;
    browser.wait_for("document.querySelectorAll('#rows tr').length >= 8").await;
}

async fn shows_who_awaits_whom(browser: &Browser) {
    browser.click("#tab-tree").await;
    // The tree shows `inner` below `outer`.
    browser
        .wait_for(
            "[...document.querySelectorAll('#tree details > ul .link')]\
             .some(e => e.textContent === 'inner' && \
             e.closest('details').querySelector('summary .link').textContent === 'outer')",
        )
        .await;
    let cycle = browser.value("document.getElementById('cycles').textContent").await;
    let cycle = cycle.as_str().unwrap();
    assert!(cycle.contains("left (") && cycle.contains("→ right ("), "{cycle}");

    // The details of a task.
    browser.click("#tree summary .link").await;
    browser.wait_for("document.getElementById('detail').open").await;
    let detail = browser.value("document.getElementById('detail-text').textContent").await;
    assert!(detail.as_str().unwrap().contains("Created by"), "{detail}");
    let full = "document.getElementById('detail-text').textContent.includes('Full stack')";
    browser.wait_for(full).await;
    browser.click("#detail button").await;
}

async fn runs_commands(browser: &Browser) {
    browser.click("#tab-console").await;
    browser.type_into("#line", "ps -f worker\u{e007}").await;
    let output = "document.getElementById('output').textContent";
    browser.wait_for(&format!("{output}.includes('2 shown')")).await;
    browser.click("#tab-tasks").await;
}

async fn cancels(browser: &Browser, program: &Program) {
    assert!(program.has_task("worker-1").await);
    browser.wait_for(&format!("{NAMES}.includes('worker-1')")).await;
    browser.run("window.asked = document.querySelectorAll('#rows tr').length").await;
    // Pauses the updates, so that the row does not move under the mouse.
    browser.click("#pause").await;
    let row = "[...document.querySelectorAll('#rows tr')]\
               .find(e => e.textContent.includes('worker-1'))";
    let id = browser.value(&format!("{row}.dataset.id")).await;
    browser.click(&format!(".cancel[data-id='{}']", id.as_str().unwrap())).await;
    browser.accept().await;
    browser.click("#pause").await;
    browser.wait_for(&format!("!{NAMES}.includes('worker-1')")).await;
    assert!(!program.has_task("worker-1").await);
    assert!(program.has_task("worker-2").await);

    browser.click("#tab-ended").await;
    let ended = "document.getElementById('ended').textContent";
    browser.wait_for(&format!("{ended}.includes('worker-1')")).await;
    let text = browser.value(ended).await;
    assert!(text.as_str().unwrap().contains(": by the monitor"), "{text}");
    browser.click("#tab-tasks").await;
}

async fn tells_of_a_blocked_loop(browser: &Browser, program: &Program) {
    browser.wait_for("!!document.querySelector('#lag .curve')").await;
    let go_on = program.block();
    browser.wait_for("!document.getElementById('alarm').hidden").await;
    let alarm = browser.value("document.getElementById('alarm').textContent").await;
    let alarm = alarm.as_str().unwrap();
    assert!(alarm.contains("has not answered for 300 ms: it has been in task"), "{alarm}");
    assert!(alarm.contains("created at crates/asyncio-monitor/tests/browser/main.rs:"), "{alarm}");
    assert_eq!(browser.value("document.getElementById('state').textContent").await, "blocked");
    browser.wait_for("!!document.querySelector('#lag .gap')").await;
    let rows = browser.value("document.querySelectorAll('#rows tr').length").await;
    assert!(rows.as_u64().unwrap() >= 7, "the last known tasks are still shown");
    drop(go_on);
    browser.wait_for("document.getElementById('alarm').hidden").await;
    browser.wait_for("document.getElementById('state').textContent === 'live'").await;
}

async fn changes_its_colours(browser: &Browser) {
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.run("setTheme('light')").await;
    let light = browser.value(ground).await;
    browser.click("#theme").await;
    assert_ne!(browser.value(ground).await, light, "dark");
    browser.run("setTheme('auto')").await;
}

async fn records(browser: &Browser) {
    let button = "document.getElementById('record').textContent";
    browser.click("#tab-timeline").await;
    let about = "document.getElementById('about-recording').textContent";
    browser.wait_for(&format!("{about}.startsWith('Nothing is recorded')")).await;
    assert_eq!(browser.value("document.getElementById('save').hidden").await, true);
    browser.click("#record").await;
    browser.wait_for(&format!("{button} === '■ Stop'")).await;
    // The page draws the recording while it runs, and keeps the drawing afterwards.
    browser.wait_for("document.getElementById('timeline').width > 100").await;
    browser.click("#record").await;
    browser.wait_for(&format!("{button} === '● Record'")).await;
    browser.wait_for(&format!("{about}.includes('events in')")).await;
    assert_eq!(browser.value("document.getElementById('save').hidden").await, false);
    let trace = "JSON.parse([...state.recordings.values()][0]).traceEvents.length > 2";
    assert_eq!(browser.value(trace).await, true);
    assert_eq!(browser.value("picture.lanes[0].name").await, "the loop");
    browser.click("#tab-tasks").await;
}

/// Scrolls back through a table that is sorted by name, in descending order.
async fn scrolls_through_many_tasks(browser: &Browser, program: &Program) {
    let many =
        async || (0..3000).for_each(|number| drop(spawn(&format!("many-{number}"), sleep(LONG))));
    program.thread.submit(many).await.unwrap();
    browser.wait_for("state.there.taken > 3000").await;
    let rows = "document.querySelectorAll('#rows tr').length";
    assert!(
        browser.value(rows).await.as_u64().unwrap() <= 120,
        "only rows near the visible ones exist"
    );
    browser.run("const w = document.getElementById('window'); w.scrollTop = w.scrollHeight").await;
    browser.wait_for(&format!("{NAMES}.includes('accept')")).await;
}

#[test]
fn the_page_asks_for_the_token() {
    if !is_wanted() {
        return;
    }
    run(async {
        let program = Program::start(Some("open sesame"));
        let browser = Browser::start("900,700").await;
        browser.open(&program.url).await;
        browser.wait_for("document.getElementById('login').open").await;
        assert_eq!(browser.value(NAMES).await, "");
        browser.type_into("#token", "open sesam\u{e007}").await;
        browser.wait_for("document.getElementById('login-error').textContent !== ''").await;
        browser.type_into("#token", "open sesame\u{e007}").await;
        browser.wait_for(&format!("{NAMES}.includes('worker-1')")).await;
        drop(browser);
        sync_to_async(move || program.thread.stop()).await.unwrap();
    });
}

/// A page of another origin, which the same browser shows.
#[test]
fn another_origin_reads_and_changes_nothing() {
    if !is_wanted() {
        return;
    }
    run(async {
        let program = Program::start(None);
        let other = Program::start(None);
        let browser = Browser::start("900,700").await;
        browser.open(&other.url).await;
        browser.wait_for("document.querySelectorAll('#rows tr').length >= 8").await;
        // A blank page of no origin: the monitor's page forbids these requests by its own policy,
        // which would hide whether the server refuses them.
        browser.open("data:text/html,<p>elsewhere").await;
        let url = &program.url;
        browser
            .run(&format!(
                "window.results = [];\
                 const note = (p) => p.then(r => r.text()).then(t => results.push('read ' + t))\
                 .catch(() => results.push('refused'));\
                 note(fetch('{url}api/tasks'));\
                 note(fetch('{url}api/command', {{method: 'POST', body: 'cancel 1'}}));\
                 note(fetch('{url}api/command', {{method: 'POST', body: 'cancel 1', \
                 headers: {{'X-Asyncio-Monitor': '1'}}}}));"
            ))
            .await;
        browser.wait_for("window.results.length === 3").await;
        assert_eq!(browser.value("results.join()").await, "refused,refused,refused");
        drop(browser);
        sync_to_async(move || (program.thread.stop(), other.thread.stop())).await.unwrap();
    });
}

/// The pictures of docs/DEBUGGING.md, of the example `monitored` that serves elsewhere.
#[test]
fn pictures() {
    let (Ok(folder), Ok(url)) =
        (std::env::var("ASYNCIO_PICTURES"), std::env::var("ASYNCIO_PICTURES_OF"))
    else {
        return;
    };
    run(async {
        let folder = Path::new(&folder);
        let browser = Browser::start("1180,760").await;
        browser.open(&url).await;
        browser.run("setTheme('light')").await;
        browser.wait_for("document.querySelectorAll('#rows tr').length > 3").await;
        browser.wait_for("state.lags.length > 25 && state.lags.slice(-3).every(l => l > 0)").await;
        save(&browser, folder, "monitor.png").await;
        browser.run("setTheme('dark')").await;
        browser.click("#tab-tree").await;
        browser.wait_for("document.querySelectorAll('.cycle').length > 0").await;
        browser.run("document.activeElement.blur()").await;
        save(&browser, folder, "cycle.png").await;
        browser.run("setTheme('light')").await;
        browser.click("#tab-tasks").await;
        browser.wait_for("state.lags.slice(-2).every(l => l > 0)").await;
        browser.wait_for("!document.getElementById('alarm').hidden").await;
        save(&browser, folder, "blocked.png").await;
        drop(browser);
    });
}

async fn save(browser: &Browser, folder: &Path, name: &str) {
    let picture = browser.picture().await;
    let picture = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
    std::fs::write(folder.join(name), picture).unwrap();
}
