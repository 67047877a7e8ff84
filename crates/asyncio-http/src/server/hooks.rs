//! The program's hooks for the start and the end of its server.

use std::error::Error;
use std::io;
use std::pin::Pin;

use asyncio_net::HandlerResult;

type Failure = Option<Box<dyn Error>>;
type Hook = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Failure>>>>;

/// Hooks of one kind, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Hooks(Vec<Hook>);

impl Hooks {
    pub(crate) fn add<H, R>(&mut self, hook: H)
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.0.push(Box::new(|| Box::pin(async move { hook().await.failure() })));
    }

    /// Runs all hooks, and stops at the first failure.
    pub(crate) async fn run(self) -> io::Result<()> {
        for hook in self.0 {
            if let Some(error) = hook().await {
                return Err(io::Error::other(error.to_string()));
            }
        }
        Ok(())
    }

    /// Runs all hooks, and reports failures.
    pub(crate) async fn run_all(self, kind: &'static str) {
        for hook in self.0 {
            if let Some(error) = hook().await {
                let context = asyncio_loop::ErrorContext::new("a hook of a server failed")
                    .field("hook", kind)
                    .with_error(error);
                asyncio_task::running_loop().report(&context);
            }
        }
    }
}
