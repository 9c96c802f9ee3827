//! Asks an HTTP server over keep-alive connections, one blocking thread each, and says how long it took.
//!
//! load HOST:PORT PATH TOKEN ACCEPT BODIES CONNECTIONS SECONDS again|once
//!
//! BODIES: a file with one JSON body per line; the connections take turns through it. With `once` the run
//! ends after the last line, so that every body is asked a single time. Prints one line of JSON. A response
//! fails if its status is not 200 or it starts with `{"errors"`; it differs if its bytes are not those of the
//! first response to the same body.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 1 << 18;
const ANSWER_S_MAX: u64 = 120;
// The kernel counts processor time of a process in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

struct Work {
    address: String,
    requests: Vec<Vec<u8>>,
    first_digests: Vec<AtomicU64>,
    next: AtomicUsize,
    seconds: f64,
    once: bool,
}

#[derive(Default)]
struct Seen {
    nanos: Vec<u64>,
    failures: u64,
    differing: u64,
    bytes: u64,
}

struct Answer {
    status: u16,
    body_bytes: u64,
    digest: u64,
    is_error: bool,
}

/// Reads responses from a stream; keeps what belongs to the next one.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// FNV-like over words of eight bytes: as fast as memory, enough to tell answers apart.
struct Digest {
    state: u64,
    rest: u64,
    rest_bytes: u32,
    head: Vec<u8>,
    bytes: u64,
}

impl Digest {
    fn new() -> Self {
        Digest { state: 0xcbf29ce484222325, rest: 0, rest_bytes: 0, head: Vec::with_capacity(16), bytes: 0 }
    }

    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        let wanted = 9usize.saturating_sub(self.head.len()).min(data.len());
        self.head.extend_from_slice(&data[..wanted]);
        let mut data = data;
        while self.rest_bytes != 0 && !data.is_empty() {
            self.byte(data[0]);
            data = &data[1..];
        }
        let mut words = data.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().unwrap()));
        }
        for &byte in words.remainder() {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.rest |= (byte as u64) << (8 * self.rest_bytes);
        self.rest_bytes += 1;
        if self.rest_bytes == 8 {
            let word = self.rest;
            self.rest = 0;
            self.rest_bytes = 0;
            self.mix(word);
        }
    }

    fn mix(&mut self, word: u64) {
        self.state = (self.state ^ word).wrapping_mul(0x9e3779b97f4a7c15).rotate_left(29);
    }

    fn finish(mut self) -> (u64, u64, bool) {
        let rest = self.rest ^ ((self.rest_bytes as u64) << 60);
        self.mix(rest);
        (self.bytes, self.state, self.head.starts_with(b"{\"errors\""))
    }
}

impl Reader {
    fn connect(address: &str) -> io::Result<Reader> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_S_MAX)))?;
        Ok(Reader { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 })
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            return Err(io::Error::other("a line is too long"));
        }
        let read = self.stream.read(&mut self.buffer[self.end..])?;
        if read == 0 {
            return Err(io::Error::other("the server closed the connection"));
        }
        self.end += read;
        Ok(())
    }

    /// The next line without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = 0;
        loop {
            let waiting = &self.buffer[self.start..self.end];
            if let Some(place) = waiting[looked..].iter().position(|&byte| byte == b'\n') {
                let line = waiting[..looked + place].trim_ascii_end().to_vec();
                self.start += looked + place + 1;
                return Ok(line);
            }
            looked = waiting.len();
            self.fill()?;
        }
    }

    fn take(&mut self, mut count: usize, digest: &mut Digest) -> io::Result<()> {
        while count > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let part = count.min(self.end - self.start);
            digest.add(&self.buffer[self.start..self.start + part]);
            self.start += part;
            count -= part;
        }
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let status = std::str::from_utf8(&first)
            .ok()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::other("no status line"))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let line = String::from_utf8_lossy(&line).to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut digest = Digest::new();
        if chunked {
            self.chunks(&mut digest)?;
        } else {
            self.take(length, &mut digest)?;
        }
        let (body_bytes, digest, is_error) = digest.finish();
        Ok(Answer { status, body_bytes, digest, is_error })
    }

    fn chunks(&mut self, digest: &mut Digest) -> io::Result<()> {
        loop {
            let line = String::from_utf8_lossy(&self.line()?).into_owned();
            let size = line.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(());
            }
            self.take(size, digest)?;
            self.line()?;
        }
    }
}

fn ask_all(work: &Work, started: Instant) -> io::Result<Seen> {
    let mut reader = Reader::connect(&work.address)?;
    let mut seen = Seen::default();
    while started.elapsed().as_secs_f64() < work.seconds {
        let turn = work.next.fetch_add(1, Ordering::Relaxed);
        if work.once && turn >= work.requests.len() {
            break;
        }
        let place = turn % work.requests.len();
        let asked = Instant::now();
        reader.stream.write_all(&work.requests[place])?;
        let answer = reader.answer()?;
        seen.nanos.push(asked.elapsed().as_nanos() as u64);
        seen.bytes += answer.body_bytes;
        seen.failures += (answer.status != 200 || answer.is_error) as u64;
        let digest = answer.digest | 1;
        let known = &work.first_digests[place];
        if let Err(before) = known.compare_exchange(0, digest, Ordering::Relaxed, Ordering::Relaxed) {
            seen.differing += (before != digest) as u64;
        }
    }
    Ok(seen)
}

fn requests_of(address: &str, path: &str, token: &str, accept: &str, bodies: &str) -> Vec<Vec<u8>> {
    bodies
        .lines()
        .map(|body| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
        .collect()
}

/// Seconds of processor time that this process used.
fn own_processor_s() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|&place| fields.get(place)?.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_S
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, path, token, accept, bodies, connections, seconds, mode] = arguments.as_slice() else {
        return Err(io::Error::other("load HOST:PORT PATH TOKEN ACCEPT BODIES CONNECTIONS SECONDS again|once"));
    };
    let requests = requests_of(address, path, token, accept, &fs::read_to_string(bodies)?);
    let work = Arc::new(Work {
        address: address.clone(),
        first_digests: requests.iter().map(|_| AtomicU64::new(0)).collect(),
        requests,
        next: AtomicUsize::new(0),
        seconds: seconds.parse().map_err(io::Error::other)?,
        once: mode == "once",
    });
    let started = Instant::now();
    let threads: Vec<_> = (0..connections.parse().map_err(io::Error::other)?)
        .map(|_| {
            let work = Arc::clone(&work);
            thread::spawn(move || ask_all(&work, started))
        })
        .collect();
    let mut all = Seen::default();
    for each in threads {
        let seen = each.join().map_err(|_| io::Error::other("a thread died"))??;
        all.nanos.extend(seen.nanos);
        all.failures += seen.failures;
        all.differing += seen.differing;
        all.bytes += seen.bytes;
    }
    tell(all, started.elapsed().as_secs_f64());
    Ok(())
}

fn tell(mut all: Seen, seconds: f64) {
    all.nanos.sort_unstable();
    let count = all.nanos.len();
    let at = |share: usize| all.nanos.get((count * share / 100).min(count.max(1) - 1)).map_or(0.0, |&n| n as f64 / 1e9);
    println!(
        "{{\"requests\": {count}, \"seconds\": {seconds}, \"failures\": {}, \"differing\": {}, \"bytes\": {}, \
         \"p50_s\": {}, \"p99_s\": {}, \"most_s\": {}, \"client_cpu_s\": {}}}",
        all.failures,
        all.differing,
        all.bytes,
        at(50),
        at(99),
        all.nanos.last().map_or(0.0, |&n| n as f64 / 1e9),
        own_processor_s()
    );
}
