//! A client over stdio.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    messages::{self, Era, INITIALIZED},
    server::Process,
    stats::Times,
};

/// A server and the pipes to it.
pub(crate) struct Client {
    pub(crate) process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: String,
    /// From before the process was started until its first answer was read.
    pub(crate) first_answer: Duration,
}

impl Client {
    /// Starts a server and opens as the protocol generation does.
    pub(crate) fn start(mut command: Command, era: Era) -> Self {
        let began = Instant::now();
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let process = Process(child);
        let mut client = Self { process, stdin, stdout, line: String::new(), first_answer: Duration::ZERO };
        client.send(&era.open(0));
        assert!(client.receive().contains(r#""result""#), "{}", client.line);
        client.first_answer = began.elapsed();
        if era == Era::Sessions {
            client.send(INITIALIZED);
        }
        client
    }

    fn send(&mut self, message: &str) {
        self.stdin.write_all(format!("{message}\n").as_bytes()).expect("the server reads");
    }

    fn receive(&mut self) -> &str {
        self.line.clear();
        self.stdout.read_line(&mut self.line).expect("the server writes");
        self.line.trim_end()
    }

    /// The result of one request.
    pub(crate) fn ask(&mut self, request: &str) -> Value {
        self.send(request);
        let answer: Value = serde_json::from_str(self.receive()).expect("JSON");
        answer["result"].clone()
    }

    /// The bytes of an answer, without its line end.
    pub(crate) fn size(&mut self, request: &str) -> usize {
        self.send(request);
        self.receive().len()
    }

    /// Sends so many requests with some of them under way at once; each answer must hold `proof`.
    pub(crate) fn load(
        &mut self,
        total: u64,
        at_once: u64,
        request: impl Fn(u64) -> String,
        proof: &str,
    ) -> (Times, Duration) {
        let mut under_way = HashMap::new();
        let mut times = Vec::new();
        let began = Instant::now();
        let ids = 1..=total;
        let mut left = ids.into_iter();
        for id in left.by_ref().take(usize::try_from(at_once).expect("a small number")) {
            under_way.insert(id, Instant::now());
            self.send(&request(id));
        }
        while !under_way.is_empty() {
            let answer = self.receive();
            assert!(answer.contains(proof), "{answer}");
            let sent = under_way.remove(&messages::id(answer)).expect("a request under way");
            times.push(sent.elapsed());
            if let Some(id) = left.next() {
                under_way.insert(id, Instant::now());
                self.send(&request(id));
            }
        }
        (Times::new(times), began.elapsed())
    }
}
