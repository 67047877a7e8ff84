//! Servers that the programs of this package talk to. Each is started for one run, listens on
//! loopback only, keeps its files in a temporary folder, and ends when it is dropped.

#![forbid(unsafe_code)]

mod mosquitto;
mod nats;
mod postgres;
mod redis_server;
mod server;

pub use mosquitto::Mosquitto;
pub use nats::Nats;
pub use postgres::Postgres;
pub use redis_server::RedisServer;
pub use server::find;
