//! Task factories.

mod common;

use std::rc::Rc;

use asyncio_loop::{Context, LoopRef, TaskFactory, context_var, running_loop};
use asyncio_task::{
    TaskLoopExt, TaskOptions, create_task, create_task_with, current_task, run, yield_now,
};
use common::{Log, new_loop};

context_var! {
    static LEVEL: u32 = 0;
}

/// A factory that logs the names it gets, and names the tasks without one.
fn naming(log: &Log<Option<String>>) -> TaskFactory {
    let log = log.clone();
    Rc::new(move |_: &LoopRef, options: &mut TaskOptions| {
        log.add(options.get_name().map(str::to_owned));
        if options.get_name().is_none() {
            *options = options.clone().name("by the factory");
        }
    })
}

// F-033
#[test]
fn every_way_to_make_a_task_goes_through_the_factory() {
    let (event_loop, log) = (new_loop(), Log::new());
    event_loop.set_task_factory(Some(naming(&log)));
    let main = async {
        let tasks = [
            create_task(async { current_task().unwrap().name() }),
            create_task_with(async { current_task().unwrap().name() }, TaskOptions::new()),
            running_loop().create_task(async { current_task().unwrap().name() }).unwrap(),
        ];
        for task in tasks {
            assert_eq!(&*task.await.unwrap(), "by the factory");
        }
        current_task().unwrap().name()
    };
    assert_eq!(&*event_loop.run_until_complete(main).unwrap(), "by the factory");
    assert_eq!(log.take(), [None, None, None, None]);
}

// F-033
#[test]
fn the_factory_is_read_and_taken_back() {
    run(async {
        let log = Log::new();
        assert!(running_loop().task_factory().is_none());
        let factory = naming(&log);
        running_loop().set_task_factory(Some(Rc::clone(&factory)));
        assert!(Rc::ptr_eq(&running_loop().task_factory().unwrap(), &factory));
        running_loop().set_task_factory(None);
        assert!(running_loop().task_factory().is_none());
        assert!(create_task(async {}).name().starts_with("Task-"));
        assert_eq!(log.take(), []);
    });
}

// F-034
#[test]
fn name_context_and_eager_start_reach_the_factory() {
    run(async {
        let (log, context) = (Log::new(), Context::new());
        context.run(|| LEVEL.set(3));
        let seen = log.clone();
        running_loop().set_task_factory(Some(Rc::new(move |_, options| {
            let level = options.get_context().map(|context| context.run(|| LEVEL.get()));
            seen.add((options.get_name().map(str::to_owned), level, options.get_eager_start()));
        })));
        let options = TaskOptions::new().name("it").context(&context).eager_start(false);
        let task = create_task_with(async { LEVEL.get() }, options);
        create_task(async {});
        assert_eq!(log.take(), [(Some("it".to_owned()), Some(3), Some(false)), (None, None, None)]);
        assert_eq!(&*task.name(), "it", "the name is kept although the factory ignored it");
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn a_factory_may_make_tasks_itself() {
    run(async {
        let log = Log::new();
        let seen = log.clone();
        running_loop().set_task_factory(Some(Rc::new(move |event_loop, options| {
            if options.get_name() == Some("outer") {
                let seen = seen.clone();
                let inner = async move { seen.add("inner") };
                drop(event_loop.spawn(inner, TaskOptions::new().name("inner")));
            }
        })));
        create_task_with(async {}, TaskOptions::new().name("outer")).await.unwrap();
        yield_now().await;
        assert_eq!(log.take(), ["inner"]);
    });
}
