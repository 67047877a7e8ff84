//! Pools of any connections: deadpool and bb8.

use asyncio::create_task;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio_postgres::{Client, NoTls};

use crate::queues::{client_count, named};
use crate::row::{Gate, Outcome, Row, until};
use crate::servers;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["deadpool", "redis"],
            "a pool of connections to Redis",
            deadpool_natural,
            deadpool_cancelled,
            deadpool_shutdown,
        )
        .note("alone too, as long as it has no time limits"),
        Row::new(
            &["bb8", "tokio-postgres"],
            "a pool of connections to PostgreSQL",
            bb8_natural,
            bb8_cancelled,
            bb8_shutdown,
        ),
    ]
}

// deadpool.

struct OfRedis(&'static str);

impl managed::Manager for OfRedis {
    type Type = MultiplexedConnection;
    type Error = redis::RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        named(self.0).await
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        _: &Metrics,
    ) -> RecycleResult<redis::RedisError> {
        redis::cmd("PING").query_async(connection).await.map_err(RecycleError::Backend)
    }
}

type Deadpool = managed::Pool<OfRedis>;

fn deadpool(name: &'static str, size: usize) -> Outcome<Deadpool> {
    Ok(managed::Pool::builder(OfRedis(name)).max_size(size).build()?)
}

async fn add(pool: Deadpool, key: &'static str, gate: Option<Gate>) -> Outcome<i64> {
    let mut connection = pool.get().await.map_err(|error| error.to_string())?;
    if let Some(gate) = gate {
        gate.pass().await;
    }
    Ok(connection.incr(key, 1).await?)
}

async fn deadpool_natural() -> Outcome {
    let pool = deadpool("deadpool-natural", 3)?;
    let mut connection = pool.get().await.map_err(|error| error.to_string())?;
    let _: () = connection.del("natural").await?;
    drop(connection);
    let adding = (0..30).map(|_| {
        let pool = pool.clone();
        create_task(async move { add(pool, "natural", None).await.ok() })
    });
    let mut totals = Vec::new();
    for total in asyncio::gather(adding).await {
        totals.extend(total?);
    }
    totals.sort_unstable();
    assert!(totals.into_iter().eq(1..=30));
    assert!(pool.status().size <= 3);
    pool.close();
    drop(pool);
    until(async || Ok(client_count("deadpool-natural").await? == 0)).await
}

async fn deadpool_cancelled() -> Outcome {
    let pool = deadpool("deadpool-cancelled", 1)?;
    let gate = Gate::new();
    let holding = {
        let (pool, gate) = (pool.clone(), gate.clone());
        create_task(async move { add(pool, "cancelled", Some(gate)).await.is_ok() })
    };
    gate.has_one().await;
    let waiting = {
        let pool = pool.clone();
        create_task(async move { add(pool, "cancelled", None).await.is_ok() })
    };
    until(async || Ok(pool.status().waiting == 1)).await?;
    waiting.cancel();
    assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
    holding.cancel();
    assert!(holding.await.is_err_and(|error| error.is_cancelled()));
    add(pool.clone(), "cancelled", None).await?;
    let status = pool.status();
    assert_eq!((status.size, status.available, status.waiting), (1, 1, 0));
    pool.close();
    drop(pool);
    until(async || Ok(client_count("deadpool-cancelled").await? == 0)).await
}

async fn deadpool_shutdown() -> Outcome {
    let pool = deadpool("deadpool-shutdown", 1)?;
    let gate = Gate::new();
    let holding = {
        let (pool, gate) = (pool.clone(), gate.clone());
        create_task(async move { add(pool, "shutdown", Some(gate)).await.is_ok() })
    };
    gate.has_one().await;
    pool.close();
    assert!(add(pool.clone(), "shutdown", None).await.is_err());
    gate.open();
    assert!(holding.await?, "what holds a connection may finish");
    drop(pool);
    until(async || Ok(client_count("deadpool-shutdown").await? == 0)).await
}

// bb8.

struct OfPostgres(&'static str);

impl bb8::ManageConnection for OfPostgres {
    type Connection = Client;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = servers::postgres().parse()?;
        let (client, connection) = config.application_name(self.0).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn is_valid(&self, client: &mut Client) -> Result<(), tokio_postgres::Error> {
        client.simple_query("").await.map(drop)
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        client.is_closed()
    }
}

async fn bb8(name: &'static str, size: u32) -> Outcome<bb8::Pool<OfPostgres>> {
    Ok(bb8::Pool::builder().max_size(size).build(OfPostgres(name)).await?)
}

async fn double(pool: &bb8::Pool<OfPostgres>, number: i32, gate: Option<Gate>) -> Outcome<i32> {
    let client = pool.get().await?;
    if let Some(gate) = gate {
        gate.pass().await;
    }
    Ok(client.query_one("select $1 * 2", &[&number]).await?.get(0))
}

async fn has_no_connections(name: &str) -> Outcome {
    let config: tokio_postgres::Config = servers::postgres().parse()?;
    let (client, connection) = config.connect(NoTls).await?;
    let driving = create_task(connection);
    let count = "select count(*) from pg_stat_activity where application_name = $1";
    until(async || Ok(client.query_one(count, &[&name]).await?.get::<_, i64>(0) == 0)).await?;
    drop(client);
    Ok(driving.await??)
}

async fn bb8_natural() -> Outcome {
    let pool = bb8("bb8-natural", 3).await?;
    let asking = (0..30).map(|number| {
        let pool = pool.clone();
        create_task(async move { double(&pool, number, None).await.ok() })
    });
    for (number, answer) in asyncio::gather(asking).await.into_iter().enumerate() {
        assert_eq!(answer?, Some(number as i32 * 2));
    }
    assert!(pool.state().connections <= 3);
    drop(pool);
    has_no_connections("bb8-natural").await
}

async fn bb8_cancelled() -> Outcome {
    let pool = bb8("bb8-cancelled", 1).await?;
    let gate = Gate::new();
    let holding = {
        let (pool, gate) = (pool.clone(), gate.clone());
        create_task(async move { double(&pool, 1, Some(gate)).await.is_ok() })
    };
    gate.has_one().await;
    let waiting = {
        let pool = pool.clone();
        create_task(async move { double(&pool, 2, None).await.is_ok() })
    };
    asyncio::yield_now().await;
    waiting.cancel();
    assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
    holding.cancel();
    assert!(holding.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(double(&pool, 21, None).await?, 42);
    let state = pool.state();
    assert_eq!((state.connections, state.idle_connections), (1, 1));
    drop(pool);
    has_no_connections("bb8-cancelled").await
}

/// bb8 has no `close`: dropping the last handle ends the pool.
async fn bb8_shutdown() -> Outcome {
    let pool = bb8("bb8-shutdown", 1).await?;
    let gate = Gate::new();
    let holding = {
        let (pool, gate) = (pool.clone(), gate.clone());
        create_task(async move { double(&pool, 21, Some(gate)).await.ok() })
    };
    gate.has_one().await;
    drop(pool);
    gate.open();
    assert_eq!(holding.await?, Some(42));
    has_no_connections("bb8-shutdown").await
}
