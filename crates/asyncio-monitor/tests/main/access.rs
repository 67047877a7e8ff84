//! Access control.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_monitor::Options;
use asyncio_task::{create_task, run, sleep, to_thread, yield_now};

use crate::common::{request, say, start};

const LONG: Duration = Duration::from_secs(3600);
const CHANGE: &str = "X-Asyncio-Monitor: 1";

#[test]
fn a_unix_socket_is_the_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    run(async {
        let options = Options::new().path(&path);
        let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
        assert_eq!(monitor.path(), Some(path.as_path()));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = asyncio_monitor::start(&running_loop(), Options::new().path(&path));
        assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);

        // A client that sends nothing gets a greeting.
        let there = path.clone();
        let text = to_thread(move || {
            let mut socket = UnixStream::connect(there).unwrap();
            let mut text = [0; 16];
            socket.read_exact(&mut text).unwrap();
            socket.write_all(b"quit\n").unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        });
        assert_eq!(text.await.unwrap(), "asyncio monitor ");
        drop(monitor);
        assert!(!path.exists(), "the file is removed");
    });
}

#[test]
fn other_machines_need_a_token() {
    run(async {
        let options = Options::new().address("0.0.0.0:0");
        let error = asyncio_monitor::start(&running_loop(), options).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("needs a token"), "{error}");
    });
}

#[test]
fn a_console_gives_the_token_first() {
    run(async {
        let (_monitor, address) = start(Options::new().token("secret"));
        let text = say(address, "token secret\nps\n").await;
        assert!(text.starts_with("welcome\n1 task\n"), "{text}");
        for wrong in ["ps\n", "token\nps\n", "token secre\nps\n", "token wrong\ntoken secret\nps\n"]
        {
            assert_eq!(say(address, wrong).await, "", "{wrong}");
        }
    });
}

#[test]
fn requests_need_the_token() {
    run(async {
        let (_monitor, address) = start(Options::new().token("secret"));
        let get = "GET /api/tasks";
        assert_eq!(request(address, get, &[], "").await.0, 401);
        assert_eq!(request(address, get, &["Authorization: Bearer wrong"], "").await.0, 401);
        assert_eq!(request(address, get, &["Authorization: secret"], "").await.0, 401);
        let right = "Authorization: Bearer secret";
        assert_eq!(request(address, get, &[right], "").await.0, 200);
        assert_eq!(
            request(address, "GET /", &[], "").await.0,
            200,
            "the page itself needs no token"
        );
        let post = "POST /api/command";
        assert_eq!(request(address, post, &[CHANGE], "ps").await.0, 401);
        assert_eq!(request(address, post, &[CHANGE, right], "ps").await.0, 200);
    });
}

#[test]
fn other_hosts_and_origins_are_refused() {
    run(async {
        let (_monitor, address) = start(Options::new().allow_host("box.example"));
        let get = "GET /api/tasks";
        assert_eq!(request(address, get, &["Host: evil.example"], "").await.0, 403, "rebinding");
        assert_eq!(request(address, get, &["Host: box.example:80"], "").await.0, 200);
        assert_eq!(request(address, get, &["Host: localhost:1"], "").await.0, 200);
        assert_eq!(request(address, get, &["Origin: http://evil.example"], "").await.0, 403);
        assert_eq!(request(address, get, &["Origin: null"], "").await.0, 403);
        let own = format!("Origin: http://{address}");
        assert_eq!(request(address, get, &[&own], "").await.0, 200);
        let twice = [&*own, "Origin: http://evil.example"];
        assert_eq!(request(address, get, &twice, "").await.0, 400);
        let both = format!("Host: {address}\r\nHost: evil.example");
        assert_eq!(request(address, get, &[&both], "").await.0, 400);
        let nameless = say(address, "GET /api/tasks HTTP/1.1\r\n\r\n").await;
        assert!(nameless.starts_with("HTTP/1.1 400 "), "{nameless}");
    });
}

#[test]
fn a_change_is_a_post_that_no_form_can_send() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let task = create_task(sleep(LONG));
        yield_now().await;
        let cancel = format!("cancel {}", task.task_ref().id());
        let get = format!("GET /api/command?{}", cancel.replace(' ', "+"));
        assert_eq!(request(address, &get, &[CHANGE], "").await.0, 404);
        let post = "POST /api/command";
        assert_eq!(request(address, post, &[], &cancel).await.0, 403, "a form");
        assert_eq!(request(address, "PUT /api/command", &[CHANGE], &cancel).await.0, 405);
        assert_eq!(request(address, "DELETE /api/command", &[CHANGE], &cancel).await.0, 405);
        let evil = [CHANGE, "Origin: http://evil.example"];
        assert_eq!(request(address, post, &evil, &cancel).await.0, 403);
        assert!(!task.is_done());

        let (status, text) = request(address, post, &[CHANGE], &cancel).await;
        assert_eq!((status, text.starts_with("Cancelled task ")), (200, true), "{text}");
        assert!(task.is_cancelled());
        let (status, text) = request(address, post, &[CHANGE], &cancel).await;
        assert_eq!(status, 422, "{text}");
    });
}

#[test]
fn a_form_is_no_console() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let task = create_task(sleep(LONG));
        yield_now().await;
        // The body of a form whose text has lines of console commands.
        let lines = format!("\r\ncancel {}\r\n", task.task_ref().id());
        let text = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{lines}",
            lines.len()
        );
        assert!(say(address, text).await.starts_with("HTTP/1.1 403 "));
        assert!(!task.is_done());
    });
}
