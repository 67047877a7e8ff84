//! Routes and handlers of an `App`.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_http::testing::TestClient;
use asyncio_http::{App, IntoResponse, Next, Path, Request, Response, StatusCode};
use asyncio_task::sleep;
use axum::Json;
use axum::extract::Query;
use common::run_in_virtual_time;

#[derive(serde::Deserialize)]
struct Page {
    book: String,
    number: u32,
}

#[derive(serde::Deserialize)]
struct Search {
    word: String,
    limit: Option<usize>,
}

#[test]
fn parameters_of_a_path_are_decoded_and_parsed() {
    run_in_virtual_time(async || {
        let app = App::new()
            .get("/one/{id}", async |Path(id): Path<u64>| id.to_string())
            .get("/two/{a}/{b}", async |Path((a, b)): Path<(i32, String)>| format!("{a} {b}"))
            .get("/page/{book}/{number}", async |Path(page): Path<Page>| {
                format!("{} {}", page.book, page.number)
            })
            .get("/files/{*rest}", async |Path(rest): Path<String>| rest)
            .get("/map/{k}", async |Path(map): Path<std::collections::HashMap<String, String>>| {
                format!("{map:?}")
            });
        let client = TestClient::new(app);
        for (path, expected) in [
            ("/one/7", "7"),
            ("/two/-1/caf%C3%A9", "-1 café"),
            ("/page/Moby%20Dick/12", "Moby Dick 12"),
            ("/files/a/b%2Fc", "a/b/c"),
            ("/map/v", "{\"k\": \"v\"}"),
        ] {
            assert_eq!(client.get(path).await?.text().await?, expected, "{path}");
        }
        for path in ["/one/seven", "/one/-1", "/two/x/y", "/page/a/b", "/one/%ff"] {
            assert_eq!(client.get(path).await?.status(), 400, "{path}");
        }
        Ok(())
    });
}

#[test]
fn methods_are_told_apart() {
    run_in_virtual_time(async || {
        let app = App::new()
            .get("/", async || "get")
            .post("/", async || "post")
            .any("/any", async || "any")
            .delete("/any", async || "delete");
        let client = TestClient::new(app);
        assert_eq!(client.get("/").await?.text().await?, "get");
        assert_eq!(client.post("/").await?.text().await?, "post");
        let head = client.head("/").await?;
        assert_eq!((head.status(), head.content_length()), (StatusCode::OK, Some(3)));
        assert_eq!(head.text().await?, "");
        let refused = client.put("/").await?;
        assert_eq!(refused.status(), 405);
        assert_eq!(refused.headers()["allow"], "GET, HEAD, POST");
        assert_eq!(client.patch("/any").await?.text().await?, "any");
        assert_eq!(client.delete("/any").await?.text().await?, "delete");
        assert_eq!(client.get("/none").await?.status(), 404);
        Ok(())
    });
}

#[test]
fn handlers_share_data_without_locks_and_wait_with_ours() {
    run_in_virtual_time(async || {
        let notes = Rc::new(RefCell::new(Vec::<String>::new()));
        let app = App::new()
            .post("/notes", {
                let notes = notes.clone();
                async move |Json(note): Json<String>| {
                    sleep(Duration::from_secs(1)).await;
                    notes.borrow_mut().push(note);
                    StatusCode::CREATED
                }
            })
            .get("/notes", {
                let notes = notes.clone();
                async move |Query(search): Query<Search>| {
                    let notes = notes.borrow();
                    let found = notes.iter().filter(|note| note.contains(&search.word));
                    Json(found.take(search.limit.unwrap_or(10)).cloned().collect::<Vec<_>>())
                }
            });
        let client = TestClient::new(app);
        for note in ["milk", "silk", "bread"] {
            assert_eq!(client.post("/notes").json(note).await?.status(), 201);
        }
        let found = client.get("/notes").query(&[("word", "ilk"), ("limit", "1")]).await?;
        assert_eq!(found.json::<Vec<String>>().await?, ["milk"]);
        assert_eq!(client.get("/notes").await?.status(), 400, "the query is missing");
        let refused = client.post("/notes").body("milk").await?;
        assert_eq!(refused.status(), 415, "no JSON");
        Ok(())
    });
}

#[test]
fn bodies_have_a_limit() {
    run_in_virtual_time(async || {
        let app = || App::new().post("/", async |body: String| body.len().to_string());
        let client = TestClient::new(app());
        let long = "x".repeat(3_000_000);
        assert_eq!(client.post("/").body(long.clone()).await?.status(), 413);
        let client = TestClient::new(app().max_body(4_000_000));
        assert_eq!(client.post("/").body(long).await?.text().await?, "3000000");
        let client = TestClient::new(app().max_body(10));
        assert_eq!(client.post("/").body("x".repeat(11)).await?.status(), 413);
        Ok(())
    });
}

#[test]
fn middlewares_wrap_each_other_and_the_fallback() {
    run_in_virtual_time(async || {
        let tagged = |tag: &'static str| {
            async move |request: Request, next: Next| -> Response {
                let mut response = next.run(request).await;
                response.headers_mut().append("tag", tag.parse().unwrap());
                response
            }
        };
        let app = App::new()
            .get("/", async || "hello")
            .fallback(async || (StatusCode::NOT_FOUND, "nothing here"))
            .middleware(tagged("outer"))
            .middleware(tagged("inner"))
            .middleware(async |request: Request, next: Next| -> Response {
                if request.uri().path() == "/secret" {
                    return StatusCode::FORBIDDEN.into_response();
                }
                next.run(request).await
            });
        let client = TestClient::new(app);
        for (path, status) in [("/", 200), ("/none", 404), ("/secret", 403)] {
            let answer = client.get(path).await?;
            assert_eq!(answer.status(), status, "{path}");
            let tags: Vec<_> = answer.headers().get_all("tag").iter().collect();
            assert_eq!(tags, ["inner", "outer"], "{path}");
        }
        Ok(())
    });
}

#[test]
#[should_panic(expected = "two handlers for Some(GET) of the path \"/{id}\"")]
fn two_handlers_of_one_route_are_a_mistake() {
    let _ = App::new().get("/{id}", async || "one").get("/{id}", async || "two");
}

#[test]
#[should_panic(expected = "the path \"/{name}\" cannot be added")]
fn paths_that_contradict_each_other_are_a_mistake() {
    let _ = App::new().get("/{id}", async || "one").post("/{name}", async || "two");
}
