//! [`Path`]: the parameters of a path.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The parameters of the path of an [`App`](super::App)'s route, `{name}` or `{*rest}`: one value,
/// a tuple in the order of the path, or a struct with a field of each name.
///
/// # From aiohttp
///
/// `request.match_info`.
///
/// # Examples
///
/// ```
/// use asyncio_http::{App, Path};
/// use asyncio_http::testing::TestClient;
///
/// #[derive(serde::Deserialize)]
/// struct Page {
///     book: String,
///     number: u32,
/// }
///
/// asyncio_task::run(async {
///     let app = App::new()
///         .get("/square/{number}", async |Path(number): Path<i64>| (number * number).to_string())
///         .get("/{book}/{number}", async |Path(page): Path<Page>| {
///             format!("page {} of {}", page.number, page.book)
///         });
///     let client = TestClient::new(app);
///     assert_eq!(client.get("/square/7").await?.text().await?, "49");
///     assert_eq!(client.get("/Moby%20Dick/3").await?.text().await?, "page 3 of Moby Dick");
///     assert_eq!(client.get("/square/seven").await?.status(), 400);
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "match_info")]
pub struct Path<T>(pub T);

/// The names and decoded values of a path's parameters.
#[derive(Clone, Debug)]
pub(super) struct Parameters(Arc<Vec<(String, String)>>);

impl Parameters {
    /// `None` if there are no parameters. The error is the status of the answer if a parameter is
    /// not UTF-8.
    pub(super) fn new<'a>(
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, StatusCode> {
        let mut decoded = Vec::new();
        for (name, value) in parameters {
            let value = percent_decode(value).ok_or(StatusCode::BAD_REQUEST)?;
            decoded.push((name.to_owned(), value));
        }
        Ok((!decoded.is_empty()).then(|| Self(Arc::new(decoded))))
    }
}

/// `None` if the text is not UTF-8. A malformed escape stays as it is, as in browsers.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| first == b'%');
        let escaped = digits.and_then(|digits| {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).ok()
}

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = PathRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PathRejection> {
        let parameters: Option<&Parameters> = parts.extensions.get();
        let list = parameters.map_or(&[][..], |parameters| &parameters.0);
        T::deserialize(Values(list)).map(Self).map_err(PathRejection)
    }
}

/// The parameters of a path do not match the handler's type. The answer has status 400.
#[derive(Debug)]
pub struct PathRejection(Error);

impl fmt::Display for PathRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unfit path: {}", self.0)
    }
}

impl std::error::Error for PathRejection {}

impl IntoResponse for PathRejection {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.to_string()).into_response()
    }
}

/// All parameters of a path.
struct Values<'a>(&'a [(String, String)]);

impl<'a> Values<'a> {
    fn only(&self) -> Result<Value<'a>, Error> {
        match self.0 {
            [(_, value)] => Ok(Value(value)),
            list => Err(Error::custom(format_args!("{} parameters instead of one", list.len()))),
        }
    }
}

macro_rules! of_the_only_one {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values<'de> {
    type Error = Error;

    of_the_only_one! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.0.iter().map(|(name, value)| (name.as_str(), Value(value)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.0.iter().map(|(_, value)| Value(value))))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.len() != count {
            let found = self.0.len();
            return Err(Error::custom(format_args!("{found} parameters instead of {count}")));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(count, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { unit_struct map struct identifier ignored_any }
}

/// One parameter.
struct Value<'a>(&'a str);

impl Value<'_> {
    fn parse<T: FromStr>(&self) -> Result<T, Error> {
        self.0.parse().map_err(|_| {
            let wanted = std::any::type_name::<T>();
            Error::custom(format_args!("{:?} is not of the type {wanted}", self.0))
        })
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.parse()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32
        deserialize_i64 visit_i64 deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32
        deserialize_u64 visit_u64 deserialize_u128 visit_u128
        deserialize_f32 visit_f32 deserialize_f64 visit_f64 deserialize_char visit_char
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
