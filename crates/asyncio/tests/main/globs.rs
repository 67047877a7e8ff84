//! A glob import of the facade leaves the names of the language alone.

#[allow(unused_imports)]
use asyncio::*;

#[test]
fn test_is_the_attribute_of_the_language() {
    assert_eq!(run(async { 1 }), 1);
}

#[asyncio::testing::test]
async fn an_async_test_has_a_loop() {
    assert!(running_loop().is_running());
}
