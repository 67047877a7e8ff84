//! The servers of this run, each started when the first program asks for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use asyncio_interop::{Mosquitto, Postgres, RedisServer};

#[derive(Default)]
struct Servers {
    postgres: Option<Postgres>,
    redis: Option<RedisServer>,
    mosquitto: Option<Mosquitto>,
}

static SERVERS: Mutex<Servers> =
    Mutex::new(Servers { postgres: None, redis: None, mosquitto: None });

fn servers() -> MutexGuard<'static, Servers> {
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The URL of the PostgreSQL server.
pub(crate) fn postgres() -> String {
    let mut servers = servers();
    let start = || Postgres::start().expect("PostgreSQL starts");
    servers.postgres.get_or_insert_with(start).url()
}

/// The URL of the Redis server.
pub(crate) fn redis() -> String {
    let mut servers = servers();
    servers.redis.get_or_insert_with(|| RedisServer::start().expect("Redis starts")).url()
}

/// The port of the MQTT broker.
pub(crate) fn mosquitto() -> u16 {
    let mut servers = servers();
    let start = || Mosquitto::start().expect("Mosquitto starts");
    servers.mosquitto.get_or_insert_with(start).address().port()
}

/// Ends all servers, since a static is never dropped.
pub(crate) fn stop() {
    drop(std::mem::take(&mut *servers()));
}
