//! The end of a server by a signal. Signals affect the whole process, so this file has only one
//! test.

mod common;

use std::rc::Rc;
use std::time::Duration;

use asyncio_http::{App, ClientSession, serve};
use asyncio_loop::{Signal, raise_signal};
use asyncio_sync::Event;
use asyncio_task::{create_task, yield_now};
use common::run;

#[test]
fn a_signal_ends_the_server_after_its_requests() {
    run(async || {
        let (begun, go) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let app = App::new().get("/", {
            let (begun, go) = (begun.clone(), go.clone());
            async move || {
                begun.set();
                go.wait().await;
                "done"
            }
        });
        let cleaned = Rc::new(Event::new());
        let server = serve("127.0.0.1:0", app)
            .shutdown_grace(Duration::from_secs(3600))
            .on_shutdown(async move || go.set())
            .on_cleanup({
                let cleaned = cleaned.clone();
                async move || cleaned.set()
            })
            .await?;
        let url = format!("http://{}/", server.local_addr()?);
        let serving = create_task(async move { server.until_signal().await });
        let asking = create_task(async move { ClientSession::new().get(url).await?.text().await });
        begun.wait().await;
        yield_now().await;
        raise_signal(Signal::TERM)?;
        serving.await??;
        assert!(cleaned.is_set());
        assert_eq!(asking.await??, "done");
        Ok(())
    });
}
