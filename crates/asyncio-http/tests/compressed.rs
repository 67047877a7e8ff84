//! Answers that are compressed.
#![cfg(all(feature = "gzip", feature = "brotli", feature = "zstd"))]

mod common;

use asyncio_http::testing::TestClient;
use asyncio_http::{App, ClientErrorKind, HeaderMap};
use common::run_in_virtual_time;
use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::flate::params::FlateEncoderParams;
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder};

const ENCODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn encoder(name: &str) -> Box<dyn EncodeV2> {
    let level = FlateEncoderParams::from(Level::Fastest);
    match name {
        "gzip" => Box::new(GzipEncoder::new(level)),
        "deflate" => Box::new(ZlibEncoder::new(level)),
        "br" => Box::new(BrotliEncoder::new(EncoderParams::default().quality(Level::Fastest))),
        _ => Box::new(ZstdEncoder::new(1)),
    }
}

fn compress(name: &str, text: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(name);
    let mut room = vec![0; text.len() + 10_000];
    let mut output = WriteBuffer::new_initialized(&mut room);
    let mut input = PartialBuffer::new(text);
    while !input.unwritten().is_empty() {
        encoder.encode(&mut input, &mut output).unwrap();
    }
    while !encoder.finish(&mut output).unwrap() {}
    let count = output.written_len();
    room.truncate(count);
    room
}

/// Answers every request with this.
fn app(encoding: &'static str, body: Vec<u8>) -> App {
    App::new().get("/", async move |headers: HeaderMap| {
        let accepted = headers.get("accept-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(accepted, Some("gzip, deflate, br, zstd"));
        ([("content-encoding", encoding)], body.clone())
    })
}

#[test]
fn answers_are_decompressed() {
    run_in_virtual_time(async || {
        for name in ENCODINGS {
            for text in ["hello ".repeat(100_000), "x".to_owned(), String::new()] {
                let client = TestClient::new(app(name, compress(name, text.as_bytes())));
                let answer = client.get("/").await?;
                assert!(answer.headers().get("content-encoding").is_none());
                assert_eq!(
                    answer.content_length(),
                    None,
                    "the length of the compressed body is removed"
                );
                assert!(answer.text().await? == text, "{name}: {} bytes", text.len());
                assert_eq!(client.connection_count(), 1, "{name}: it is kept");
            }
        }
        Ok(())
    });
}

#[test]
fn several_texts_may_follow_one_another() {
    run_in_virtual_time(async || {
        for name in ["gzip", "zstd"] {
            let body = [compress(name, b"one "), compress(name, b"two")].concat();
            let client = TestClient::new(app(name, body));
            assert_eq!(client.get("/").await?.text().await?, "one two", "{name}");
        }
        Ok(())
    });
}

#[test]
fn what_is_not_asked_for_or_not_known_is_left_alone() {
    run_in_virtual_time(async || {
        let raw = || App::new().get("/", async || ([("content-encoding", "gzip")], "raw"));
        let client = TestClient::with_session(raw(), |session| session.decompress(false));
        assert_eq!(client.get("/").await?.text().await?, "raw");
        let client = TestClient::new(app("identity", b"raw".to_vec()));
        let answer = client.get("/").await?;
        assert_eq!(answer.headers()["content-encoding"], "identity");
        assert_eq!(answer.text().await?, "raw");
        // There is no body to decompress.
        let client = TestClient::new(app("gzip", compress("gzip", b"text")));
        assert_eq!(client.head("/").await?.text().await?, "");
        Ok(())
    });
}

#[test]
fn what_is_cut_or_malformed_is_an_error() {
    run_in_virtual_time(async || {
        for name in ENCODINGS {
            let text: Vec<u8> = (0..20_000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
            let whole = compress(name, &text[..40_000]);
            let cut = [whole.len() - 1, whole.len() / 2, 5].map(|length| whole[..length].to_vec());
            for body in cut.into_iter().chain([b"\xff\xfe\xfd no such thing".to_vec()]) {
                let length = body.len();
                let client = TestClient::new(app(name, body));
                let error = client.get("/").await?.text().await.unwrap_err();
                assert_eq!(error.kind(), ClientErrorKind::Decode, "{name}, {length}: {error}");
                assert_eq!(client.connection_count(), 0, "{name}, {length}: it is of no use");
            }
        }
        Ok(())
    });
}

#[test]
fn a_bomb_comes_in_small_pieces_or_not_at_all() {
    run_in_virtual_time(async || {
        for name in ENCODINGS {
            let bomb = compress(name, &vec![0; 10_000_000]);
            assert!(bomb.len() < 100_000, "{name}: {}", bomb.len());
            let client =
                TestClient::with_session(app(name, bomb), |session| session.max_body(1_000_000));
            let error = client.get("/").await?.bytes().await.unwrap_err();
            assert_eq!(error.kind(), ClientErrorKind::TooLarge, "{name}");
            let mut answer = client.get("/").await?;
            let mut length = 0;
            while let Some(piece) = answer.chunk().await? {
                assert!(piece.len() <= 64 * 1024, "{name}: {}", piece.len());
                length += piece.len();
            }
            assert_eq!(length, 10_000_000, "{name}");
        }
        Ok(())
    });
}
