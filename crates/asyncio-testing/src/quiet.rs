//! Panics of simulated runs, which are kept for the report instead of being printed in each run.

use std::any::Any;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// The panics of a run.
#[derive(Debug)]
struct Kept {
    panics: Vec<String>,
    /// Whether panics are printed as well.
    loud: bool,
}

/// Keeps the panics of this thread until this is dropped.
#[derive(Debug)]
pub(crate) struct Quiet {
    outer: Option<Kept>,
}

impl Quiet {
    /// With `loud`, panics are printed as well.
    pub(crate) fn new(loud: bool) -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if !keep(info) {
                    before(info);
                }
            }));
        });
        Self { outer: KEPT.replace(Some(Kept { panics: Vec::new(), loud })) }
    }
}

/// The text of a panic. The last kept panic's text includes its location.
pub(crate) fn words(payload: &(dyn Any + Send)) -> String {
    let kept = || KEPT.with_borrow(|kept| kept.as_ref()?.panics.last().cloned());
    let text = || {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    };
    kept().or_else(text).unwrap_or_else(|| "panicked".to_owned())
}

impl Drop for Quiet {
    fn drop(&mut self) {
        KEPT.set(self.outer.take());
    }
}

/// Keeps a panic, if this thread keeps panics. Returns true if the panic must not be printed.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a value that is no text");
    let place = info.location().map_or(String::new(), |place| format!(" at {place}"));
    KEPT.try_with(|kept| {
        let mut kept = kept.try_borrow_mut().ok()?;
        let kept = kept.as_mut()?;
        kept.panics.push(format!("panicked{place}: {text}"));
        Some(!kept.loud)
    })
    .ok()
    .flatten()
    .unwrap_or(false)
}
