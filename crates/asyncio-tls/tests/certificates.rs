//! Which servers a client trusts, which clients a server accepts, and which certificate it
//! presents.

mod common;

use std::io::ErrorKind;

use asyncio_task::run;
use asyncio_tls::{Identity, TlsClient, TlsServer};
use common::{Authority, connect, echo, greet, identity, serve};

/// The client's error for a server with the identity `shown`, when it expects `host`.
fn refusal(authority: &Authority, shown: Identity, host: &str) -> String {
    run(async {
        let tls = TlsServer::builder().identity(shown).build().unwrap();
        let server = serve(tls, echo).await;
        let error = connect(&server, &authority.client(), host).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.get_ref().unwrap().is::<asyncio_tls::rustls::Error>());
        error.to_string()
    })
}

#[test]
fn a_certificate_has_to_be_trusted_valid_and_for_the_name() {
    let authority = Authority::new();
    let unknown = refusal(&authority, Authority::new().sign(&["localhost"]), "localhost");
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let expired = refusal(&authority, authority.sign_expired(&["localhost"]), "localhost");
    assert!(expired.contains("expired"), "{expired}");
    let wrong = refusal(&authority, authority.sign(&["other.example"]), "localhost");
    assert!(wrong.contains("not valid for name"), "{wrong}");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let own = identity(&(own.cert.pem(), own.signing_key.serialize_pem()));
    let own = refusal(&authority, own, "localhost");
    assert!(own.contains("certificate"), "{own}");
}

#[test]
fn addresses_are_names_too_and_another_name_may_be_asked_for() {
    let authority = Authority::new();
    run(async {
        let shown = authority.sign(&["127.0.0.1", "inner.example"]);
        let server = serve(TlsServer::builder().identity(shown).build()?, echo).await;
        let (mut reader, writer, info) = connect(&server, &authority.client(), "127.0.0.1").await?;
        assert_eq!(info.peer_certificates().len(), 1);
        greet(&mut reader, &writer).await?;
        let other = TlsClient::builder()
            .roots_pem(authority.pem().as_bytes())?
            .server_name("inner.example")?
            .build()?;
        let (mut reader, writer, _) = connect(&server, &other, "localhost").await?;
        greet(&mut reader, &writer).await
    })
    .unwrap();
}

#[test]
fn what_is_dangerous_accepts_anything() {
    let authority = Authority::new();
    run(async {
        let shown = authority.sign_expired(&["other.example"]);
        let server = serve(TlsServer::builder().identity(shown).build()?, echo).await;
        let careless = TlsClient::builder().danger_accept_any_certificate().build()?;
        let (mut reader, writer, _) = connect(&server, &careless, "localhost").await?;
        greet(&mut reader, &writer).await
    })
    .unwrap();
}

#[test]
fn a_server_shows_the_certificate_of_the_name_that_is_asked_for() {
    let authority = Authority::new();
    run(async {
        let tls = TlsServer::builder()
            .identity(authority.sign(&["localhost"]))
            .identity_for("a.example.org", authority.sign(&["a.example.org"]))
            .identity_for("*.example.org", authority.sign(&["*.example.org"]))
            .build()?;
        let server = serve(tls, async |_, writer, info| {
            writer.write(info.server_name().unwrap_or("none"));
            writer.close().await
        })
        .await;
        for name in ["localhost", "a.example.org", "b.example.org"] {
            let (mut reader, _writer, _) = connect(&server, &authority.client(), name).await?;
            assert_eq!(reader.read_to_end().await?, name.as_bytes());
        }
        std::io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_server_asks_clients_for_certificates() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    run(async {
        let required = TlsServer::builder()
            .identity(authority.sign(&["localhost"]))
            .client_roots_pem(authority.pem().as_bytes())?;
        let server = serve(required.build()?, echo).await;
        let client = |identity: Option<Identity>| {
            let builder = TlsClient::builder().roots_pem(authority.pem().as_bytes()).unwrap();
            let builder = match identity {
                Some(identity) => builder.identity(identity),
                None => builder,
            };
            builder.build().unwrap()
        };
        let known = client(Some(authority.sign(&["a client"])));
        let (mut reader, writer, _) = connect(&server, &known, "localhost").await?;
        greet(&mut reader, &writer).await?;
        for unknown in [client(None), client(Some(strangers.sign(&["a client"])))] {
            // With TLS 1.3 the client gets the refusal when it reads.
            let refused = async {
                let (mut reader, writer, _) = connect(&server, &unknown, "localhost").await?;
                greet(&mut reader, &writer).await
            };
            assert!(refused.await.is_err());
        }
        let optional = TlsServer::builder()
            .identity(authority.sign(&["localhost"]))
            .client_roots_pem(authority.pem().as_bytes())?
            .client_certificates_optional();
        let server = serve(optional.build()?, async |_, writer, info| {
            writer.write(if info.peer_certificates().is_empty() { "nobody" } else { "known" });
            writer.close().await
        })
        .await;
        for (client, seen) in [(known, "known"), (client(None), "nobody")] {
            let (mut reader, _writer, _) = connect(&server, &client, "localhost").await?;
            assert_eq!(reader.read_to_end().await?, seen.as_bytes());
        }
        std::io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn certificates_are_read_again_while_the_server_runs() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let write = |pem: (String, String)| {
        std::fs::write(&chain, pem.0).unwrap();
        std::fs::write(&key, pem.1).unwrap();
    };
    write(old.sign_pem(&["localhost"]));
    run(async {
        let tls = TlsServer::from_pem_files(&chain, &key)?;
        let server = serve(tls.clone(), echo).await;
        let (mut reader, writer, _) = connect(&server, &old.client(), "localhost").await?;
        greet(&mut reader, &writer).await?;

        std::fs::write(&chain, "half a certificate")?;
        let error = tls.reload().unwrap_err();
        assert!(error.to_string().contains("chain.pem"), "{error}");
        assert!(connect(&server, &old.client(), "localhost").await.is_ok());

        write(new.sign_pem(&["localhost"]));
        tls.reload()?;
        assert!(connect(&server, &old.client(), "localhost").await.is_err());
        assert!(connect(&server, &new.client(), "localhost").await.is_ok());
        greet(&mut reader, &writer).await
    })
    .unwrap();
}

#[test]
fn a_key_has_to_fit_its_certificate() {
    let authority = Authority::new();
    let (chain, _) = authority.sign_pem(&["localhost"]);
    let (_, key) = authority.sign_pem(&["localhost"]);
    let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let error = Identity::from_pem(b"nothing", key.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "no certificate");
    let error = Identity::from_pem_files("/does/not/exist", "/either").unwrap_err();
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
