//! A toy machine over loopback: what the driver owes to every machine.

use std::net::SocketAddr;
use std::time::Duration;

use machine::{Cx, DatagramMachine, Machine, OpId};
use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::{Arrival, Config, Counters, Events, Gone, Handle, Protocol, spawn};

/// How long a question may go unanswered.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers questions, and asks them.
#[derive(Default)]
struct Echo {
    asked: Vec<(u32, OpId)>,
    count: u32,
    heard: u32,
}

#[derive(Debug)]
enum Say {
    /// A machine of a node is asked; its answer repeats the number.
    Ask(SocketAddr, u8),
    /// Answer several times.
    Count(u8),
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Answered,
    Lost,
    Counted(u8),
    Heard(SocketAddr),
    Started,
}

/// Of a question or an answer: which machine, whether it is an answer, and the question's number.
type Word = (u8, bool, u32);

impl Machine for Echo {
    type Command = Say;
    type Event = Told;
    type Timer = u32;
    type Effect = machine::Send<SocketAddr, Word>;

    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        cx.emit(Told::Started);
    }

    fn on_command(&mut self, op: OpId, command: Say, cx: &mut Cx<'_, Self>) {
        match command {
            Say::Ask(to, node) => {
                self.count += 1;
                self.asked.push((self.count, op));
                cx.send(to, (node, false, self.count));
                cx.set_timer(PATIENCE, self.count);
            }
            Say::Count(to) => (0..=to).for_each(|n| cx.answer(op, Told::Counted(n))),
        }
    }

    fn on_timer(&mut self, timer: u32, cx: &mut Cx<'_, Self>) {
        if let Some(at) = self.asked.iter().position(|(number, _)| *number == timer) {
            cx.answer(self.asked.swap_remove(at).1, Told::Lost);
        }
    }
}

impl DatagramMachine for Echo {
    type Contact = SocketAddr;
    type Message = Word;

    fn on_message(&mut self, from: SocketAddr, word: Word, cx: &mut Cx<'_, Self>) {
        let (_, is_answer, number) = word;
        if !is_answer {
            self.heard += 1;
            cx.emit(Told::Heard(from));
            cx.send(from, (0, true, number));
        } else if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == number) {
            cx.answer(self.asked.swap_remove(at).1, Told::Answered);
        }
    }
}

struct EchoWire;

impl Protocol for EchoWire {
    type Machine = Echo;
    const DATAGRAM_MAX: usize = 6;

    fn decode(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Arrival<SocketAddr, Word>> {
        let &[node, answer @ (0 | 1), a, b, c, d] = datagram else { return None };
        let message = (node, answer == 1, u32::from_be_bytes([a, b, c, d]));
        Some(Arrival { node: node.into(), from, message })
    }

    fn encode(&mut self, _: usize, to: SocketAddr, word: Word, out: &mut Vec<u8>) -> SocketAddr {
        out.extend_from_slice(&[word.0, word.1.into()]);
        out.extend_from_slice(&word.2.to_be_bytes());
        to
    }

    fn is_last(event: &Told) -> bool {
        !matches!(event, Told::Counted(0..9))
    }
}

async fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind(address).await.expect("a socket")
}

/// `machines` behind one socket.
async fn node(
    address: &str,
    machines: usize,
    config: Config,
) -> (Handle<EchoWire>, Events<EchoWire>) {
    let machines = (0..machines).map(|_| Echo::default()).collect();
    spawn(socket(address).await, EchoWire, machines, config).expect("a node")
}

async fn counters(handle: &Handle<EchoWire>) -> Counters {
    handle.look(|_, counters| *counters).await.expect("it runs")
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), test);
}

#[test]
fn questions_are_answered_or_given_up() {
    run(async {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (one, _events) = node(address, 1, Config::default()).await;
            let (other, mut heard) = node(address, 1, Config::default()).await;
            assert_eq!(one.call(Say::Ask(other.address(), 0)).await, Ok(Told::Answered));
            assert_eq!(heard.next().await, Some((0, Told::Started)));
            assert_eq!(heard.next().await, Some((0, Told::Heard(one.address()))));
            let silent = socket(address).await;
            let silent = Say::Ask(silent.local_addr().expect("an address"), 0);
            assert_eq!(one.call(silent).await, Ok(Told::Lost));
            let Counters { received, sent, .. } = counters(&one).await;
            assert_eq!((received, sent), (1, 2));
        }
    });
}

#[test]
fn a_flood_of_questions_is_answered_in_batches() {
    run(async {
        let (one, _events) = node("127.0.0.1:0", 1, Config::default()).await;
        let (other, _heard) = node("127.0.0.1:0", 1, Config::default()).await;
        let mut waiting = Vec::new();
        for _ in 0..1_000 {
            waiting.push(one.ask(Say::Ask(other.address(), 0)).await.expect("it runs"));
        }
        for mut answers in waiting {
            assert_eq!(answers.next().await, Some(Told::Answered));
            assert_eq!(answers.next().await, None);
        }
    });
}

#[test]
fn several_machines_share_a_socket() {
    run(async {
        let (one, _events) = node("127.0.0.1:0", 1, Config::default()).await;
        let (three, _heard) = node("127.0.0.1:0", 3, Config::default()).await;
        for node in [2, 1, 2] {
            let asked = one.call(Say::Ask(three.address(), node)).await;
            assert_eq!(asked, Ok(Told::Answered));
        }
        assert_eq!(one.call(Say::Ask(three.address(), 3)).await, Ok(Told::Lost), "no such one");
        let heard = three.look(|machines, _| machines.iter().map(|m| m.heard).collect()).await;
        assert_eq!(heard, Ok(vec![0, 1, 2]));
        assert_eq!(three.call_at(1, Say::Count(9)).await, Ok(Told::Counted(9)));
        assert_eq!(three.call_at(3, Say::Count(9)).await, Err(Gone), "no such one");
    });
}

#[test]
fn a_command_may_have_several_answers() {
    run(async {
        let (one, _events) = node("127.0.0.1:0", 1, Config::default()).await;
        let mut answers = one.ask(Say::Count(12)).await.expect("it runs");
        for n in 0..=9 {
            assert_eq!(answers.next().await, Some(Told::Counted(n)));
        }
        assert_eq!(answers.next().await, None, "the last was the last");
        assert_eq!(counters(&one).await.unheard, 3);
    });
}

#[test]
fn what_is_malformed_is_dropped_and_counted() {
    run(async {
        let (one, _events) = node("127.0.0.1:0", 1, Config::default()).await;
        let stranger = socket("127.0.0.1:0").await;
        for datagram in [&b""[..], b"short", b"longer", b"\0\0\0\0\0\x07\0", &[0; 1_400]] {
            stranger.send_to(datagram, one.address()).await.expect("sent");
        }
        stranger.send_to(&[0, 0, 0, 0, 0, 7], one.address()).await.expect("sent");
        let mut answer = [0; 16];
        let len = stranger.recv(&mut answer).await.expect("an answer");
        assert_eq!(answer[..len], [0, 1, 0, 0, 0, 7]);
        let Counters { received, malformed, sent, .. } = counters(&one).await;
        assert_eq!((received, malformed, sent), (6, 5, 1));
    });
}

#[test]
fn kr_09_a_host_that_floods_is_not_heard() {
    run(async {
        let config = Config { rate_per_host: Some(2) };
        let (one, mut heard) = node("127.0.0.1:0", 1, config).await;
        let (flood, other) = (socket("127.0.0.2:0").await, socket("127.0.0.3:0").await);
        for number in 0..50 {
            flood.send_to(&[0, 0, 0, 0, 0, number], one.address()).await.expect("sent");
        }
        other.send_to(&[0, 0, 0, 0, 0, 7], one.address()).await.expect("sent");
        let mut answer = [0; 16];
        other.recv(&mut answer).await.expect("the other is heard");
        let limited = counters(&one).await.limited;
        assert!((28..=30).contains(&limited), "{limited} of 50 dropped");
        assert_eq!(heard.next().await, Some((0, Told::Started)));
    });
}

#[test]
fn what_has_ended_says_so() {
    run(async {
        let (one, mut events) = node("127.0.0.1:0", 1, Config::default()).await;
        let address = one.address();
        let silent = socket("127.0.0.1:0").await;
        let silent = Say::Ask(silent.local_addr().expect("an address"), 0);
        let mut answers = one.ask(silent).await.expect("it runs");
        one.stop().await;
        assert_eq!(answers.next().await, None);
        assert_eq!(one.call(Say::Count(0)).await, Err(Gone));
        assert_eq!(one.look(|_, _| ()).await, Err(Gone));
        assert_eq!(events.next().await, Some((0, Told::Started)));
        assert_eq!(events.next().await, None);
        socket(&address.to_string()).await;
    });
}
