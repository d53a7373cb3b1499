// The client: a closed loop of sessions, counted or timed, in a number of connection slots.
//
// Each slot runs sessions back to back, and takes them from one common count, so that a slow one is never waited for
// with work that another could do. Each worker has an io_context, its share of the slots, and histograms of its own
// that are merged at the end; memory does not grow with the number of messages.

#pragma once

#include "conversation.hpp"
#include "histogram.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ioduel {

using Clock = std::chrono::steady_clock;

// The time in which what ends counts, whenever it began.
struct Timed {
    // What is discarded at the head: connections open, caches fill.
    std::chrono::milliseconds ramp;
    std::chrono::milliseconds window;
};

// What to drive.
struct LoadPlan {
    // The addresses that the sessions rotate over; not empty.
    std::vector<tcp::endpoint> destinations;
    // How many sessions run at a time.
    std::size_t connections;
    Shape shape;
    // After so many sessions it is over; all of them count.
    std::uint64_t sessions = std::numeric_limits<std::uint64_t>::max();
    // Or after a time.
    std::optional<Timed> timed;
    std::size_t workers;
};

// What some slots measured.
struct Tally {
    // From asking for a connection to having it.
    Histogram connect;
    // From the moment that a message could be sent to the last byte of its reply.
    Histogram round_trip;
    // From asking for a connection to having closed it.
    Histogram session;
    // Replies verified, ramp and tail included.
    std::uint64_t messages_in_all = 0;
    Clock::time_point last_end{};

    void merge(const Tally& other)
    {
        connect.merge(other.connect);
        round_trip.merge(other.round_trip);
        session.merge(other.session);
        messages_in_all += other.messages_in_all;
        last_end = std::max(last_end, other.last_end);
    }
};

// What came of a load.
struct LoadRun {
    Tally tally;
    // The length of the window, and the time from the first session's begin to the last one's end.
    std::chrono::duration<double> window;
    std::chrono::duration<double> elapsed;
    // Sessions that ended before their time, and why the first of them did.
    std::uint64_t failures;
    std::optional<std::string> first_failure;
};

// What the slots of all workers share: the count of sessions, the window, the failures.
class Load {
public:
    explicit Load(LoadPlan plan) : plan_(std::move(plan)) {}

    const LoadPlan& plan() const { return plan_; }

    // Begins: everything counts from here.
    void start(Clock::time_point now)
    {
        start_ = now;
        if (plan_.timed)
            window_ = {now + plan_.timed->ramp, now + plan_.timed->ramp + plan_.timed->window};
    }

    // Takes the next session off the common count: its number, from 1, or nothing when the load is over.
    std::optional<std::uint64_t> take_session(Clock::time_point now)
    {
        if (abandoned_.load(relaxed) || (window_ && now >= window_->closes))
            return std::nullopt;
        const std::uint64_t session = begun_.fetch_add(1, relaxed) + 1;
        return session <= plan_.sessions ? std::optional(session) : std::nullopt;
    }

    const tcp::endpoint& destination(std::uint64_t session) const
    {
        return plan_.destinations[session % plan_.destinations.size()];
    }

    // From when on no further message is sent.
    std::optional<Clock::time_point> deadline() const
    {
        return window_ ? std::optional(window_->closes) : std::nullopt;
    }

    // Whether what ended now falls into the window.
    bool counts(Clock::time_point now) const { return !window_ || (window_->opens <= now && now < window_->closes); }

    // Takes note that a reply was right.
    void answered()
    {
        // Written once, so that the workers only read it ever after.
        if (!answered_.load(relaxed))
            answered_.store(true, relaxed);
    }

    // Takes note of a session that failed, and gives up when the peer is plainly broken.
    void failed(const Fault& fault)
    {
        const std::lock_guard guard(mutex_);
        ++failures_;
        if (!first_failure_)
            first_failure_ = fault.why;
        if (fault.wrong_reply && !wrong_reply_)
            wrong_reply_ = fault.why;
        if (wrong_reply_ || !answered_.load(relaxed) || failures_ >= most_failures)
            abandoned_.store(true, relaxed);
    }

    // What came of it, once every slot is done. Throws the first wrong reply: a run with one wrong byte yields no
    // numbers.
    LoadRun result(Tally tally) const
    {
        if (wrong_reply_)
            throw std::runtime_error(*wrong_reply_);
        using std::chrono::duration;
        const auto positive = [](Clock::duration time) { return std::max(time, Clock::duration::zero()); };
        const duration<double> elapsed = positive(tally.last_end - start_);
        const duration<double> window =
            window_ ? positive(std::min(window_->closes, Clock::now()) - window_->opens) : elapsed;
        return {std::move(tally), window, elapsed, failures_, first_failure_};
    }

private:
    struct Window {
        Clock::time_point opens;
        Clock::time_point closes;
    };

    // After so many failed sessions the peer is taken for broken.
    static constexpr std::uint64_t most_failures = 100;
    static constexpr auto relaxed = std::memory_order_relaxed;

    const LoadPlan plan_;
    Clock::time_point start_{};
    std::optional<Window> window_;
    std::atomic<std::uint64_t> begun_{0};
    std::atomic<bool> abandoned_{false};
    std::atomic<bool> answered_{false};
    std::mutex mutex_;
    std::uint64_t failures_ = 0;
    std::optional<std::string> first_failure_;
    std::optional<std::string> wrong_reply_;
};

// One connection slot: runs sessions back to back and measures them. Its buffers and its socket serve all of them.
class Slot {
public:
    Slot(asio::io_context& context, Load& load, Tally& tally)
        : load_(load), tally_(tally), socket_(context), end_(load.plan().shape)
    {
    }

    // Begins the next session; when there is none, the slot ends here.
    static void begin(std::unique_ptr<Slot> slot)
    {
        const auto destination = slot->next_session();
        if (!destination)
            return;
        auto& socket = slot->socket_;
        // It opens the socket, for the protocol of the destination.
        socket.async_connect(*destination, [slot = std::move(slot)](error_code error) mutable {
            if (!error)
                slot->socket_.set_option(tcp::no_delay(true), error);
            if (error)
                return ended(std::move(slot), Fault{error.message()});
            slot->connected(Clock::now());
            converse(std::move(slot));
        });
    }

    // Closes the connection, takes note of how the session ended, and begins the next.
    static void ended(std::unique_ptr<Slot> slot, const Outcome& outcome)
    {
        slot->close(outcome);
        begin(std::move(slot));
    }

    Socket& socket() { return socket_; }
    Want want() { return end_.want(); }
    void wrote(std::size_t n) { end_.wrote(n); }
    Outcome eof() { return end_.eof(); }

    Outcome read(std::size_t n)
    {
        if (auto fault = end_.read(n, Clock::now))
            return fault;
        if (const auto round_trip = end_.poll_round_trip()) {
            load_.answered();
            ++tally_.messages_in_all;
            if (load_.counts(round_trip->ended))
                tally_.round_trip.record(round_trip->ended - round_trip->begun);
        }
        return {};
    }

private:
    std::optional<tcp::endpoint> next_session()
    {
        // A slot is never idle between two sessions: the next begins when the last has ended.
        if (!began_)
            began_ = Clock::now();
        const auto session = load_.take_session(*began_);
        if (!session)
            return std::nullopt;
        end_.begin(*session, load_.deadline());
        return load_.destination(*session);
    }

    void connected(Clock::time_point now)
    {
        end_.connected(now);
        if (load_.counts(now))
            tally_.connect.record(now - *began_);
    }

    void close(const Outcome& outcome)
    {
        error_code ignored;
        socket_.close(ignored);
        const auto now = Clock::now();
        const auto began = *std::exchange(began_, now);
        if (outcome)
            return load_.failed(*outcome);
        if (load_.counts(now) && end_.completed())
            tally_.session.record(now - began);
        tally_.last_end = now;
    }

    Load& load_;
    Tally& tally_;
    Socket socket_;
    ClientEnd end_;
    // When the current session began, or the last one ended.
    std::optional<Clock::time_point> began_;
};

// One worker of a client, with its share of the slots.
class ClientWorker {
public:
    void add_slot(Load& load) { slots_.push_back(std::make_unique<Slot>(context_, load, tally_)); }

    // Runs until each slot is done.
    void run()
    {
        for (auto& slot : slots_)
            Slot::begin(std::move(slot));
        context_.run();
    }

    const Tally& tally() const { return tally_; }

private:
    Tally tally_;
    // One thread runs it.
    asio::io_context context_{1};
    std::vector<std::unique_ptr<Slot>> slots_;
};

// Drives a load to its end. Throws when it cannot be set up, or a reply was wrong.
inline LoadRun drive(LoadPlan plan)
{
    Load load(std::move(plan));
    std::vector<ClientWorker> workers(std::clamp<std::size_t>(load.plan().workers, 1, load.plan().connections));
    for (std::size_t i = 0; i < load.plan().connections; ++i)
        workers[i % workers.size()].add_slot(load);
    load.start(Clock::now());
    std::vector<std::future<void>> others;
    for (std::size_t i = 1; i < workers.size(); ++i)
        others.push_back(std::async(std::launch::async, [&worker = workers[i]] { worker.run(); }));
    workers.front().run();
    for (auto& other : others)
        other.get();
    Tally all;
    for (const auto& worker : workers)
        all.merge(worker.tally());
    return load.result(std::move(all));
}

} // namespace ioduel
