//! Certificates that tests make for themselves, and connections over loopback.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use asyncio_loop::{ErrorContext, LoopRef, running_loop};
use asyncio_net::{Server, StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::Runner;
use asyncio_tls::{Identity, TlsClient, TlsInfo, TlsServer, accept_tls, start_tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A root that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Each root has a name of its own, since clients look roots up by name.
        let name = format!("test root {:x?}", &key.public_key_raw()[1..9]);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The chain and the key, in PEM, of a certificate for these names.
    pub fn sign_pem(&self, names: &[&str]) -> (String, String) {
        self.sign_params(params(names))
    }

    fn sign_params(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub fn sign(&self, names: &[&str]) -> Identity {
        identity(&self.sign_pem(names))
    }

    /// A certificate that ended long ago.
    pub fn sign_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        identity(&self.sign_params(params))
    }

    /// A server for `localhost`.
    pub fn server(&self) -> TlsServer {
        TlsServer::builder().identity(self.sign(&["localhost"])).build().unwrap()
    }

    /// A client that trusts this root alone.
    pub fn client(&self) -> TlsClient {
        TlsClient::builder().roots_pem(self.pem().as_bytes()).unwrap().build().unwrap()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

pub fn identity((chain, key): &(String, String)) -> Identity {
    Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

/// A server whose handler is called once the handshake is over.
pub async fn serve<F, T>(tls: TlsServer, handler: F) -> Server
where
    F: AsyncFn(StreamReader, StreamWriter, TlsInfo) -> io::Result<T> + 'static,
    T: 'static,
{
    let handler = Rc::new(handler);
    start_server("127.0.0.1:0", async move |mut reader, mut writer| {
        let (tls, handler) = (tls.clone(), handler.clone());
        let info = accept_tls(&mut reader, &mut writer, &tls).await?;
        handler(reader, writer, info).await.map(drop)
    })
    .await
    .unwrap()
}

/// Sends every line back.
pub async fn echo(mut reader: StreamReader, writer: StreamWriter, _: TlsInfo) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

pub async fn connect(
    server: &Server,
    tls: &TlsClient,
    host: &str,
) -> io::Result<(StreamReader, StreamWriter, TlsInfo)> {
    let (mut reader, mut writer) = open_connection(server.local_addr()?).await?;
    let info = start_tls(&mut reader, &mut writer, tls, host).await?;
    Ok((reader, writer, info))
}

/// Sends a line, and takes it back.
pub async fn greet(reader: &mut StreamReader, writer: &StreamWriter) -> io::Result<()> {
    writer.write("hello\n");
    assert_eq!(reader.read_line().await?, "hello\n");
    Ok(())
}

/// Sends every line back.
pub async fn echo_lines(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

/// Runs a test in virtual time: an hour passes when nothing else can run.
#[track_caller]
pub fn run_in_virtual_time(test: impl AsyncFnOnce() -> io::Result<()>) {
    Runner::builder().virtual_time(true).run(test()).unwrap();
}

/// The reports that the running loop's exception handler gets from now on.
pub fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let handler = {
        let reports = reports.clone();
        move |_: &LoopRef, context: &ErrorContext| reports.borrow_mut().push(context.to_string())
    };
    running_loop().set_exception_handler(Some(Rc::new(handler)));
    reports
}

/// Runs the loop until `condition` holds. In each round a byte is sent and received, so that the
/// virtual clock does not jump.
pub async fn until(condition: impl Fn() -> bool) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut reader, _writer) = open_connection(ours).await.unwrap();
    while !condition() {
        io::Write::write_all(&mut &theirs, b"x").unwrap();
        reader.read_exactly(1).await.unwrap();
        asyncio_task::yield_now().await;
    }
}
