//! What the flight recorder says about who woke a task, and recordings of whole programs.

use asyncio::inspect::{Happened, Recorder, WokenBy};
use asyncio::{
    Runner, create_future, create_task, open_connection, running_loop, sleep, start_server,
    task_group, to_thread, yield_now,
};
use asyncio::{StreamReader, StreamWriter};
use std::convert::Infallible;
use std::time::Duration;

/// The last recorded waker of this task.
fn woken_by(recorder: &Recorder, number: u64) -> Option<WokenBy> {
    let recording = recorder.recording();
    let wakes = recording.events().filter_map(|event| match event.what {
        Happened::Woken { task, by } if task == number => Some(by),
        _ => None,
    });
    wakes.last()
}

#[test]
fn it_knows_what_has_woken_a_task() {
    asyncio::run(async {
        let recorder = running_loop().record(10_000);
        let this = running_loop().current_task().unwrap().id();

        sleep(Duration::from_millis(1)).await;
        assert_eq!(woken_by(&recorder, this), Some(WokenBy::Timer));

        to_thread(|| ()).await.unwrap();
        assert_eq!(woken_by(&recorder, this), Some(WokenBy::Thread));

        let future = create_future::<u32>();
        let setter = future.clone();
        let task = create_task(async move { setter.set_result(1).unwrap() });
        assert_eq!(future.await.unwrap(), 1);
        let by = task.task_ref().id() as u32;
        assert_eq!(woken_by(&recorder, this), Some(WokenBy::Task(by)));

        let answer = |mut reader: StreamReader, writer: StreamWriter| async move {
            let byte = reader.read(1).await.unwrap();
            // By the next turn, the client waits for the answer.
            yield_now().await;
            writer.write(&byte);
            writer.drain().await.unwrap();
        };
        let server = start_server("127.0.0.1:0", answer).await.unwrap();
        let address = server.local_addr().unwrap();
        let (mut reader, writer) = open_connection(address).await.unwrap();
        writer.write(b"x");
        assert_eq!(&reader.read(1).await.unwrap()[..], b"x");
        assert_eq!(woken_by(&recorder, this), Some(WokenBy::Descriptor));
    });
}

#[test]
fn polls_of_children_are_inside_of_those_of_their_group() {
    asyncio::run(async {
        let recorder = running_loop().record(10_000);
        let this = running_loop().current_task().unwrap().id();
        let mut child = 0;
        task_group(async |group| {
            let task = group.create_task(async { yield_now().await });
            child = task.task_ref().unwrap().id();
            Ok::<(), Infallible>(())
        })
        .await
        .unwrap();
        let mut open = Vec::new();
        let mut inside = 0;
        for event in recorder.recording().events() {
            match event.what {
                Happened::PollBegan { task } => {
                    inside += u32::from(task == child && open.last() == Some(&this));
                    open.push(task);
                }
                Happened::Waits { task, .. } | Happened::Ended { task, .. } => {
                    assert_eq!(open.pop().unwrap_or(task), task);
                }
                _ => {}
            }
        }
        assert!(inside > 0);
    });
}

#[test]
fn a_runner_writes_the_recording_of_a_program() {
    let file = std::env::temp_dir().join(format!("asyncio-runner-{}.json", std::process::id()));
    Runner::builder().record(&file).run(async {
        create_task(async {}).set_name("a child of the program");
        yield_now().await;
    });
    let trace = std::fs::read_to_string(&file).unwrap();
    assert!(trace.contains("a child of the program"));
    std::fs::remove_file(file).unwrap();
}
