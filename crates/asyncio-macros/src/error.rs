//! Errors that the compiler shows at the offending token.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

pub(crate) struct Error {
    span: Span,
    message: String,
    /// The item is defined despite the error, so that the compiler does not also report it as
    /// missing.
    function: Option<Ident>,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), function: None }
    }

    pub(crate) fn in_function(self, function: Option<Ident>) -> Self {
        Self { function, ..self }
    }

    /// `compile_error! { "message" }`, inside a function if there is one.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let error = self.compile_error();
        let Some(name) = self.function else { return error };
        let mut function: TokenStream = "fn".parse().expect("a token");
        function.extend([
            TokenTree::Ident(name),
            Group::new(Delimiter::Parenthesis, TokenStream::new()).into(),
            Group::new(Delimiter::Brace, error).into(),
        ]);
        function
    }

    fn compile_error(&self) -> TokenStream {
        let message: TokenTree = Literal::string(&self.message).into();
        let tokens = [
            Ident::new("compile_error", self.span).into(),
            Punct::new('!', Spacing::Alone).into(),
            Group::new(Delimiter::Brace, message.into()).into(),
        ];
        let at_span = |mut token: TokenTree| {
            token.set_span(self.span);
            token
        };
        tokens.into_iter().map(at_span).collect()
    }
}
