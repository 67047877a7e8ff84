//! File descriptors of a closed loop. This is the only test of its process, so that it can count
//! them.

#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_loop::{EventLoop, LoopWaker, Source, TaskOptions};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

// issue 11, item 7
#[test]
fn a_closed_loop_has_no_descriptors_whatever_is_left_of_it() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let before = open_descriptors();
    let event_loop = EventLoop::new().unwrap();
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let pending = poll_fn({
        let waker = Rc::clone(&waker);
        move |cx| {
            waker.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }
    });
    let task = event_loop.spawn(pending, TaskOptions::new().hidden()).unwrap();
    event_loop.run_until_complete(async {}).unwrap();
    let waker = waker.take().unwrap();
    let kept = (
        task.task().clone(),
        LoopWaker::from_waker(&waker),
        event_loop.loop_ref(),
        event_loop.handle(),
        Source::new(&event_loop, ours),
    );
    assert!(open_descriptors() > before);
    event_loop.close().unwrap();
    assert_eq!(open_descriptors(), before);
    waker.wake();
    drop(kept);
}
