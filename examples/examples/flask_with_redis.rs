//! Synchronous code that drives a loop: the views of a web site are plain functions in the style of
//! Flask, and query Redis through an asynchronous client.
//!
//! ```text
//! cargo run -p asyncio-examples --features redis --example flask_with_redis
//! cargo run -p asyncio-examples --features redis --example flask_with_redis redis://127.0.0.1/
//! ```
//!
//! Without a URL it starts its own `redis-server`, which ends with it; if none is installed, it
//! prints a message. It visits its own site, and ends.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio, id};
use std::thread;
use std::time::Duration;

use asyncio::{Runner, gather, tokio_runtime};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The loop and the objects on it. The loop runs only while a view waits for it.
struct Site {
    runner: Runner,
    redis: MultiplexedConnection,
}

impl Site {
    fn new(redis: &str) -> Outcome<Self> {
        let client = redis::Client::open(redis)?;
        // The client needs tokio's runtime, too.
        let mut runner = tokio_runtime::runner().build();
        let redis =
            runner.run(async move { client.get_multiplexed_async_connection().await })??;
        Ok(Self { runner, redis })
    }

    /// `@app.route("/hello/<name>")`
    fn hello(&mut self, name: &str) -> Outcome<String> {
        let (mut redis, key) = (self.redis.clone(), format!("visits:{name}"));
        let visits: u64 = self.runner.run(async move { redis.incr(key, 1).await })??;
        Ok(format!("hello {name}, visit {visits}"))
    }

    /// `@app.route("/visits/<names>")`: asks for all of them at once.
    fn visits(&mut self, names: &str) -> Outcome<String> {
        let asking: Vec<_> = names
            .split(',')
            .map(|name| {
                let (mut redis, key) = (self.redis.clone(), format!("visits:{name}"));
                async move { redis.get::<_, Option<u64>>(key).await }
            })
            .collect();
        let visits = self.runner.run(async move { gather(asking).await })?;
        let visits = visits.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{visits:?}"))
    }

    /// Answers one request, in the manner of HTTP/1.0.
    fn answer(&mut self, mut client: TcpStream) -> Outcome {
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line)?;
        let path: Vec<&str> =
            line.split(' ').nth(1).unwrap_or_default().split('/').skip(1).collect();
        let (status, text) = match path[..] {
            ["hello", name] => ("200 OK", self.hello(name)?),
            ["visits", names] => ("200 OK", self.visits(names)?),
            _ => ("404 Not Found", "nothing is here".to_owned()),
        };
        Ok(write!(client, "HTTP/1.0 {status}\r\n\r\n{text}")?)
    }
}

/// Requests a page, as a browser does.
fn get(site: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(site)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

/// The program's own Redis server, on a Unix socket.
struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    /// `None` if there is no `redis-server`.
    fn start() -> Outcome<Option<Self>> {
        let folder = env::temp_dir().join(format!("flask_with_redis-{}", id()));
        fs::create_dir(&folder)?;
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(folder.join("socket"));
        match command.current_dir(&folder).stdout(Stdio::null()).spawn() {
            Ok(process) => Self { process, folder }.wait().map(Some),
            Err(error) => {
                fs::remove_dir(&folder)?;
                if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error.into()) }
            }
        }
    }

    /// Wait until it listens.
    fn wait(mut self) -> Outcome<Self> {
        while UnixStream::connect(self.folder.join("socket")).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("redis-server has ended: {status}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(self)
    }

    fn url(&self) -> String {
        format!("unix://{}", self.folder.join("socket").display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn main() -> Outcome {
    let own = if env::args().len() == 1 { Redis::start()? } else { None };
    let Some(url) = env::args().nth(1).or(own.as_ref().map(Redis::url)) else {
        println!("no redis-server is installed; Debian has it in the package redis-server");
        return Ok(());
    };
    let mut site = Site::new(&url)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let paths = ["/hello/Ada", "/hello/Ada", "/hello/Bob", "/visits/Ada,Bob,Eve", "/other"];
    let browser = thread::spawn(move || paths.map(|path| get(address, path)));
    for client in listener.incoming().take(paths.len()) {
        site.answer(client?)?;
    }
    let answers = browser.join().map_err(|_| "the browser has panicked")?;
    for (path, answer) in paths.iter().zip(answers) {
        println!("{path}: {}", answer?);
    }
    Ok(())
}
