//! OpenNap: no frame upsets the readers, what they read is written back so that it reads the same, and
//! a server that is told it neither panics nor keeps more than its limits allow.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use machine::StreamMachine;
use machine::{ConnId, Cx, Decoded, Framing, Instant, Machine, OpId, Outbox, Output, Rng, Side};
use search::napster::index::MemoryIndex;
use search::napster::server::{Account, Command, Effect, Limits, Server, answer};
use search::napster::transfer::{Request, parse_size};
use search::napster::{ClientMessage, NapsterFraming, ServerMessage};

struct World {
    server: Server<SocketAddr>,
    index: MemoryIndex,
    rng: Rng,
    turn: u32,
}

thread_local! {
    /// One server for all inputs, so that what they leave behind adds up.
    static WORLD: RefCell<World> = RefCell::new(World {
        server: Server::new("fuzz", "hello", Limits { files: 50, ..Limits::default() }),
        index: MemoryIndex::new(1),
        rng: Rng::new(1),
        turn: 0,
    });
}

impl World {
    fn input(
        &mut self,
        act: impl FnOnce(&mut Server<SocketAddr>, &mut Cx<'_, Server<SocketAddr>>),
    ) {
        let now = Instant::from_nanos(u64::from(self.turn) * 1_000_000_000);
        let mut outbox = Outbox::new();
        act(&mut self.server, &mut Cx::new(now, &mut self.rng, &mut outbox));
        let outputs: Vec<_> = outbox.drain().collect();
        for output in outputs {
            match output {
                Output::Effect(Effect::Send(_, frame)) => {
                    ServerMessage::parse(&frame).expect("what a server says can be read");
                }
                Output::Effect(Effect::Ask(question, ask)) => {
                    let said = answer(&mut self.index, ask).unwrap_or_else(|never| match never {});
                    self.command(Command::Indexed(question, said));
                }
                Output::Effect(Effect::AskAccount(conn, _)) => {
                    self.command(Command::Account(conn, Account::Free));
                }
                _ => {}
            }
        }
    }

    /// An answer to the server: not within `input`, which would be made anew for each of its own kind.
    fn command(&mut self, command: Command) {
        self.input(|server, cx| server.on_command(OpId(0), command, cx));
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(request)) = Request::parse(data) {
        let again = [request.verb(), &request.line()].concat();
        assert_eq!(Request::parse(&again), Ok(Some(request)));
    }
    let _ = parse_size(data, Some(443_332));
    WORLD.with_borrow_mut(|world| {
        world.turn += 1;
        let conn = ConnId(world.turn);
        let peer = SocketAddr::from(([10, 0, 0, world.turn as u8], 1));
        world.input(|server, cx| server.on_open(conn, peer, Side::Listener, cx));
        let mut rest = data;
        while let Ok(Decoded::Frame { frame, used }) = NapsterFraming.decode(rest) {
            rest = &rest[used..];
            if let Ok(message) = ClientMessage::parse(&frame) {
                for written in message.frames() {
                    ClientMessage::parse(&written).expect("what is written can be read");
                }
            }
            if let Ok(message) = ServerMessage::parse(&frame) {
                let _ = message.frame();
            }
            world.input(|server, cx| server.on_frame(conn, frame, cx));
        }
        assert!(world.index.totals().files <= 50);
        world.input(|server, cx| server.on_close(conn, (), cx));
        let status = world.server.status();
        assert_eq!((status.connections, status.users, status.channels), (0, 0, 0));
        assert_eq!(world.index.totals().files, 0);
    });
});
