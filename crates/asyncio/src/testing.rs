//! The attribute for tests. It is not at the root, so that `use asyncio::*` leaves `#[test]` alone.
//!
//! `docs/TESTING.md` of the repository shows how to test without sleeping.

pub use asyncio_macros::test;
