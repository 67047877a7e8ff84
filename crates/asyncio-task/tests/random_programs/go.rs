//! Runs programs.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_task::*;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::program::Program;
use crate::scopes::ms;
use crate::world::{Alive, Final, Once, World};

type Done = Result<(), &'static str>;
type Run = Once<Pin<Box<dyn Future<Output = Done>>>>;
type Group<'scope, 'env> = TaskGroup<'scope, 'env, &'static str>;

/// The surroundings of a part of a program.
#[derive(Clone)]
pub(crate) struct Place {
    world: Rc<World>,
    /// The number of the enclosing `finally` in the same branch.
    within: Option<usize>,
    /// Whether foreign code may drop this part.
    fragile: bool,
    /// Whether this part is in a cleanup, which ends when a part of it returns no value.
    cleanup: bool,
}

impl Place {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), within: None, fragile: false, cleanup: false }
    }

    fn fragile(&self) -> Self {
        Self { fragile: true, ..self.clone() }
    }

    /// The surroundings of a part that runs in a task of its own.
    fn apart(&self) -> Self {
        Self { within: None, ..self.clone() }
    }

    /// The surroundings of a part beside others that may panic, which would drop this one.
    fn beside(&self, programs: &[&Program]) -> Self {
        let fragile = programs.iter().any(|program| program.may_panic());
        Self { fragile: self.fragile || fragile, ..self.clone() }
    }
}

/// Runs a part of a program.
pub(crate) fn go(program: Program, place: Place) -> Run {
    Once::new(Box::pin(step(program, place)))
}

/// Runs a part as a task or a child, which other parts may cancel.
async fn go_apart(program: Program, place: Place) -> Done {
    if !place.cleanup {
        place.world.add_victim();
    }
    go(program, place).await
}

fn spawn(program: Program, place: &Place) -> Task<Done> {
    create_task(go_apart(program, place.apart()))
}

/// Awaits a task. If this returns a value, it may have answered a request.
async fn join(task: impl Future<Output = Result<Done, JoinError>>, place: &Place) -> Done {
    let before = place.world.delivered.get();
    let joined = task.await;
    place.world.has_answered(before);
    joined.unwrap_or(Ok(()))
}

async fn step(program: Program, place: Place) -> Done {
    let world = Rc::clone(&place.world);
    match program {
        Program::Sleep(delay) => sleep(ms(delay.into())).await,
        Program::Yield => yield_now().await,
        Program::CancelSelf | Program::Panic if place.cleanup => {}
        Program::CancelSelf => {
            world.add_request();
            current_task().unwrap().cancel();
        }
        Program::Fail => return Err("failed"),
        Program::Panic => std::panic::resume_unwind(Box::new("panicked")),
        Program::Sequence(steps) => {
            for step in steps {
                go(step, place.clone()).await?;
            }
        }
        Program::Catch(body, pass, after) => match catch_cancel(go(*body, place.clone())).await {
            Ok(done) => done?,
            Err(cancelled) => {
                world.caught.set(world.caught.get() + 1);
                go(*after, place).await?;
                if pass {
                    world.caught.set(world.caught.get() - 1);
                    cancelled.resume().await
                }
            }
        },
        Program::Finally(body, cleanup) => return run_finally(*body, *cleanup, place).await,
        Program::Timeout(limit, body) => {
            let _ = timeout(ms(limit.into()), go(*body, place)).await;
        }
        Program::Moved(limit, other, body) => {
            let timeout = Timeout::new(ms(limit.into()));
            let _ = timeout
                .run(async {
                    let _ = timeout.reschedule(Some(running_loop().time() + ms(other.into())));
                    go(*body, place).await
                })
                .await;
        }
        Program::Critical(body) => critical(go(*body, place)).await?,
        Program::Guarded(body) => {
            let _guard = PollScopes;
            go(*body, place).await?;
        }
        Program::Group(body, children) => {
            return run_group(*body, children, place, After::Nothing).await;
        }
        Program::Children(body, children) => {
            return run_group(*body, children, place, After::Await).await;
        }
        Program::Ends(body, children) => {
            return run_group(*body, children, place, After::Cancel).await;
        }
        Program::Siblings(body, children) => return run_siblings(*body, children, place).await,
        Program::Join(body) => join(spawn(*body, &place), &place).await?,
        Program::JoinTwice(limit, body) => {
            let mut task = spawn(*body, &place);
            if timeout(ms(limit.into()), join(&mut task, &place)).await.is_err() {
                join(task, &place).await?;
            }
        }
        Program::Abort(delay, body) => {
            let task = spawn(*body, &place);
            sleep(ms(delay.into())).await;
            task.cancel();
            join(task, &place).await?;
        }
        Program::Detach(body) => drop(spawn(*body, &place)),
        Program::Shield(body) => {
            let _ = shield(spawn(*body, &place)).await;
        }
        Program::Select(first, second) => {
            let mut both = (go(*first, place.fragile()), go(*second, place.fragile()));
            poll_fn(|cx| match Pin::new(&mut both.0).poll(cx) {
                Poll::Ready(done) => Poll::Ready(done),
                Poll::Pending => Pin::new(&mut both.1).poll(cx),
            })
            .await?;
        }
        Program::TokioSelect(first, second) => {
            let (first, second) = (go(*first, place.fragile()), go(*second, place.fragile()));
            tokio::select! { biased; done = first => done?, done = second => done? }
        }
        Program::Unordered(count, parts) => {
            let parts = parts.into_iter().map(|part| go(part, place.fragile()));
            let mut parts: FuturesUnordered<_> = parts.collect();
            for _ in 0..count {
                if let Some(done) = parts.next().await {
                    done?;
                }
            }
        }
        Program::DropAfter(polls, body) => {
            let (mut body, mut left) = (go(*body, place.fragile()), polls);
            poll_fn(|cx| match Pin::new(&mut body).poll(cx) {
                Poll::Pending if left > 0 => {
                    left -= 1;
                    Poll::Pending
                }
                Poll::Pending => Poll::Ready(Ok(())),
                done => done,
            })
            .await?;
        }
        Program::Aside(first, second) => {
            let mut aside = go(*first, place.fragile());
            let early = poll_fn(|cx| Poll::Ready(Pin::new(&mut aside).poll(cx))).await;
            go(*second, place).await?;
            if let Poll::Ready(done) = early {
                done?;
            }
        }
        Program::Both(first, second) => {
            let place = place.beside(&[&first, &second]);
            let mut both = [Some(go(*first, place.clone())), Some(go(*second, place))];
            poll_fn(|cx| {
                for one in &mut both {
                    if one.as_mut().is_some_and(|one| Pin::new(one).poll(cx).is_ready()) {
                        *one = None;
                    }
                }
                if both.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        Program::Gather(parts) => {
            let parts = parts.into_iter().map(|part| go_apart(part, place.clone()));
            gather(parts.collect::<Vec<_>>()).await;
        }
        Program::Race(parts) => {
            let parts = parts.into_iter().map(|part| go_apart(part, place.clone()));
            race(parts.collect::<Vec<_>>()).await?;
        }
    }
    Ok(())
}

/// A value whose destructor polls one scope of each kind once.
struct PollScopes;

impl Drop for PollScopes {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = pin!(catch_cancel(pending::<()>())).poll(&mut cx);
        let _ = pin!(finally(critical(pending::<()>()), async |_| ())).poll(&mut cx);
        if try_running_loop().is_ok() {
            let group = scope(async |s| s.create_task(catch_cancel(yield_now())).await);
            let _ = pin!(group).poll(&mut cx);
        }
    }
}

async fn run_finally(body: Program, cleanup: Program, place: Place) -> Done {
    let world = Rc::clone(&place.world);
    let number = world.finals.borrow().len();
    let new = Final { parent: place.within, dropped_by_others: place.fragile, ..Final::default() };
    world.finals.borrow_mut().push(new);
    let inner = Place { within: Some(number), ..place.clone() };
    finally(go(body, inner), async |_: Outcome<'_, Done>| {
        world.begin(number);
        let _ = go(cleanup, Place { cleanup: true, ..place.apart() }).await;
        world.end(number);
    })
    .await
}

/// What the body of a group does last.
enum After {
    Nothing,
    Await,
    Cancel,
}

async fn run_group(body: Program, children: Vec<Program>, place: Place, after: After) -> Done {
    let world = Rc::clone(&place.world);
    let siblings = Rc::new(Cell::new(0));
    let result = task_group(async |group| {
        let mut handles = Vec::new();
        for child in children {
            let (place, world, siblings) = (place.clone(), &world, &siblings);
            handles.push(group.create_task(async move {
                let _alive = Alive::new(world, siblings);
                go_apart(child, place).await
            }));
        }
        go(body, place.clone()).await?;
        match after {
            After::Nothing => {}
            After::Await => {
                for handle in handles {
                    take(handle, &place).await;
                }
            }
            After::Cancel => group.cancel(),
        }
        Ok(())
    })
    .await;
    assert_eq!(siblings.get(), 0, "a child outlives its group");
    result.map_err(|_| "a group failed")
}

/// Awaits a child.
async fn take(child: Child<'_, ()>, place: &Place) {
    let before = place.world.delivered.get();
    if place.cleanup {
        let _ = child.outcome().await;
    } else {
        child.await;
    }
    place.world.has_answered(before);
}

/// Runs a group in which each child creates the next one.
async fn run_siblings(body: Program, children: Vec<Program>, place: Place) -> Done {
    let siblings = Rc::new(Cell::new(0));
    let result = task_group(async |group| {
        drop(sibling(group, children, place.clone(), Rc::clone(&siblings)));
        go(body, place.clone()).await
    })
    .await;
    assert_eq!(siblings.get(), 0, "a child outlives its group");
    result.map_err(|_| "a group failed")
}

fn sibling<'scope>(
    group: &'scope Group<'scope, '_>,
    mut children: Vec<Program>,
    place: Place,
    siblings: Rc<Cell<usize>>,
) -> Child<'scope, ()> {
    group.create_task(async move {
        let _alive = Alive::new(&place.world, &siblings);
        let Some(program) = children.pop() else { return Ok(()) };
        let next = sibling(group, children, place.clone(), Rc::clone(&siblings));
        go_apart(program, place.clone()).await?;
        take(next, &place).await;
        Ok(())
    })
}
