//! The examples of docs/TESTING.md that are tests themselves: rustdoc compiles such examples, but
//! does not run them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The source of the test functions in a page's examples.
fn examples(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```rust\n").skip(1);
    blocks.map(|block| &block[block.find("#[").unwrap()..block.find("```").unwrap()])
}

#[test]
fn this_file_has_every_example() {
    let page = include_str!("../../../../docs/TESTING.md");
    assert_eq!(examples(page).count(), 7);
    let files =
        [include_str!("documented.rs"), include_str!("schedules.rs"), include_str!("hosts.rs")];
    for example in examples(page) {
        assert!(files.iter().any(|file| file.contains(example)), "differs:\n{example}");
    }
}

#[asyncio::testing::test]
async fn the_server_answers() -> std::io::Result<()> {
    let server = asyncio::start_server("127.0.0.1:0", async |mut reader, writer| {
        writer.write(&reader.read_line().await?);
        writer.close().await
    })
    .await?;
    let (mut reader, writer) = asyncio::open_connection(server.local_addr()?).await?;
    writer.write(b"hello\n");
    assert_eq!(reader.read_line().await?, "hello\n");
    Ok(())
}

#[asyncio::testing::test(virtual_time = true)]
async fn a_token_expires_after_an_hour() {
    let start = asyncio::running_loop().time();
    asyncio::sleep(Duration::from_secs(3600)).await;
    assert_eq!(asyncio::running_loop().time() - start, Duration::from_secs(3600));
}

#[asyncio::testing::test(virtual_time = true)]
async fn the_second_one_waits_for_the_first() {
    let gate = Rc::new(asyncio::Lock::new(()));
    let held = gate.acquire().await;
    let waiter = asyncio::create_task({
        let gate = Rc::clone(&gate);
        async move { drop(gate.acquire().await) }
    });
    asyncio::sleep(Duration::from_secs(60)).await;
    assert!(!waiter.is_done());
    drop(held);
    waiter.await.unwrap();
}

#[asyncio::testing::test]
async fn nothing_fails_in_the_background() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    asyncio::running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
        seen.borrow_mut().push(context.to_string());
    })));
    drop(asyncio::create_task(async { panic!("no luck") }));
    asyncio::yield_now().await;
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("no luck"));
}
