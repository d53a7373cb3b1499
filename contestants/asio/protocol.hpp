// The echo session: both ends of it as one kind of state machine, without I/O and without a clock.
//
// A client sends the messages of its session one by one, each only after the reply to the one before; a reply is `Re:`
// followed by the message. An end says what it needs next (want) and is told what happened (wrote, read, eof), so that
// one loop drives server and client alike. The client compares every byte of every reply with what it must be.

#pragma once

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ioduel {

namespace asio = boost::asio;

constexpr std::string_view reply_prefix = "Re:";
constexpr std::string_view text_behind_number = " - Send Message";

// The text of a one-digit message; what a longer message has beyond is filler.
constexpr std::size_t default_message_bytes = 16;

// Each connection holds one or two messages in memory.
constexpr std::size_t most_message_bytes = 16 << 20;

// The longest message where a read makes one: with `Re:` before it, it fills the 128 bytes of the original's buffer.
constexpr std::size_t chunk_bytes = 125;

// Why a session ended before its time.
struct Fault {
    std::string why;
    // The peer is no echo server: that voids a whole load.
    bool wrong_reply = false;
};

// How a session, or a step of it, ended: with nothing when all is well.
using Outcome = std::optional<Fault>;

// What an end needs next.
struct Write {
    asio::const_buffer bytes;
};

// The buffer is always larger than what the peer may send, so that a read that doesn't fill it has emptied the socket.
struct Read {
    asio::mutable_buffer buffer;
};

// Nothing is to be done before this instant; then the party woke.
struct Wait {
    std::chrono::steady_clock::time_point until;
};

// So much CPU time is to be spent on a thread for what blocks; then the party woke.
struct Offload {
    std::chrono::nanoseconds time;
};

struct Close {};

using Want = std::variant<Write, Read, Wait, Offload, Close>;

// Throws when a reply can't have this size, or is shorter than `Re:` and its message.
inline void check_reply(std::size_t message_bytes, std::optional<std::size_t> reply_bytes)
{
    const std::size_t least = reply_prefix.size() + message_bytes;
    if (reply_bytes && (*reply_bytes < least || *reply_bytes > most_message_bytes))
        throw std::invalid_argument("a reply to " + std::to_string(message_bytes) + " bytes cannot be "
            + std::to_string(*reply_bytes) + "; with Re: before them it goes from " + std::to_string(least) + " to "
            + std::to_string(most_message_bytes));
}

// A reply of so many bytes, whole but for its message: what follows that is the offset of each byte, modulo a prime.
inline std::string new_reply(std::size_t bytes)
{
    std::string reply(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i)
        reply[i] = static_cast<char>(i % 251);
    std::copy(reply_prefix.begin(), reply_prefix.end(), reply.begin());
    return reply;
}

// How a server tells one message from the next: by their size, or, without one, by what each read returns.
struct Framing {
    std::optional<std::size_t> message_bytes;
    // Where a reply is longer than `Re:` and its message.
    std::optional<std::size_t> reply_bytes;

    // Throws when no message or reply can have this size.
    void check() const
    {
        if (!message_bytes)
            return;
        if (*message_bytes < 1 || *message_bytes > most_message_bytes)
            throw std::invalid_argument("a message cannot be " + std::to_string(*message_bytes)
                + " bytes; --message-size goes from 1 to " + std::to_string(most_message_bytes));
        check_reply(*message_bytes, reply_bytes);
    }
};

// The messages of one session: how many, how long, and how long their replies.
struct Shape {
    std::uint32_t messages;
    std::size_t message_bytes;
    std::optional<std::size_t> long_reply_bytes;

    std::size_t reply_bytes() const { return long_reply_bytes.value_or(reply_prefix.size() + message_bytes); }

    // Throws when there is no message, or a message cannot hold its text.
    void check() const
    {
        if (messages == 0)
            throw std::invalid_argument("a session needs at least one message");
        if (message_bytes > most_message_bytes)
            throw std::invalid_argument("a message is at most " + std::to_string(most_message_bytes) + " bytes");
        const std::string last = std::to_string(messages);
        const std::string needed = std::to_string(last.size() + text_behind_number.size());
        if (message_bytes < last.size() + text_behind_number.size())
            throw std::invalid_argument("message " + last + " needs " + needed
                + " bytes for its text, and a message is " + std::to_string(message_bytes)
                + "; make it larger with --message-size " + needed);
        check_reply(message_bytes, long_reply_bytes);
    }
};

// Writes a byte as the quoted character of this number in Unicode, the unprintable ones as escapes.
inline std::string quoted(unsigned char byte)
{
    switch (byte) {
    case '\0': return R"('\0')";
    case '\t': return R"('\t')";
    case '\n': return R"('\n')";
    case '\r': return R"('\r')";
    case '\'': return R"('\'')";
    case '\\': return R"('\\')";
    default: break;
    }
    if (byte >= 0x20 && byte < 0x7f)
        return {'\'', static_cast<char>(byte), '\''};
    // The printable half of Latin 1, as UTF-8; 0xad is a hyphen that doesn't show.
    if (byte > 0xa0 && byte != 0xad)
        return {'\'', static_cast<char>(0xc0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3f)), '\''};
    char digits[2];
    const auto end = std::to_chars(digits, digits + sizeof digits, byte, 16).ptr;
    return R"('\u{)" + std::string(digits, end) + "}'";
}

// The server's end: finds the messages in what arrives, and answers each where it lies.
//
// The three bytes before a message, room at first and later the tail of a message that is answered already, become its
// `Re:`. So a reply is one write, and nothing is copied; where replies are longer than that, the message is copied to
// the head of one that is kept.
class ServerEnd {
public:
    explicit ServerEnd(Framing framing)
        : framing_(framing),
          buffer_(origin + room(framing)),
          long_reply_(framing.reply_bytes ? new_reply(*framing.reply_bytes) : std::string())
    {
    }

    // How many messages were answered, to the last byte.
    std::uint64_t messages() const { return messages_; }

    // The message that is being answered; empty where none is.
    std::string_view message() const { return {&buffer_[held_.begin], answering_}; }

    Want want()
    {
        if (reply_.size() > 0)
            return Write{asio::buffer((long_reply_.empty() ? buffer_.data() : long_reply_.data()) + reply_.begin,
                reply_.size())};
        if (closed_)
            return Close{};
        make_room();
        return Read{asio::buffer(&buffer_[held_.end], buffer_.size() - held_.end)};
    }

    void wrote(std::size_t n)
    {
        reply_.begin += n;
        if (reply_.size() > 0)
            return;
        ++messages_;
        held_.begin += std::exchange(answering_, 0);
        if (held_.size() == 0)
            held_ = {origin, origin};
        answer();
    }

    Outcome read(std::size_t n)
    {
        held_.end += n;
        answer();
        return {};
    }

    // The client may close between two messages, and nowhere else.
    Outcome eof()
    {
        closed_ = true;
        if (held_.size() == 0)
            return {};
        return Fault{"the client closed after " + std::to_string(held_.size()) + " of the "
            + std::to_string(*framing_.message_bytes) + " bytes of a message"};
    }

private:
    struct Range {
        std::size_t begin;
        std::size_t end;

        std::size_t size() const { return end - begin; }
    };

    // Where the first message begins: behind the room for its prefix.
    static constexpr std::size_t origin = reply_prefix.size();

    // One byte more than a message, so that a read that brings just the message is short.
    static std::size_t room(Framing framing)
    {
        return framing.message_bytes ? std::max(chunk_bytes, *framing.message_bytes + 1) : chunk_bytes;
    }

    // Makes the reply to the first unanswered message, if that is whole.
    void answer()
    {
        const std::size_t length = framing_.message_bytes.value_or(held_.size());
        if (held_.size() == 0 || held_.size() < length)
            return;
        answering_ = length;
        if (!long_reply_.empty()) {
            std::memcpy(&long_reply_[origin], &buffer_[held_.begin], length);
            reply_ = {0, long_reply_.size()};
            return;
        }
        reply_ = {held_.begin - reply_prefix.size(), held_.begin + length};
        std::memcpy(&buffer_[reply_.begin], reply_prefix.data(), reply_prefix.size());
    }

    // Moves a message that has begun to the front when its rest would fill the buffer.
    void make_room()
    {
        const std::size_t rest = framing_.message_bytes.value_or(0) - (framing_.message_bytes ? held_.size() : 0);
        if (buffer_.size() - held_.end > rest)
            return;
        std::memmove(&buffer_[origin], &buffer_[held_.begin], held_.size());
        held_ = {origin, origin + held_.size()};
    }

    Framing framing_;
    std::vector<char> buffer_;
    // Empty where replies are no longer than they must be.
    std::string long_reply_;
    // The length of the message that is being answered.
    std::size_t answering_ = 0;
    // What has arrived and is not answered yet.
    Range held_{origin, origin};
    // What of the current reply has still to go out: of the buffer, or of the long reply.
    Range reply_{0, 0};
    std::uint64_t messages_ = 0;
    bool closed_ = false;
};

// The client's end of one session after another: sends its messages, verifies every reply, times every round trip.
class ClientEnd {
public:
    using Instant = std::chrono::steady_clock::time_point;

    // One message and its reply: from the moment the message could be sent to the last byte of the reply.
    struct RoundTrip {
        Instant begun;
        Instant ended;
    };

    explicit ClientEnd(Shape shape)
        : shape_(shape),
          reply_(new_reply(shape.reply_bytes())),
          buffer_(reply_.size() + spare_bytes)
    {
    }

    // Begins the session of this number at one of its messages, from 1: at the first, unless the load is to begin in
    // the middle of its sessions.
    void begin(std::uint64_t session, std::uint32_t message)
    {
        session_ = session;
        whole_ = message == 1;
        since_.reset();
        finished_ = false;
        fill();
        compose(message);
    }

    // Ends the session with the reply that has just come: no further message is sent.
    void cut() { finished_ = true; }

    // Takes note that the connection stands: the first round trip begins.
    void connected(Instant now) { since_ = now; }

    // Whether every message of the session was sent and answered.
    bool completed() const { return whole_ && finished_ && message_ == shape_.messages; }

    // When the last reply came, or else when the connection stood, or nothing before that.
    std::optional<Instant> since() const { return since_; }

    // Takes the round trip that the last read ended, if it ended one.
    std::optional<RoundTrip> poll_round_trip() { return std::exchange(round_trip_, std::nullopt); }

    Want want()
    {
        if (answered_ && !finished_)
            compose(message_ + 1);
        if (finished_)
            return Close{};
        if (sent_ < shape_.message_bytes)
            return Write{asio::buffer(&reply_[reply_prefix.size() + sent_], shape_.message_bytes - sent_)};
        return Read{asio::buffer(buffer_)};
    }

    void wrote(std::size_t n) { sent_ += n; }

    // Takes bytes of a reply; `now` is asked for the time only when they end it.
    template <class Now>
    Outcome read(std::size_t n, Now now)
    {
        if (auto fault = verify(n))
            return fault;
        received_ += n;
        if (received_ == reply_.size())
            end_round_trip(now());
        return {};
    }

    Outcome eof() const
    {
        return Fault{where() + ": the server closed at offset " + std::to_string(received_) + " of the reply"};
    }

private:
    // What the buffer has beyond the reply, so that a short read means that nothing is left.
    static constexpr std::size_t spare_bytes = 45;

    // Writes the filler behind the text: the session's number again and again, so that a reply delivered to the wrong
    // session is noticed.
    void fill()
    {
        char* const space = &reply_[reply_prefix.size() + default_message_bytes];
        const std::size_t room = shape_.message_bytes - default_message_bytes;
        const std::string filler = "." + std::to_string(session_);
        std::size_t filled = std::min(filler.size(), room);
        std::memcpy(space, filler.data(), filled);
        while (filled < room) {
            const std::size_t more = std::min(filled, room - filled);
            std::memcpy(space + filled, space, more);
            filled += more;
        }
    }

    // Puts the text of a message in place. Texts only grow within a session, so the filler behind stays whole.
    void compose(std::uint32_t message)
    {
        message_ = message;
        sent_ = 0;
        received_ = 0;
        answered_ = false;
        char* const space = &reply_[reply_prefix.size()];
        char* const behind = std::to_chars(space, space + shape_.message_bytes, message).ptr;
        std::copy(text_behind_number.begin(), text_behind_number.end(), behind);
    }

    Outcome verify(std::size_t n) const
    {
        const std::size_t owed = std::min(n, reply_.size() - received_);
        const char* const is = buffer_.data();
        const char* const must = reply_.data() + received_;
        if (std::memcmp(is, must, owed) != 0)
            return wrong_byte(std::mismatch(is, is + owed, must).first - is);
        if (n > owed)
            return Fault{where() + ": " + std::to_string(n - owed) + " bytes more than the "
                    + std::to_string(reply_.size()) + " of the reply" + advice,
                true};
        return {};
    }

    Fault wrong_byte(std::size_t at) const
    {
        return {where() + ": wrong byte at offset " + std::to_string(received_ + at) + " of the reply: expected "
                + quoted(reply_[received_ + at]) + ", received " + quoted(buffer_[at]) + advice,
            true};
    }

    // Ends the round trip, and the session with it where that was the last message.
    void end_round_trip(Instant now)
    {
        round_trip_ = RoundTrip{*std::exchange(since_, now), now};
        answered_ = true;
        finished_ = message_ == shape_.messages;
    }

    std::string where() const
    {
        return "session " + std::to_string(session_) + ", message " + std::to_string(message_);
    }

    static constexpr const char* advice = "; is the peer an echo server of the same message size?";

    Shape shape_;
    // The reply to the message in the air; the message itself follows the prefix.
    std::string reply_;
    std::vector<char> buffer_;
    std::uint64_t session_ = 0;
    std::uint32_t message_ = 1;
    std::size_t sent_ = 0;
    std::size_t received_ = 0;
    // When the message could first have been sent: at the connection, or at the reply before.
    std::optional<Instant> since_;
    std::optional<RoundTrip> round_trip_;
    // The session began with its first message.
    bool whole_ = true;
    // The last byte of the reply was there.
    bool answered_ = false;
    bool finished_ = false;
};

} // namespace ioduel
