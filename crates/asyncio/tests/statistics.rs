//! The statistics of a loop that has connections and groups.

use asyncio::{
    StreamReader, StreamWriter, create_task, open_connection, running_loop, start_server,
    task_group, yield_now,
};
use std::convert::Infallible;

#[test]
fn bytes_are_counted_on_both_sides_of_a_connection() {
    asyncio::run(async {
        let serve = |mut reader: StreamReader, writer: StreamWriter| async move {
            let data = reader.read_exactly(1000).await.unwrap();
            writer.write(&data);
            writer.write(&data);
            writer.drain().await.unwrap();
        };
        let server = start_server("127.0.0.1:0", serve).await.unwrap();
        let before = running_loop().statistics();
        let address = server.local_addr().unwrap();
        let (mut reader, writer) = open_connection(address).await.unwrap();
        writer.write([7; 1000]);
        writer.drain().await.unwrap();
        assert_eq!(reader.read_to_end().await.unwrap().len(), 2000);
        let after = running_loop().statistics();
        assert_eq!(after.bytes_in - before.bytes_in, 3000);
        assert_eq!(after.bytes_out - before.bytes_out, 3000);
        assert!(after.descriptors > before.descriptors, "the client's connection is open");
    });
}

#[test]
fn children_of_groups_are_counted_as_tasks() {
    asyncio::run(async {
        let _task = create_task(async { yield_now().await });
        task_group(async |group| {
            for _ in 0..3 {
                group.create_task(async { yield_now().await });
            }
            let tasks = running_loop().statistics().tasks;
            assert_eq!(tasks, running_loop().all_tasks().len() as u64);
            assert_eq!(tasks, 5, "main, the task, three children");
            Ok::<(), Infallible>(())
        })
        .await
        .unwrap();
    });
}
