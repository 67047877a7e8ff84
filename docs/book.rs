//! The pages of the book whose programs are whole: each is compiled and run as a documentation
//! test. The pages of the reference are tested with the crates.

macro_rules! pages {
    ($($name:ident: $path:literal),* $(,)?) => {$(
        #[cfg(doctest)]
        #[doc = include_str!($path)]
        struct $name;
    )*};
}

pages! {
    FirstProgram: "guide/01-first-program.md",
    Tasks: "guide/02-tasks.md",
    Groups: "guide/03-groups.md",
    Time: "guide/04-time.md",
    Cancellation: "guide/05-cancellation.md",
    Sharing: "guide/06-sharing.md",
    Network: "guide/07-network.md",
    ProgramsAndFiles: "guide/08-programs-and-files.md",
    Threads: "guide/09-threads.md",
    Service: "guide/10-service.md",
    RecipesTime: "cookbook/time.md",
    RecipesTasks: "cookbook/tasks.md",
    RecipesNetwork: "cookbook/network.md",
    RecipesFiles: "cookbook/files-and-terminals.md",
    RecipesThreads: "cookbook/threads-and-processes.md",
    Streams: "STREAMS.md",
    FromPython: "FROM_PYTHON.md",
    FromTokio: "FROM_TOKIO.md",
}
