//! TLS with other programs. If one is missing, its tests print that and do nothing.

#[path = "../common/mod.rs"]
mod common;
mod curl;
mod openssl;
mod program;
mod python;
