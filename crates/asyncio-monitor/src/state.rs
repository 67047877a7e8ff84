//! The shared state of the monitor's tasks.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asyncio_task::gather;

use crate::options::AccessOptions;
use crate::silence::Silence;
use crate::walks::Walks;
use crate::watched::{Loops, Watched};

/// The shared state of the monitor's tasks.
pub(crate) struct State {
    pub(crate) loops: Arc<Loops>,
    pub(crate) walks: Walks,
    pub(crate) access: AccessOptions,
    pub(crate) answer_timeout: Duration,
    pub(crate) max_clients: usize,
    pub(crate) clients: Cell<usize>,
    pub(crate) started: Instant,
    /// Whether clients connect by a Unix socket.
    pub(crate) is_unix: bool,
}

impl State {
    /// Asks all open loops concurrently.
    pub(crate) async fn ask_each<T, Fut>(
        &self,
        ask: impl Fn(Arc<Watched>, Duration) -> Fut,
    ) -> Vec<(Arc<Watched>, Result<T, Silence>)>
    where
        T: 'static,
        Fut: Future<Output = Result<T, Silence>> + 'static,
    {
        let loops = self.loops.open();
        let limit = self.answer_timeout;
        let answers = gather(loops.iter().map(|watched| ask(Arc::clone(watched), limit))).await;
        loops.into_iter().zip(answers).collect()
    }
}
