//! Reports, in debug mode, of connections that the program did not close.

use super::Transport;

impl Transport {
    /// Reports, in debug mode, that the program did not close the transport. `message` says how it
    /// ended.
    pub(crate) fn report_unclosed(&self, message: &'static str) {
        let event_loop = self.0.network().event_loop();
        event_loop.report_unclosed(message, self.0.site(), |context| {
            context.field("transport", format_args!("{self:?}"))
        });
    }
}
