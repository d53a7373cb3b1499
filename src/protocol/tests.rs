//! The session in memory: any split of the bytes gives the same conversation, and no input panics.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

/// What an end is told of a conversation in memory.
#[derive(Debug, PartialEq)]
enum Over {
    Closed,
    Failed(ProtocolError),
}

/// An end and the bytes on their way to it.
struct Side<E> {
    end: E,
    inbox: VecDeque<u8>,
    over: Option<Over>,
}

impl<E: End> Side<E> {
    fn new(end: E) -> Self {
        Self { end, inbox: VecDeque::new(), over: None }
    }

    /// Lets the end take one step of at most `most` bytes; returns what it sent, or `None` if it can't go on.
    fn step(&mut self, most: usize, peer_closed: bool, now: Instant) -> Option<Vec<u8>> {
        if self.over.is_some() {
            return None;
        }
        match self.end.want() {
            Want::Write(bytes) => {
                let sent = bytes[..most.min(bytes.len())].to_vec();
                self.end.wrote(sent.len());
                Some(sent)
            }
            Want::Read(buffer) => {
                let n = most.min(buffer.len()).min(self.inbox.len());
                if n == 0 && !peer_closed {
                    return None;
                }
                self.inbox.drain(..n).zip(buffer).for_each(|(byte, place)| *place = byte);
                let outcome = if n == 0 { self.end.eof() } else { self.end.read(n, || now) };
                self.over = outcome.err().map(Over::Failed);
                Some(Vec::new())
            }
            Want::Wait(_) | Want::Offload(_) => {
                unreachable!("an echo without work neither waits nor offloads")
            }
            Want::Close => {
                self.over = Some(Over::Closed);
                Some(Vec::new())
            }
        }
    }
}

/// Joins a client and a server in memory, and moves bytes in pieces of these sizes, again and again, until neither
/// can go on. A millisecond passes with every step. Returns the two, and what the server was sent.
fn join(
    client: ClientEnd,
    server: ServerEnd,
    pieces: &[usize],
) -> (Side<ClientEnd>, Side<ServerEnd>, Vec<u8>) {
    let (mut client, mut server) = (Side::new(client), Side::new(server));
    let mut heard = Vec::new();
    let mut now = Instant::now();
    let mut pieces = pieces.iter().copied().cycle();
    loop {
        now += Duration::from_millis(1);
        let to_server = client.step(pieces.next().unwrap(), server.over.is_some(), now);
        let to_client = server.step(pieces.next().unwrap(), client.over.is_some(), now);
        heard.extend(to_server.iter().flatten());
        if to_server.is_none() && to_client.is_none() {
            return (client, server, heard);
        }
        server.inbox.extend(to_server.unwrap_or_default());
        client.inbox.extend(to_client.unwrap_or_default());
    }
}

fn begun(shape: Shape, session: u64) -> ClientEnd {
    let mut client = ClientEnd::new(shape);
    client.begin(session, 1);
    client.connected(Instant::now());
    client
}

fn fixed(shape: Shape) -> ServerEnd {
    ServerEnd::new(shape.framing())
}

/// All bytes that a client of this shape sends in a session.
fn script(shape: Shape, session: u64) -> Vec<u8> {
    let (_, _, heard) = join(begun(shape, session), fixed(shape), &[usize::MAX]);
    heard
}

#[test]
fn the_original_exchange_is_what_it_was() {
    let heard = script(Shape::default(), 1);
    let texts: String = (1..=8).map(|n| format!("{n} - Send Message")).collect();
    assert_eq!(String::from_utf8(heard).unwrap(), texts);
}

#[test]
fn a_larger_message_carries_its_sessions_number_in_every_filler() {
    let shape = Shape::new(12, 30).unwrap();
    let heard = String::from_utf8(script(shape, 73)).unwrap();
    assert_eq!(&heard[..30], "1 - Send Message.73.73.73.73.7");
    assert_eq!(&heard[11 * 30..], "12 - Send Message73.73.73.73.7");
    assert_ne!(script(shape, 73), script(shape, 74));
}

#[test]
fn a_shape_must_hold_its_texts() {
    assert!(Shape::new(9, 16).is_ok());
    let error = Shape::new(65_536, 16).unwrap_err();
    assert_eq!(
        error.to_string(),
        "in a session of 65536 messages, a message must have at least 20 bytes, not 16"
    );
    assert_eq!(Shape::new(0, 16), Err(ShapeError::NoMessages));
    assert_eq!(Shape::new(1, MOST_MESSAGE_BYTES + 1), Err(ShapeError::TooLarge));
    assert!(
        serde_json::from_str::<Shape>(r#"{"messages":10,"message_bytes":16}"#).is_err(),
        "checked when read"
    );
}

#[test]
fn one_wrong_byte_is_told_with_session_message_and_offset() {
    let shape = Shape::default();
    let mut client = begun(shape, 41);
    client.wrote(16);
    let reply = b"Re:1 - Send MesXage";
    let Want::Read(buffer) = client.want() else { panic!("it waits for the reply") };
    buffer[..19].copy_from_slice(reply);
    let error = client.read(19, Instant::now).unwrap_err();
    let (expected, received) = (b's', b'X');
    assert_eq!(error, ProtocolError::WrongByte { session: 41, message: 1, offset: 15, expected, received });
    assert!(error.to_string().starts_with("session 41, message 1: wrong byte at offset 15 of the reply"));
}

#[test]
fn a_byte_too_many_is_an_error() {
    let mut client = begun(Shape::default(), 1);
    client.wrote(16);
    let Want::Read(buffer) = client.want() else { panic!("it waits for the reply") };
    buffer[..20].copy_from_slice(b"Re:1 - Send Message!");
    let error = client.read(20, Instant::now).unwrap_err();
    assert_eq!(error, ProtocolError::Excess { session: 1, message: 1, reply_bytes: 19, excess: 1 });
}

#[test]
fn a_server_that_closes_early_is_told_with_the_offset() {
    let mut client = begun(Shape::default(), 5);
    client.wrote(16);
    let Want::Read(buffer) = client.want() else { panic!("it waits for the reply") };
    buffer[..2].copy_from_slice(b"Re");
    client.read(2, Instant::now).unwrap();
    assert_eq!(client.eof(), Err(ProtocolError::ServerClosed { session: 5, message: 1, offset: 2 }));
}

#[test]
fn a_client_may_close_between_messages_alone() {
    let mut server = fixed(Shape::default());
    assert_eq!(server.eof(), Ok(()));
    assert_eq!(server.want(), Want::Close);

    let mut server = fixed(Shape::default());
    let Want::Read(buffer) = server.want() else { panic!("it waits for a message") };
    buffer[0] = b'1';
    server.read(1, Instant::now).unwrap();
    assert_eq!(server.eof(), Err(ProtocolError::ClientClosed { received: 1, message_bytes: 16 }));
}

#[test]
fn two_messages_in_one_read_get_two_replies() {
    let mut server = fixed(Shape::default());
    let Want::Read(buffer) = server.want() else { panic!("it waits for a message") };
    buffer[..32].copy_from_slice(b"1 - Send Message2 - Send Message");
    server.read(32, Instant::now).unwrap();
    assert_eq!(server.want(), Want::Write(b"Re:1 - Send Message"));
    server.wrote(19);
    assert_eq!(server.want(), Want::Write(b"Re:2 - Send Message"));
    server.wrote(19);
    assert!(matches!(server.want(), Want::Read(_)));
    assert_eq!(server.messages(), 2);
}

#[test]
fn in_chunk_framing_a_read_is_a_message_of_125_bytes_at_most() {
    let mut server = ServerEnd::new(Framing::Chunk);
    let Want::Read(buffer) = server.want() else { panic!("it waits for a message") };
    assert_eq!(buffer.len(), CHUNK_BYTES);
    buffer[..5].copy_from_slice(b"hello");
    server.read(5, Instant::now).unwrap();
    assert_eq!(server.want(), Want::Write(b"Re:hello"));
    server.wrote(8);
    assert_eq!(server.eof(), Ok(()));
    assert_eq!(server.want(), Want::Close);
}

#[test]
fn a_round_trip_goes_from_reply_to_reply() {
    let start = Instant::now();
    let mut client = ClientEnd::new(Shape::default());
    client.begin(1, 1);
    client.connected(start);
    for n in 1..=8_u32 {
        client.wrote(16);
        let reply = client.reply().to_vec();
        let Want::Read(buffer) = client.want() else { panic!("it waits for reply {n}") };
        buffer[..19].copy_from_slice(&reply);
        let now = start + Duration::from_millis(10) * n;
        client.read(19, || now).unwrap();
        assert_eq!(client.poll_round_trip(), Some(RoundTrip { took: Duration::from_millis(10), ended: now }));
        assert_eq!(client.poll_round_trip(), None, "each is told once");
        // Asking puts the next message in place.
        let _ = client.want();
    }
    assert!(client.completed());
    assert_eq!(client.want(), Want::Close);
}

/// Takes a session to its end, cut after so many replies; says what was sent.
fn exchange(client: &mut ClientEnd, cut_after: usize) -> Vec<String> {
    let mut sent = Vec::new();
    let mut reply = Vec::new();
    loop {
        match client.want() {
            Want::Write(bytes) => {
                let n = bytes.len();
                sent.push(String::from_utf8(bytes.to_vec()).unwrap());
                reply = [REPLY_PREFIX, bytes].concat();
                client.wrote(n);
            }
            Want::Read(buffer) => {
                buffer[..reply.len()].copy_from_slice(&reply);
                client.read(reply.len(), Instant::now).unwrap();
                if sent.len() == cut_after {
                    client.cut();
                }
            }
            Want::Wait(_) | Want::Offload(_) => unreachable!("a client neither waits nor offloads"),
            Want::Close => return sent,
        }
    }
}

#[test]
fn a_session_that_is_cut_ends_with_the_reply_at_hand_and_is_not_complete() {
    let mut client = begun(Shape::default(), 1);
    client.cut();
    assert!(!client.is_over(), "a message in the air is waited for");
    assert_eq!(exchange(&mut client, 3).len(), 3);
    assert!(client.is_over() && !client.completed());
}

#[test]
fn a_session_that_begins_in_its_middle_sends_the_rest_and_is_not_complete() {
    let shape = Shape::new(12, 40).unwrap();
    let mut client = ClientEnd::new(shape);
    client.begin(7, 11);
    let sent = exchange(&mut client, usize::MAX);
    let filled = |text: &str| {
        let filler: String = ".7".chars().cycle().take(24).collect();
        format!("{text}{}", &filler[text.len() - 16..])
    };
    assert_eq!(sent, [filled("11 - Send Message"), filled("12 - Send Message")]);
    assert!(client.is_over() && !client.completed());
    client.begin(8, 1);
    assert_eq!(exchange(&mut client, usize::MAX).len(), 12);
    assert!(client.completed());
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_conversation(
        messages in 1..40_u32,
        extra in 0..400_usize,
        session in any::<u64>(),
        pieces in prop::collection::vec(1..300_usize, 1..20),
    ) {
        let shape = Shape::new(messages, text(messages).len() + extra).unwrap();
        let (client, server, heard) = join(begun(shape, session), fixed(shape), &pieces);
        prop_assert_eq!(client.over, Some(Over::Closed));
        prop_assert_eq!(server.over, Some(Over::Closed));
        prop_assert!(client.end.completed());
        prop_assert_eq!(server.end.messages(), u64::from(messages));
        prop_assert_eq!(heard, script(shape, session));
    }

    #[test]
    fn a_client_finishes_against_a_chunk_server_when_messages_arrive_whole(messages in 1..100_u32) {
        let shape = Shape::new(messages, CHUNK_BYTES).unwrap();
        let chunk = ServerEnd::new(Framing::Chunk);
        let (client, server, _) = join(begun(shape, 1), chunk, &[usize::MAX]);
        prop_assert_eq!(client.over, Some(Over::Closed));
        prop_assert_eq!(server.end.messages(), u64::from(messages));
    }

    #[test]
    fn pipelined_messages_are_each_answered_in_order(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 24), 0..30),
        pieces in prop::collection::vec(1..200_usize, 1..20),
    ) {
        let mut server = Side::new(ServerEnd::new(Framing::fixed(24)));
        server.inbox.extend(messages.concat());
        let mut replies = Vec::new();
        for most in pieces.iter().copied().cycle() {
            match server.step(most, true, Instant::now()) {
                Some(sent) => replies.extend(sent),
                None => break,
            }
        }
        let expected: Vec<u8> = messages.iter().flat_map(|m| [REPLY_PREFIX, m].concat()).collect();
        prop_assert_eq!(replies, expected);
        prop_assert_eq!(server.over, Some(Over::Closed));
    }

    #[test]
    fn no_input_panics(
        input in prop::collection::vec(any::<u8>(), 0..2000),
        pieces in prop::collection::vec(1..300_usize, 1..20),
        chunk in any::<bool>(),
        message_bytes in 1..300_usize,
    ) {
        let framing = if chunk { Framing::Chunk } else { Framing::fixed(message_bytes) };
        let mut server = Side::new(ServerEnd::new(framing));
        let mut client = Side::new(begun(Shape::default(), 1));
        server.inbox.extend(&input);
        client.inbox.extend(&input);
        let mut steps = pieces.iter().copied().cycle();
        while server.step(steps.next().unwrap(), true, Instant::now()).is_some() {}
        while client.step(steps.next().unwrap(), true, Instant::now()).is_some() {}
        prop_assert!(server.over.is_some());
        prop_assert!(matches!(client.over, Some(Over::Failed(_))), "noise is no session");
    }

    #[test]
    fn a_changed_byte_anywhere_is_found(at in 0..8 * 19_usize, flip in 1..=255_u8) {
        let shape = Shape::default();
        let mut client = Side::new(begun(shape, 9));
        let mut replies = Vec::new();
        for n in 1..=8 {
            replies.extend(REPLY_PREFIX.iter().copied().chain(text(n).into_bytes()));
        }
        replies[at] ^= flip;
        let mut replies = VecDeque::from(replies);
        while client.over.is_none() {
            if matches!(client.end.want(), Want::Read(_)) {
                client.inbox.extend(replies.drain(..19));
            }
            client.step(usize::MAX, true, Instant::now());
        }
        let Some(Over::Failed(ProtocolError::WrongByte { session, message, offset, .. })) = client.over else {
            return Err(TestCaseError::fail(format!("{:?}", client.over)));
        };
        prop_assert_eq!((session, message as usize, offset), (9, at / 19 + 1, at % 19));
    }
}
