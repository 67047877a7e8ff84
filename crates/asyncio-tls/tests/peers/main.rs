//! Talking TLS with other programs. Where one is missing, the tests say so and do nothing.

#[path = "../common/mod.rs"]
mod common;
mod curl;
mod openssl;
mod program;
mod python;
