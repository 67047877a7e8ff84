//! Databases: sqlx and tokio-postgres.

use std::time::Duration;

use asyncio::{Task, create_task, open_connection};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

use crate::row::{Gate, Outcome, Row, until};
use crate::servers;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["sqlx", "libsqlite3-sys"],
            "SQLite: a pool, transactions",
            sqlite::natural,
            sqlite::cancelled,
            sqlite::shutdown,
        )
        .note("alone with `runtime-smol`, else `runtime-tokio`"),
        Row::new(
            &["sqlx"],
            "PostgreSQL: a pool, transactions",
            postgres::natural,
            postgres::cancelled,
            postgres::shutdown,
        )
        .note("alone with `runtime-smol`, else `runtime-tokio`"),
        Row::new(
            &["tokio-postgres"],
            "`connect`",
            async || client_natural(By::Connect).await,
            async || client_cancelled(By::Connect).await,
            async || client_shutdown(By::Connect).await,
        ),
        Row::new(
            &["tokio-postgres"],
            "`connect_raw` over our streams",
            async || client_natural(By::OurStream).await,
            async || client_cancelled(By::OurStream).await,
            async || client_shutdown(By::OurStream).await,
        ),
    ]
}

// sqlx. The programs are the same for both databases, whose types differ.

macro_rules! pool_programs {
    ($module:ident, $database:ty, $start:path) => {
        mod $module {
            use asyncio::create_task;

            use crate::row::{Gate, Outcome};

            async fn total(pool: &sqlx::Pool<$database>) -> Outcome<i64> {
                let total = "select cast(coalesce(sum(amount), 0) as bigint) from payments";
                Ok(sqlx::query_scalar(total).fetch_one(pool).await?)
            }

            async fn pay(pool: &sqlx::Pool<$database>, amount: i64, gate: Option<Gate>) -> Outcome {
                let mut transaction = pool.begin().await?;
                sqlx::query("insert into payments (amount) values ($1)")
                    .bind(amount)
                    .execute(&mut *transaction)
                    .await?;
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                transaction.commit().await?;
                Ok(())
            }

            pub(crate) async fn natural() -> Outcome {
                let (pool, _kept) = $start(2, "natural").await?;
                let paying = (1..=20).map(|amount| {
                    let pool = pool.clone();
                    create_task(async move { pay(&pool, amount, None).await.is_ok() })
                });
                for paid in asyncio::gather(paying).await {
                    assert!(paid?);
                }
                assert_eq!(total(&pool).await?, 210);
                let undone = pool.begin().await?;
                undone.rollback().await?;
                pool.close().await;
                Ok(())
            }

            /// Cancels in a transaction, and while another task waits for the connection: the
            /// transaction is rolled back, and the pool's only connection serves the next task.
            pub(crate) async fn cancelled() -> Outcome {
                let (pool, _kept) = $start(1, "cancelled").await?;
                let gate = Gate::new();
                let paying = create_task({
                    let (pool, gate) = (pool.clone(), gate.clone());
                    async move { pay(&pool, 1, Some(gate)).await.is_ok() }
                });
                gate.has_one().await;
                let waiting = create_task({
                    let pool = pool.clone();
                    async move { pay(&pool, 2, None).await.is_ok() }
                });
                asyncio::yield_now().await;
                waiting.cancel();
                assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
                paying.cancel();
                assert!(paying.await.is_err_and(|error| error.is_cancelled()));
                assert_eq!(total(&pool).await?, 0);
                pay(&pool, 4, None).await?;
                assert_eq!((total(&pool).await?, pool.size()), (4, 1));
                pool.close().await;
                Ok(())
            }

            /// A closing pool waits for the running transaction, and serves no other request.
            pub(crate) async fn shutdown() -> Outcome {
                let (pool, _kept) = $start(2, "shutdown").await?;
                let gate = Gate::new();
                let paying = create_task({
                    let (pool, gate) = (pool.clone(), gate.clone());
                    async move { pay(&pool, 1, Some(gate)).await.is_ok() }
                });
                gate.has_one().await;
                let closing = create_task({
                    let pool = pool.clone();
                    async move { pool.close().await }
                });
                pool.close_event().await;
                assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
                assert!(!closing.is_done());
                gate.open();
                assert!(paying.await?);
                closing.await?;
                assert_eq!(pool.size(), 0);
                Ok(())
            }
        }
    };
}

pool_programs!(sqlite, sqlx::Sqlite, super::start_sqlite);
pool_programs!(postgres, sqlx::Postgres, super::start_postgres);

async fn start_sqlite(connections: u32, _: &str) -> Outcome<(SqlitePool, TempDir)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("payments.db");
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        // A writer waits for another one.
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await?;
    sqlx::query("create table payments (amount integer)").execute(&pool).await?;
    Ok((pool, folder))
}

/// A table of this program's own.
async fn start_postgres(connections: u32, name: &str) -> Outcome<(PgPool, ())> {
    let schema = format!("interop_{name}");
    let options: sqlx::postgres::PgConnectOptions = servers::postgres().parse()?;
    let options = options.options([("search_path", schema.as_str())]);
    let pool = PgPoolOptions::new().max_connections(connections).connect_with(options).await?;
    for command in [
        format!("drop schema if exists {schema} cascade"),
        format!("create schema {schema}"),
        "create table payments (amount int8)".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(command)).execute(&pool).await?;
    }
    Ok((pool, ()))
}

// tokio-postgres.

#[derive(Clone, Copy)]
enum By {
    Connect,
    OurStream,
}

type Driving = Task<Result<(), tokio_postgres::Error>>;

fn config(name: &str) -> Outcome<Config> {
    let mut config: Config = servers::postgres().parse()?;
    config.application_name(name);
    Ok(config)
}

async fn connect(by: By, name: &str) -> Outcome<(Client, Driving)> {
    let config = config(name)?;
    match by {
        By::Connect => {
            let (client, connection) = config.connect(NoTls).await?;
            Ok((client, create_task(connection)))
        }
        By::OurStream => {
            let (reader, writer) = open_connection(address(&config)).await?;
            let (client, connection) = config.connect_raw(reader.join(writer), NoTls).await?;
            Ok((client, create_task(connection)))
        }
    }
}

fn address(config: &Config) -> (String, u16) {
    let host = match &config.get_hosts()[0] {
        tokio_postgres::config::Host::Tcp(host) => host.clone(),
        tokio_postgres::config::Host::Unix(_) => unreachable!("it is on loopback"),
    };
    (host, config.get_ports()[0])
}

/// The number of the server's connections with that name.
async fn connections(client: &Client, name: &str) -> Outcome<i64> {
    let query = "select count(*) from pg_stat_activity where application_name = $1";
    Ok(client.query_one(query, &[&name]).await?.get(0))
}

async fn client_natural(by: By) -> Outcome {
    let (mut client, driving) = connect(by, "natural").await?;
    client.batch_execute("create temporary table numbers (number int4)").await?;
    let transaction = client.transaction().await?;
    let insert = transaction.prepare("insert into numbers values ($1)").await?;
    for number in 1..=10_i32 {
        transaction.execute(&insert, &[&number]).await?;
    }
    transaction.commit().await?;
    // Requests that are sent at once are answered in order.
    let query = async |number: i32| client.query_one("select $1 + 1", &[&number]).await;
    let answers = asyncio::gather((0..20).map(query)).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer?.get::<_, i32>(0) as usize, number + 1);
    }
    let sum: i64 = client.query_one("select sum(number) from numbers", &[]).await?.get(0);
    assert_eq!(sum, 55);
    drop(client);
    Ok(driving.await??)
}

/// Cancels a query: the server is told to cancel it, and the connection serves the next one.
async fn client_cancelled(by: By) -> Outcome {
    let (client, driving) = connect(by, "cancelled").await?;
    let (witness, witness_driving) = connect(by, "witness").await?;
    let client = std::rc::Rc::new(client);
    let sleeping = create_task({
        let client = client.clone();
        async move { client.execute("select pg_sleep(3600)", &[]).await.map(drop) }
    });
    let sleeps = "select count(*) from pg_stat_activity where application_name = 'cancelled' \
                  and state = 'active'";
    until(async || Ok(witness.query_one(sleeps, &[]).await?.get::<_, i64>(0) == 1)).await?;
    sleeping.cancel();
    assert!(sleeping.await.is_err_and(|error| error.is_cancelled()));
    let token = client.cancel_token();
    match by {
        By::Connect => token.cancel_query(NoTls).await?,
        By::OurStream => {
            let (reader, writer) = open_connection(address(&config("cancelled")?)).await?;
            token.cancel_query_raw(reader.join(writer), NoTls).await?;
        }
    }
    let answer: i32 = client.query_one("select 1", &[]).await?.get(0);
    assert_eq!(answer, 1);
    drop(client);
    driving.await??;
    until(async || Ok(connections(&witness, "cancelled").await? == 0)).await?;
    drop(witness);
    Ok(witness_driving.await??)
}

/// The client is dropped during a query: the query is answered, and then the connection ends.
async fn client_shutdown(by: By) -> Outcome {
    let (client, driving) = connect(by, "shutdown").await?;
    let gate = Gate::new();
    let asking = create_task({
        let gate = gate.clone();
        async move {
            let asking = client.query_one("select 6 * 7 from pg_sleep(0.05)", &[]);
            let mut asking = std::pin::pin!(asking);
            assert!(futures::poll!(&mut asking).is_pending());
            gate.pass().await;
            asking.await.map(|row| row.get::<_, i32>(0))
        }
    });
    gate.has_one().await;
    gate.open();
    assert_eq!(asking.await??, 42);
    driving.await??;
    let (witness, driving) = connect(by, "witness").await?;
    until(async || Ok(connections(&witness, "shutdown").await? == 0)).await?;
    drop(witness);
    Ok(driving.await??)
}
