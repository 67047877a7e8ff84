//! Talking to programs that others wrote: Python's asyncio, `nc` and `socat`. Where one of them is
//! missing, its tests say so and do nothing.

#[path = "../common/mod.rs"]
mod common;
mod netcat;
mod program;
mod python;
