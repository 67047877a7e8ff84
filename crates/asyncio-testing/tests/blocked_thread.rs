//! A step that blocks its thread: the process aborts with a message, since nothing else can end the
//! step. This is the only test here, since it starts the program again.

use std::process::Command;
use std::time::Duration;

use asyncio_task::{create_task, yield_now};
use asyncio_testing::{FailureKind, Simulation};

/// Set in the child process that blocks.
const BLOCKS: &str = "ASYNCIO_TESTING_TEST_BLOCKS";

/// Runs a step that never ends.
fn block() {
    // On a busy machine the second step starts late, so the limit is long.
    let simulation = Simulation::new().seed(7).time_limit(Duration::from_secs(3));
    simulation.run(async || {
        let task = create_task(async {
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        });
        task.await.unwrap()
    })
}

#[test]
fn a_step_that_blocks_the_thread_ends_the_process_with_words() {
    if std::env::var_os(BLOCKS).is_some() {
        return block();
    }
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child.args(["--exact", "a_step_that_blocks_the_thread_ends_the_process_with_words"]);
    let output = child.args(["--nocapture"]).env(BLOCKS, "1").output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    let expected = "seed 7 of a_step_that_blocks_the_thread_ends_the_process_with_words fails: \
                    step 2 blocks the thread: Task-2\n";
    assert!(words.contains(expected), "{words}");
    assert!(words.contains("its limit is 3s"), "{words}");
    assert!(words.contains("replay: ASYNCIO_SEED='7' cargo test a_step_that_"), "{words}");

    // Slow steps that end do not abort the process: the run fails at its time limit, before its
    // 1024th step.
    let simulation = Simulation::new().time_limit(Duration::from_millis(50));
    let slow = simulation.shrink_runs(0).check(async || {
        for _ in 0..1000 {
            std::thread::sleep(Duration::from_millis(5));
            yield_now().await;
        }
    });
    assert_eq!(slow.unwrap_err().kind(), FailureKind::TimeLimit);
}
