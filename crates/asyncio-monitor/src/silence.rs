//! The reason for which a loop has not answered.

use std::time::Duration;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The loop was closed meanwhile.
    Closed,
    /// The loop has not answered for this long.
    Late(Duration),
}
