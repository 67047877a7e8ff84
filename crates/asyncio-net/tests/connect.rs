//! Client connections and name resolution.

mod common;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_net::{
    AddrInfoHints, ConnectErrors, Family, create_connection, create_server, getaddrinfo,
    getnameinfo, open_connection,
};
use common::{Echo, Recorder, dead_address, reports, run, settle, silent_address};

// T-031
#[test]
fn addresses_are_tried_in_order_until_one_connects() {
    run(async || {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let [(_one, first), (_other, last)] = [dead_address(), dead_address()];
        let addresses = vec![first, server.local_addr()?, last];
        let transport = create_connection(addresses, Recorder::default).await?;
        assert_eq!(transport.peer_addr()?, server.local_addr()?);
        Ok(())
    });
}

// T-031
#[test]
fn when_none_connects_all_errors_are_kept() {
    run(async || {
        let [(_one, first), (_other, last)] = [dead_address(), dead_address()];
        let addresses = vec![first, last];
        let error = open_connection(addresses.clone()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let errors = error.get_ref().unwrap().downcast_ref::<ConnectErrors>().unwrap();
        let tried: Vec<_> = errors.attempts().iter().map(|(address, _)| *address).collect();
        assert_eq!(tried, addresses);
        for address in addresses {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        Ok(())
    });
}

// T-034
#[test]
fn our_own_address_may_be_chosen() {
    run(async || {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let connecting = create_connection(server.local_addr()?, Recorder::default);
        let transport = connecting.local_addr("127.0.0.2:0").await?;
        assert_eq!(transport.local_addr().unwrap().ip(), Ipv4Addr::new(127, 0, 0, 2));

        let taken = TcpListener::bind("127.0.0.1:0")?;
        let connecting = open_connection(server.local_addr()?).local_addr(taken.local_addr()?);
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.local_addr()?.to_string()), "{error}");
        Ok(())
    });
}

// T-036
#[test]
fn happy_eyeballs_do_not_wait_for_an_address_that_does_not_answer() {
    run(async || {
        let (_listener, _clients, silent) = silent_address();
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let addresses = vec![silent, silent, server.local_addr()?];
        let delay = Duration::from_millis(1);
        let (_, writer) = open_connection(addresses).happy_eyeballs_delay(delay).await?;
        assert_eq!(writer.peer_addr()?, server.local_addr()?);
        Ok(())
    });
}

// T-036
#[test]
fn happy_eyeballs_go_on_at_once_after_a_failure() {
    run(async || {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let delay = Duration::from_secs(3600);
        let [(_one, first), (_other, second)] = [dead_address(), dead_address()];
        let addresses = vec![first, second, server.local_addr()?];
        let (_, writer) = open_connection(addresses).happy_eyeballs_delay(delay).await?;
        assert_eq!(writer.peer_addr()?, server.local_addr()?);
        assert!(open_connection(vec![first, second]).happy_eyeballs_delay(delay).await.is_err());
        Ok(())
    });
}

#[test]
fn a_family_may_be_asked_for() {
    run(async || {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let address = server.local_addr()?;
        let error = open_connection(address).family(Family::Inet6).await.unwrap_err();
        assert!(error.to_string().contains(&format!("{address}: it has no address")), "{error}");
        Ok(())
    });
}

#[test]
fn a_missing_or_impossible_port_is_an_error() {
    run(async || {
        let error = open_connection("localhost").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "no port to connect to: \"localhost\"");
        let error = open_connection("[::1]").await.unwrap_err();
        assert_eq!(error.to_string(), "no port to connect to: \"::1\"");
        for address in ["127.0.0.1:65536", "127.0.0.1:99999999999"] {
            let error = open_connection(address).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            let error = create_server(address, || Echo).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        Ok(())
    });
}

// T-034
#[test]
fn a_local_address_of_another_family_is_an_error() {
    run(async || {
        let (_kept, dead) = dead_address();
        let connecting = open_connection(dead).local_addr("[::1]:0");
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

// L-047
#[test]
fn addresses_do_not_reach_the_resolver() {
    run(async || {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let port = server.local_addr()?.port();
        break_the_resolver().await;
        assert!(open_connection(("localhost", port)).await.is_err());
        open_connection(("127.0.0.1", port)).await?;
        open_connection(format!("127.0.0.1:{port}")).await?;
        open_connection((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(())
    });
}

/// Shuts down the default executor, which name resolution needs.
async fn break_the_resolver() {
    let _ = running_loop().shutdown_default_executor(None).await;
}

// L-048
#[test]
fn a_zone_goes_through_the_resolver() {
    run(async || {
        if TcpListener::bind("[::1]:0").is_err() {
            eprintln!("skipped: no IPv6");
            return Ok(());
        }
        let answers = getaddrinfo(Some("fe80::1%1"), 80, AddrInfoHints::new()).await?;
        let SocketAddr::V6(address) = answers[0].address else { panic!("{answers:?}") };
        assert_eq!(address.scope_id(), 1);
        Ok(())
    });
}

// L-049
#[test]
fn a_port_may_be_a_number_a_text_or_a_service() {
    run(async || {
        let port = async |port: asyncio_net::Port| {
            let answers = getaddrinfo(Some("127.0.0.1"), port, AddrInfoHints::new()).await?;
            io::Result::Ok(answers[0].address.port())
        };
        assert_eq!(port(8080.into()).await?, 8080);
        assert_eq!(port("8080".into()).await?, 8080);
        assert_eq!(port("".into()).await?, 0);
        assert_eq!(port(None.into()).await?, 0);
        if std::fs::read_to_string("/etc/services").is_ok_and(|text| text.contains("http")) {
            assert_eq!(port("http".into()).await?, 80);
        } else {
            eprintln!("skipped: no services");
        }
        assert!(port("no such service".into()).await.is_err());
        Ok(())
    });
}

#[test]
fn names_are_resolved_both_ways() {
    run(async || {
        let hints = AddrInfoHints::new().family(Family::Inet);
        let answers = getaddrinfo(Some("localhost"), 80, hints).await?;
        assert!(answers[0].address.ip().is_loopback());
        let (host, service) = getnameinfo("127.0.0.1:80".parse().unwrap()).await?;
        assert!(!host.is_empty() && !service.is_empty());
        Ok(())
    });
}

#[test]
fn a_name_that_does_not_exist_is_named_in_the_error() {
    run(async || {
        let hints = AddrInfoHints::new().numeric_host(true);
        let error = getaddrinfo(Some("no such host"), 80, hints).await.unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
        let error = open_connection("no such host:80").await.unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
        Ok(())
    });
}

#[test]
fn nothing_is_reported_when_connecting_fails() {
    run(async || {
        let reports = reports();
        let (_kept, dead) = dead_address();
        assert!(open_connection(dead).await.is_err());
        settle().await;
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}
