//! Talking to OpenSSL's programs. Where `openssl` is missing, the tests say so and do nothing.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use asyncio_net::open_connection;
use asyncio_task::{run, to_thread};
use asyncio_tls::start_tls;
use common::{Authority, serve};

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

/// A program that is ended with the test.
struct Program(Child);

impl Program {
    /// Starts `openssl`; `None` where it is missing.
    fn openssl(args: &[&str]) -> Option<Self> {
        let mut command = Command::new("openssl");
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                eprintln!("openssl is missing: nothing is tested");
                None
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_client_trusts_us() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    run(async {
        let server = serve(authority.server(), async |mut reader, writer, _| {
            writer.write("you said ");
            writer.write(&reader.read_line().await?);
            writer.close().await
        })
        .await;
        let address = server.local_addr().unwrap().to_string();
        for (version, name) in VERSIONS {
            let args = ["s_client", "-connect", &address, "-servername", "localhost"];
            let checks = ["-verify_return_error", "-CAfile", roots.to_str().unwrap()];
            let args = [&args[..], &checks, &["-ign_eof", version]].concat();
            let Some(mut client) = Program::openssl(&args) else { return };
            client.0.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
            let text = to_thread(move || {
                let mut text = String::new();
                client.0.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
                text
            });
            let text = text.await.unwrap();
            assert!(text.contains("you said hello"), "{text}");
            assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
            assert!(text.contains(name), "{text}");
        }
    });
}

#[test]
fn our_client_trusts_its_server() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let pem = authority.sign_pem(&["localhost"]);
    std::fs::write(&chain, pem.0).unwrap();
    std::fs::write(&key, pem.1).unwrap();
    for (version, name) in VERSIONS {
        // `-rev` turns each line round.
        let args = ["s_server", "-accept", "127.0.0.1:0", "-rev", version];
        let files = ["-cert", chain.to_str().unwrap(), "-key", key.to_str().unwrap()];
        let Some(mut server) = Program::openssl(&[&args[..], &files].concat()) else { return };
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned))
            .expect("it says where it listens");
        run(async {
            let (mut reader, mut writer) = open_connection(address).await?;
            let client = authority.client();
            let info = start_tls(&mut reader, &mut writer, &client, "localhost").await?;
            assert_eq!(info.version(), name);
            writer.write("abc\n");
            assert_eq!(reader.read_line().await?, "cba\n");
            writer.close().await
        })
        .unwrap();
    }
}
