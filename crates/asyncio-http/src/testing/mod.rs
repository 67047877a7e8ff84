//! Testing servers without sockets: [`TestClient`].

mod client;
mod pipe;

pub use client::TestClient;
