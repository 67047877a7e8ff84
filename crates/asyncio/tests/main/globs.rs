//! A glob import of the facade leaves the names of the language alone.

#[allow(unused_imports)]
use asyncio::*;

#[test]
fn test_is_the_attribute_of_the_language() {
    assert_eq!(run(async { 1 }), 1);
}

#[asyncio::testing::test]
async fn an_async_test_has_a_loop() {
    assert!(running_loop().is_running());
}

#[test]
fn a_loop_runs_what_can_be_awaited() {
    let event_loop = EventLoop::new().unwrap();
    let server = event_loop.run_until_complete(start_server("127.0.0.1:0", async |_, _| {}));
    assert!(server.unwrap().unwrap().is_serving());
}
