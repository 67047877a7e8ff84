//! Headers in the forms in which users give them.

use http::{HeaderName, HeaderValue};

use super::error::ClientError;

/// The name and value of a header. A malformed header is an error of the request.
pub(super) fn parse_header<N, V>(
    name: N,
    value: V,
) -> Result<(HeaderName, HeaderValue), ClientError>
where
    N: TryInto<HeaderName, Error: Into<http::Error>>,
    V: TryInto<HeaderValue, Error: Into<http::Error>>,
{
    let name = name.try_into().map_err(|error| ClientError::request(error.into()))?;
    let value = value.try_into().map_err(|error| ClientError::request(error.into()))?;
    Ok((name, value))
}
