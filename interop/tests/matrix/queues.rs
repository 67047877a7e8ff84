//! Redis and MQTT.

use std::time::Duration;

use asyncio::{Task, create_task, gather};
use futures::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisResult};
use rumqttc::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions, QoS};

use crate::row::{Outcome, Row, until};
use crate::servers;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["redis"],
            "pipelines, publish and subscribe",
            redis_natural,
            redis_cancelled,
            redis_shutdown,
        )
        .note("alone with `smol-comp`, else `tokio-comp`"),
        Row::new(
            &["rumqttc"],
            "MQTT: publish and subscribe",
            mqtt_natural,
            mqtt_cancelled,
            mqtt_shutdown,
        ),
    ]
}

// Redis.

/// A connection with this name on the server.
pub(crate) async fn named(name: &str) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(servers::redis())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let _: () = redis::cmd("CLIENT").arg("SETNAME").arg(name).query_async(&mut connection).await?;
    Ok(connection)
}

/// The number of the server's connections with that name.
pub(crate) async fn client_count(name: &str) -> Outcome<usize> {
    let mut witness = named("witness").await?;
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut witness).await?;
    let wanted = format!(" name={name} ");
    Ok(list.lines().filter(|line| line.contains(&wanted)).count())
}

async fn redis_natural() -> Outcome {
    let mut connection = named("natural").await?;
    let (first, counts): (String, Vec<i64>) = {
        let mut pipeline = redis::pipe();
        pipeline.atomic().set("word", "hello").ignore().get("word");
        pipeline.del("count").ignore();
        let (word,): (String,) = pipeline.query_async(&mut connection).await?;
        let mut pipeline = redis::pipe();
        for _ in 0..100 {
            pipeline.incr("count", 1);
        }
        (word, pipeline.query_async(&mut connection).await?)
    };
    assert_eq!(first, "hello");
    assert!(counts.into_iter().eq(1..=100));

    let client = redis::Client::open(servers::redis())?;
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe("news").await?;
    let reading = create_task(async move {
        let mut messages = subscription.on_message();
        let mut texts = Vec::new();
        while texts.len() < 10 {
            let message = messages.next().await.ok_or("an end")?;
            texts.push(message.get_payload::<String>()?);
        }
        Outcome::Ok(texts)
    });
    for number in 0..10 {
        let readers: usize = connection.publish("news", number.to_string()).await?;
        assert_eq!(readers, 1);
    }
    assert!(reading.await??.into_iter().eq((0..10).map(|number| number.to_string())));
    drop(connection);
    until(async || Ok(client_count("natural").await? == 0)).await
}

/// Requests share a connection, and every other one is cancelled before its answer: the others get
/// their own answers.
async fn redis_cancelled() -> Outcome {
    let mut connection = named("cancelled").await?;
    let mut pipeline = redis::pipe();
    for number in 0..200 {
        pipeline.set(format!("key {number}"), number).ignore();
    }
    pipeline.exec_async(&mut connection).await?;
    let asking: Vec<_> = (0..200)
        .map(|number| {
            let mut connection = connection.clone();
            create_task(async move { connection.get(format!("key {number}")).await })
        })
        .collect();
    asyncio::yield_now().await;
    asking.iter().step_by(2).for_each(|task: &Task<RedisResult<i32>>| {
        task.cancel();
    });
    for (number, answer) in gather(asking).await.into_iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!(answer? as usize, number),
            Err(error) => assert!(error.is_cancelled() && number % 2 == 0, "{number}: {error}"),
        }
    }
    let last: i32 = connection.get("key 7").await?;
    assert_eq!(last, 7);
    drop(connection);
    until(async || Ok(client_count("cancelled").await? == 0)).await
}

/// A wait for an item is cancelled, as at the end of a program. Its connection ends, and later
/// items are left to other clients.
async fn redis_shutdown() -> Outcome {
    let mut connection = named("worker").await?;
    let _: () = connection.del("jobs").await?;
    let waiting = create_task(async move {
        let _: (String, String) = connection.blpop("jobs", 0.0).await?;
        RedisResult::Ok(())
    });
    until(async || Ok(client_count("worker").await? == 1)).await?;
    waiting.cancel();
    assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
    until(async || Ok(client_count("worker").await? == 0)).await?;
    let mut other = named("other").await?;
    let _: () = other.rpush("jobs", "a job").await?;
    let job: (String, String) = other.blpop("jobs", 1.0).await?;
    assert_eq!(job.1, "a job");
    Ok(())
}

// MQTT.

struct Subscriber {
    client: AsyncClient,
    events: rumqttc::EventLoop,
}

impl Subscriber {
    fn new(name: &str, clean: bool) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", servers::mosquitto());
        options.set_keep_alive(Duration::from_secs(30)).set_clean_session(clean);
        let (client, events) = AsyncClient::new(options, 100);
        Self { client, events }
    }

    /// Polls the client until `wanted` accepts an incoming packet.
    async fn next<T>(&mut self, wanted: impl Fn(Incoming) -> Option<T>) -> Outcome<T> {
        loop {
            if let Event::Incoming(packet) = self.events.poll().await? {
                if let Some(found) = wanted(packet) {
                    return Ok(found);
                }
            }
        }
    }

    async fn subscribe(&mut self, topic: &str) -> Outcome {
        self.client.subscribe(topic, QoS::AtLeastOnce).await?;
        self.next(|packet| matches!(packet, Incoming::SubAck(_)).then_some(())).await
    }

    async fn message(&mut self) -> Outcome<String> {
        let text = |packet| match packet {
            Incoming::Publish(message) => Some(String::from_utf8_lossy(&message.payload).into()),
            _ => None,
        };
        self.next(text).await
    }

    /// Sends a disconnect, and waits until the connection has ended.
    async fn disconnect(mut self) -> Outcome {
        self.client.disconnect().await?;
        loop {
            match self.events.poll().await {
                Ok(_) => {}
                // The broker closes the connection after the disconnect.
                Err(ConnectionError::MqttState(_) | ConnectionError::RequestsDone) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

async fn publish(name: &str, topic: &str, texts: impl Iterator<Item = String>) -> Outcome {
    let mut publisher = Subscriber::new(name, true);
    for text in texts {
        publisher.client.publish(topic, QoS::AtLeastOnce, false, text).await?;
        publisher.next(|packet| matches!(packet, Incoming::PubAck(_)).then_some(())).await?;
    }
    publisher.disconnect().await
}

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

async fn mqtt_natural() -> Outcome {
    let mut subscriber = Subscriber::new("natural", true);
    subscriber.subscribe("natural").await?;
    let publishing = create_task(publish("publisher", "natural", numbers(0..20)));
    for number in numbers(0..20) {
        assert_eq!(subscriber.message().await?, number);
    }
    publishing.await??;
    subscriber.disconnect().await
}

/// A subscriber is cancelled. The broker keeps later messages for its session.
async fn mqtt_cancelled() -> Outcome {
    let mut subscriber = Subscriber::new("cancelled", false);
    subscriber.subscribe("cancelled").await?;
    let (seen, mut has_seen) = tokio::sync::mpsc::unbounded_channel();
    let reading = create_task(async move {
        loop {
            let text = subscriber.message().await?;
            if seen.send(text).is_err() {
                return Outcome::Ok(());
            }
        }
    });
    publish("before", "cancelled", numbers(0..5)).await?;
    assert_eq!(has_seen.recv().await.as_deref(), Some("0"));
    reading.cancel();
    assert!(reading.await.is_err_and(|error| error.is_cancelled()));
    publish("after", "cancelled", numbers(5..10)).await?;
    let mut again = Subscriber::new("cancelled", false);
    let mut got = vec!["0".to_owned()];
    while let Ok(text) = has_seen.try_recv() {
        got.push(text);
    }
    while got.last().is_none_or(|text| text != "9") {
        got.push(again.message().await?);
    }
    // The quality of service is "at least once": a message that was not acknowledged may come
    // again.
    got.dedup();
    assert!(numbers(0..10).all(|number| got.contains(&number)), "{got:?}");
    again.disconnect().await?;
    // A clean session of the same name ends the kept session.
    let mut clean = Subscriber::new("cancelled", true);
    clean.next(|packet| matches!(packet, Incoming::ConnAck(_)).then_some(())).await?;
    clean.disconnect().await
}

/// All messages published before the disconnect have arrived.
async fn mqtt_shutdown() -> Outcome {
    let mut subscriber = Subscriber::new("shutdown", true);
    subscriber.subscribe("shutdown").await?;
    let publisher = Subscriber::new("leaving", true);
    for text in numbers(0..20) {
        publisher.client.publish("shutdown", QoS::AtLeastOnce, false, text).await?;
    }
    publisher.disconnect().await?;
    for number in numbers(0..20) {
        assert_eq!(subscriber.message().await?, number);
    }
    subscriber.disconnect().await
}
