//! A file behaves like the standard library's under random operations, also when futures are
//! dropped half-way.

use std::future::poll_fn;
use std::io::SeekFrom;
use std::pin::pin;
use std::task::Poll;

use asyncio_fs::File;
use asyncio_task::run;
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    ReadToEnd,
    Write(usize),
    Flush,
    Seek(i64),
    SetLen(u64),
    /// Starts to read, and drops the future after one poll.
    DropRead,
    DropReadToEnd,
    DropFlush,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..400_000).prop_map(Step::Read),
        1 => Just(Step::ReadToEnd),
        4 => prop_oneof![1_usize..100, 1_usize..600_000].prop_map(Step::Write),
        1 => Just(Step::Flush),
        3 => (-500_000_i64..500_000).prop_map(Step::Seek),
        1 => (0_u64..500_000).prop_map(Step::SetLen),
        2 => Just(Step::DropRead),
        1 => Just(Step::DropReadToEnd),
        2 => Just(Step::DropFlush),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..24)
}

/// The content and the position.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    at: usize,
    written: u8,
}

impl Model {
    fn read(&mut self, count: usize) -> Vec<u8> {
        let from = self.at.min(self.bytes.len());
        let to = (self.at + count).min(self.bytes.len()).max(from);
        self.at += to - from;
        self.bytes[from..to].to_vec()
    }

    /// The bytes to write next, which are in the model from now on.
    fn write(&mut self, count: usize) -> Vec<u8> {
        self.written = self.written.wrapping_add(1);
        let data = vec![self.written; count];
        let end = self.at + count;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.at..end].copy_from_slice(&data);
        self.at = end;
        data
    }
}

async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        Poll::Ready(if let Poll::Ready(output) = poll { Some(output) } else { None })
    })
    .await
}

async fn read_full(file: &mut File, count: usize) -> Vec<u8> {
    let (mut read, mut buffer) = (vec![], vec![0; count]);
    while read.len() < count {
        let room = count - read.len();
        match file.read(&mut buffer[..room]).await.unwrap() {
            0 => break,
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
    read
}

async fn take(file: &mut File, model: &mut Model, step: Step) {
    match step {
        Step::Read(count) => assert!(read_full(file, count).await == model.read(count)),
        Step::ReadToEnd => {
            let mut read = vec![];
            file.read_to_end(&mut read).await.unwrap();
            assert!(read == model.read(usize::MAX / 2));
        }
        Step::Write(count) => file.write_all(&model.write(count)).await.unwrap(),
        Step::Flush => file.flush().await.unwrap(),
        Step::Seek(by) => {
            let to = i64::try_from(model.at).unwrap() + by;
            match file.seek(SeekFrom::Current(by)).await {
                Ok(at) => {
                    model.at = usize::try_from(at).unwrap();
                    assert_eq!(i64::try_from(at).unwrap(), to);
                }
                Err(_) => assert!(to < 0),
            }
        }
        Step::SetLen(len) => {
            file.set_len(len).await.unwrap();
            model.bytes.resize(usize::try_from(len).unwrap(), 0);
        }
        Step::DropRead => {
            let mut buffer = [0; 1000];
            if let Some(count) = poll_once(file.read(&mut buffer)).await {
                let count = count.unwrap();
                assert!(buffer[..count] == model.read(count));
            }
        }
        Step::DropReadToEnd => {
            let mut read = vec![];
            if poll_once(file.read_to_end(&mut read)).await.is_some() {
                assert!(read == model.read(usize::MAX / 2));
            }
        }
        Step::DropFlush => drop(poll_once(file.flush()).await),
        Step::Reopen => {
            let std = file.try_clone().await.unwrap().into_std().await.unwrap();
            let old = std::mem::replace(file, File::from_std(std));
            let std = old.into_std().await.unwrap();
            *file = File::from_std(std);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn files_agree_with_a_model(steps in steps()) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        run(async {
            let mut file = File::create_new(&path).await.unwrap();
            let mut model = Model::default();
            for step in steps {
                take(&mut file, &mut model, step).await;
            }
            assert_eq!(file.stream_position().await.unwrap(), model.at as u64);
            file.close().await.unwrap();
            assert!(std::fs::read(&path).unwrap() == model.bytes);
        });
    }
}
