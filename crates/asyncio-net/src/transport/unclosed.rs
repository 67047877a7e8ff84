//! In debug mode: connections that had to be closed.

use super::Transport;

impl Transport {
    /// Reports, in debug mode, that it had to be closed. `message` says what became of it.
    pub(crate) fn report_unclosed(&self, message: &'static str) {
        let event_loop = self.0.network().event_loop();
        event_loop.report_unclosed(message, self.0.site(), |context| {
            context.field("transport", format_args!("{self:?}"))
        });
    }
}
