//! Compiles and runs the examples of the READMEs as documentation tests.

#[doc = include_str!("../../../README.md")]
struct Top;

#[doc = include_str!("../README.md")]
struct Facade;

#[doc = include_str!("../../asyncio-loop/README.md")]
struct Loop;

#[doc = include_str!("../../asyncio-macros/README.md")]
struct Macros;

#[cfg(feature = "monitor")]
#[doc = include_str!("../../asyncio-monitor/README.md")]
struct Monitor;

#[doc = include_str!("../../asyncio-net/README.md")]
struct Net;

#[doc = include_str!("../../../docs/MULTICORE.md")]
struct MultiCore;

#[doc = include_str!("../../../docs/DEBUGGING.md")]
struct Debugging;

#[doc = include_str!("../../asyncio-process/README.md")]
struct Process;

#[doc = include_str!("../../asyncio-sync/README.md")]
struct Sync;

#[doc = include_str!("../../../docs/SYNC.md")]
struct SyncGuide;

#[doc = include_str!("../../asyncio-task/README.md")]
struct Task;

#[cfg(feature = "testing")]
#[doc = include_str!("../../asyncio-testing/README.md")]
struct Testing;

#[doc = include_str!("../../../docs/CANCELLATION.md")]
struct Cancellation;

#[doc = include_str!("../../../docs/EMBEDDING.md")]
struct Embedding;

#[cfg(feature = "tokio-runtime")]
#[doc = include_str!("../../asyncio-tokio/README.md")]
struct Tokio;

#[cfg(feature = "tls")]
#[doc = include_str!("../../../docs/TLS.md")]
struct Tls;

#[cfg(all(feature = "http", feature = "tls"))]
#[doc = include_str!("../../../docs/HTTP.md")]
struct Http;
