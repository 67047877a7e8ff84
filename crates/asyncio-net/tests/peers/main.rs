//! Communication with other programs: Python's asyncio, `nc` and `socat`. If one of them is
//! missing, its tests print that and do nothing.

#[path = "../common/mod.rs"]
mod common;
mod netcat;
mod program;
mod python;
