//! The printed form of a call graph.

use std::fmt;
use std::io::{self, Write};

use asyncio_loop::NoRunningLoop;

use super::{CallGraph, Subject, capture_call_graph};

/// The printed form of the current task's graph; `None` in a callback.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_task::{format_call_graph, run};
///
/// run(async {
///     let text = format_call_graph().unwrap().unwrap();
///     assert!(text.starts_with("* Task(name='Task-"));
///     assert!(text.contains("  + Call stack:\n  |   File '"));
/// });
/// ```
#[track_caller]
pub fn format_call_graph() -> Result<Option<String>, NoRunningLoop> {
    Ok(capture_call_graph()?.map(|graph| graph.to_string()))
}

/// Writes the printed form of the current task's graph. Writes nothing in a callback.
///
/// # Errors
///
/// The errors of `writer`, and an error of kind `Other` if no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_task::{print_call_graph, run};
///
/// run(async {
///     let mut text = Vec::new();
///     print_call_graph(&mut text).unwrap();
///     assert!(text.starts_with(b"* Task("));
/// });
/// ```
#[track_caller]
pub fn print_call_graph(writer: &mut impl Write) -> io::Result<()> {
    match capture_call_graph().map_err(io::Error::other)? {
        Some(graph) => writeln!(writer, "{graph}"),
        None => Ok(()),
    }
}

impl CallGraph {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        match &self.subject {
            Subject::Task(task) => {
                write!(f, "{:indent$}* Task(name='{}', id={})", "", task.name, task.id)?;
            }
            Subject::Promise { id, .. } => write!(f, "{:indent$}* Future(id={id:#x})", "")?,
        }
        if !self.call_stack.is_empty() {
            write!(f, "\n{:indent$}  + Call stack:", "")?;
        }
        for frame in &self.call_stack {
            write!(f, "\n{:indent$}  |   {frame}", "")?;
        }
        if !self.awaited_by.is_empty() {
            write!(f, "\n{:indent$}  + Awaited by:", "")?;
        }
        for graph in &self.awaited_by {
            writeln!(f)?;
            graph.write(f, indent + 4)?;
        }
        Ok(())
    }
}

impl fmt::Display for CallGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}
