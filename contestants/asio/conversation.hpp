// The one loop that drives both ends of a session on Asio's completion handlers.
//
// Each operation's handler owns the party that waits for it. So exactly one operation is under way for a connection, no
// strand is needed, nobody keeps a list, and an io_context that is destroyed takes its connections along. Handlers
// never run inside the call that starts them but through the queue of the io_context: a peer that sends without waiting
// for replies gets one step at a time, like everybody else.

#pragma once

#include "net.hpp"
#include "protocol.hpp"
#include "work.hpp"

#include <boost/asio/post.hpp>

#include <chrono>
#include <memory>
#include <utility>

namespace ioduel {

template <class Party>
void converse(std::unique_ptr<Party> party);

// Goes on with a party, or ends its session.
template <class Party>
void proceed(std::unique_ptr<Party> party, Outcome outcome)
{
    if (outcome)
        Party::ended(std::move(party), std::move(outcome));
    else
        converse(std::move(party));
}

// Sends what goes out at once. Not asio::async_write: it splits what is longer than 64 KiB, and so makes two writes of
// a reply to a message of 64 KiB.
template <class Party>
void write(std::unique_ptr<Party> party, asio::const_buffer bytes)
{
    auto& socket = party->socket();
    socket.async_write_some(bytes, [party = std::move(party)](const error_code& error, std::size_t n) mutable {
        if (error)
            return proceed(std::move(party), Fault{error.message()});
        party->wrote(n);
        converse(std::move(party));
    });
}

template <class Party>
void read(std::unique_ptr<Party> party, asio::mutable_buffer buffer)
{
    auto& socket = party->socket();
    socket.async_read_some(buffer, [party = std::move(party)](const error_code& error, std::size_t n) mutable {
        Outcome outcome;
        if (error == asio::error::eof)
            outcome = party->eof();
        else if (error)
            outcome = Fault{error.message()};
        else
            outcome = party->read(n);
        proceed(std::move(party), std::move(outcome));
    });
}

// Has a party woken at an instant, or when a thread for what blocks has spent some time. A client never asks for either.
template <class Party>
void wait(std::unique_ptr<Party> party, std::chrono::steady_clock::time_point until)
{
    if constexpr (Party::sleeps) {
        auto& timer = party->timer();
        timer.expires_at(until);
        timer.async_wait([party = std::move(party)](const error_code& error) mutable {
            if (error)
                return proceed(std::move(party), Fault{error.message()});
            party->woke();
            converse(std::move(party));
        });
    }
}

template <class Party>
void offload(std::unique_ptr<Party> party, std::chrono::nanoseconds time)
{
    if constexpr (Party::sleeps) {
        auto& pool = party->pool();
        asio::post(pool, [party = std::move(party), time]() mutable {
            spend(time);
            const auto executor = party->socket().get_executor();
            asio::post(executor, [party = std::move(party)]() mutable {
                party->woke();
                converse(std::move(party));
            });
        });
    }
}

// Takes a party's session to its next operation. A party is an end of a session with a socket; Party::ended takes it
// over when the session is done.
template <class Party>
void converse(std::unique_ptr<Party> party)
{
    const Want want = party->want();
    if (const auto* out = std::get_if<Write>(&want))
        write(std::move(party), out->bytes);
    else if (const auto* in = std::get_if<Read>(&want))
        read(std::move(party), in->buffer);
    else if (const auto* sleep = std::get_if<Wait>(&want))
        wait(std::move(party), sleep->until);
    else if (const auto* elsewhere = std::get_if<Offload>(&want))
        offload(std::move(party), elsewhere->time);
    else
        Party::ended(std::move(party), {});
}

} // namespace ioduel
