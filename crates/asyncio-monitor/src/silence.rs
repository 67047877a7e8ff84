//! Why a loop has not answered.

use std::time::Duration;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It was closed meanwhile.
    Closed,
    /// It has not answered for so long.
    Late(Duration),
}
