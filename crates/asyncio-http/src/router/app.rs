//! [`App`].

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_loop::machinery::around_user;
use axum_core::extract::{DefaultBodyLimit, Request};
use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use super::handler::{Call, Handler, erase};
use super::path::Parameters;
use crate::body::LocalBody;
use crate::received::Received;
use crate::service::{IntoService, Made, Service};

/// Routes for handlers of one loop, which share data by `Rc`.
///
/// A handler is an async function or closure. Its arguments are axum's extractors: `Json`, `Query`,
/// `Form`, `HeaderMap`, a `String`, the [`Request`] itself; the last one may take the body. The
/// parameters of a path come by [`Path`](super::Path). It returns any type that axum accepts as an
/// answer, or a `Result` of two such types.
///
/// Paths have axum's syntax: `/users/{id}`, `/files/{*rest}`. A route for `GET` also answers
/// `HEAD`.
///
/// # From aiohttp
///
/// `web.Application`. Data is captured by the closures instead of kept in `app[…]`; `match_info` is
/// [`Path`](super::Path).
///
/// # From axum
///
/// Handlers need not be `Send`, and there is no `State`: closures capture it. Extractors that
/// belong to axum's own router (`MatchedPath`, axum's `Path`, `OriginalUri`) do not work here.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use asyncio_http::{App, Path};
/// use asyncio_http::testing::TestClient;
///
/// asyncio_task::run(async {
///     let visits = Rc::new(Cell::new(0));
///     let app = App::new()
///         .get("/", {
///             let visits = visits.clone();
///             async move || {
///                 visits.set(visits.get() + 1);
///                 format!("visit {}", visits.get())
///             }
///         })
///         .get("/hello/{name}", async |Path(name): Path<String>| {
///             asyncio_task::sleep(Duration::from_millis(1)).await; // asks a database
///             format!("hello {name}")
///         });
///     let client = TestClient::new(app);
///     assert_eq!(client.get("/hello/Ada").await?.text().await?, "hello Ada");
///     assert_eq!(client.get("/").await?.text().await?, "visit 1");
///     assert_eq!(client.get("/other").await?.status(), 404);
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[derive(Default)]
#[must_use = "an app is served by `serve`"]
pub struct App {
    routes: matchit::Router<Route>,
    fallback: Option<Call>,
    middlewares: Vec<Middleware>,
    body_limit: Option<DefaultBodyLimit>,
}

type Middleware = Rc<dyn Fn(Request, Next) -> Pin<Box<dyn Future<Output = Response>>>>;

/// The handlers of one path.
#[derive(Default)]
struct Route(Vec<(Option<Method>, Call)>);

impl Route {
    fn add(&mut self, path: &str, method: Option<Method>, call: Call) {
        let is_new = self.0.iter().all(|(known, _)| *known != method);
        assert!(is_new, "two handlers for {method:?} of the path {path:?}");
        self.0.push((method, call));
    }

    fn find(&self, method: &Method) -> Option<&Call> {
        let named = |wanted: Option<&Method>| {
            self.0.iter().find(|(method, _)| method.as_ref() == wanted).map(|(_, call)| call)
        };
        let get = || (method == Method::HEAD).then(|| named(Some(&Method::GET))).flatten();
        named(Some(method)).or_else(get).or_else(|| named(None))
    }

    /// Status 405, with the allowed methods.
    fn refuse(&self) -> Response {
        let mut names: Vec<&str> = Vec::new();
        for method in self.0.iter().filter_map(|(method, _)| method.as_ref()) {
            names.push(method.as_str());
            if method == Method::GET {
                names.push("HEAD");
            }
        }
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
            response.headers_mut().insert(header::ALLOW, names);
        }
        response
    }
}

impl App {
    /// An app without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for `GET`, which also answers `HEAD`.
    ///
    /// # Panics
    ///
    /// If the path is malformed or conflicts with an earlier one.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn get<A>(self, path: &str, handler: impl Handler<A>) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// Adds a handler for `POST`.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::Json;
    /// use asyncio_http::App;
    /// use asyncio_http::testing::TestClient;
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new().post("/sum", async |Json(numbers): Json<Vec<i64>>| {
    ///         Json(numbers.iter().sum::<i64>())
    ///     });
    ///     let client = TestClient::new(app);
    ///     let answer = client.post("/sum").json(&[1, 2, 3]).await?;
    ///     assert_eq!(answer.json::<i64>().await?, 6);
    ///     Ok::<_, asyncio_http::ClientError>(())
    /// }).unwrap();
    /// ```
    pub fn post<A>(self, path: &str, handler: impl Handler<A>) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// Adds a handler for `PUT`.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn put<A>(self, path: &str, handler: impl Handler<A>) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// Adds a handler for `PATCH`.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn patch<A>(self, path: &str, handler: impl Handler<A>) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// Adds a handler for `DELETE`.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn delete<A>(self, path: &str, handler: impl Handler<A>) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// Adds a handler for any method.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn route<A>(mut self, method: Method, path: &str, handler: impl Handler<A>) -> Self {
        self.add(path, Some(method), erase(handler));
        self
    }

    /// Adds a handler for all methods without a handler of their own.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn any<A>(mut self, path: &str, handler: impl Handler<A>) -> Self {
        self.add(path, None, erase(handler));
        self
    }

    fn add(&mut self, path: &str, method: Option<Method>, call: Call) {
        // `at_mut` would also match other routes.
        match self.routes.remove(path) {
            Some(mut route) => {
                route.add(path, method, call);
                self.insert(path, route);
            }
            None => self.insert(path, Route(vec![(method, call)])),
        }
    }

    fn insert(&mut self, path: &str, route: Route) {
        if let Err(error) = self.routes.insert(path, route) {
            panic!("the path {path:?} cannot be added: {error}");
        }
    }

    /// Answers requests for paths without a route. By default they get status 404.
    pub fn fallback<A>(mut self, handler: impl Handler<A>) -> Self {
        self.fallback = Some(erase(handler));
        self
    }

    /// Wraps all handlers, including the fallback, in a function. The function that is added first
    /// is the outermost.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_http::{App, Next, Request, Response, StatusCode, IntoResponse};
    /// use asyncio_http::testing::TestClient;
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new()
    ///         .get("/", async || "hello")
    ///         .middleware(async |request: Request, next: Next| -> Response {
    ///             if request.headers().contains_key("authorization") {
    ///                 next.run(request).await
    ///             } else {
    ///                 StatusCode::UNAUTHORIZED.into_response()
    ///             }
    ///         });
    ///     let client = TestClient::new(app);
    ///     assert_eq!(client.get("/").await?.status(), 401);
    ///     assert_eq!(client.get("/").bearer_auth("secret").await?.status(), 200);
    ///     Ok::<_, asyncio_http::ClientError>(())
    /// }).unwrap();
    /// ```
    pub fn middleware<F, R>(mut self, middleware: F) -> Self
    where
        F: AsyncFn(Request, Next) -> R + 'static,
        R: IntoResponse,
    {
        let middleware = Rc::new(middleware);
        self.middlewares.push(Rc::new(move |request, next| {
            let middleware = Rc::clone(&middleware);
            Box::pin(async move { middleware(request, next).await.into_response() })
        }));
        self
    }

    /// How long a request body may be for extractors; a longer one is refused with status
    /// 413. The default is 2 MB, as in axum. A handler that takes the [`Request`] has no limit.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.body_limit = Some(DefaultBodyLimit::max(bytes));
        self
    }

    /// Finds the route's handler and adds the path's parameters to the request, or returns a
    /// refusal.
    fn find(&self, request: &mut Request) -> Result<&Call, Box<Response>> {
        let refuse = |status: StatusCode| Box::new(status.into_response());
        let Ok(found) = self.routes.at(request.uri().path()) else {
            return self.fallback.as_ref().ok_or_else(|| refuse(StatusCode::NOT_FOUND));
        };
        let Some(call) = found.value.find(request.method()) else {
            return Err(Box::new(found.value.refuse()));
        };
        let parameters = Parameters::new(found.params.iter()).map_err(refuse)?;
        if let Some(parameters) = parameters {
            request.extensions_mut().insert(parameters);
        }
        Ok(call)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("middlewares", &self.middlewares.len()).finish_non_exhaustive()
    }
}

/// The next middleware, or the handler.
pub struct Next {
    app: Rc<App>,
    depth: usize,
}

impl Next {
    /// Calls the next middleware or the handler, and returns its answer.
    ///
    /// # Examples
    ///
    /// See [`App::middleware`].
    pub fn run(mut self, mut request: Request) -> impl Future<Output = Response> {
        around_user(
            async move {
                if let Some(middleware) = self.app.middlewares.get(self.depth).cloned() {
                    self.depth += 1;
                    return middleware(request, self).await;
                }
                if let Some(limit) = self.app.body_limit {
                    limit.apply(&mut request);
                }
                let answer = match self.app.find(&mut request) {
                    Ok(call) => call(request),
                    Err(refusal) => return *refusal,
                };
                answer.await
            },
            &file!(),
        )
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl IntoService<Made> for App {
    fn into_service(self) -> Service {
        let app = Rc::new(self);
        Service::new(move |request| {
            let next = Next { app: Rc::clone(&app), depth: 0 };
            async move {
                let response = next.run(request.map(Received::into_body)).await;
                Ok(response.map(LocalBody::new))
            }
        })
    }
}
