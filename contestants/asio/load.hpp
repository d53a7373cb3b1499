// The client: a closed loop of sessions, counted, timed or in slices, in a number of connection slots.
//
// Each slot runs sessions back to back, and takes them from one common count, so that a slow one is never waited for
// with work that another could do. Each worker has an io_context, its share of the slots, and histograms of its own
// that are merged at the end; memory does not grow with the number of messages.

#pragma once

#include "board.hpp"
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
    // Or when the board at this path says so.
    std::optional<std::string> board;
    std::size_t workers;
    // What decides where each slot begins; see first_message.
    std::uint64_t seed;

    // The message, from 1, at which the slot of this number begins its first session. It is drawn, unless sessions are
    // counted: slots that all begin with the first go on in step for a long time, and no window is steady.
    std::uint32_t first_message(std::size_t slot) const
    {
        if (!timed && !board)
            return 1;
        return 1 + static_cast<std::uint32_t>(splitmix64(splitmix64(seed) ^ slot) % shape.messages);
    }

private:
    // Mixes the bits of a number: S. Vigna, https://prng.di.unimi.it/splitmix64.c, one step.
    static std::uint64_t splitmix64(std::uint64_t seed)
    {
        std::uint64_t z = seed + 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
};

// What some slots measured.
struct Tally {
    // From asking for a connection to having it.
    Histogram connect;
    // From the moment that a message could be sent to the last byte of its reply.
    Histogram round_trip;
    // From asking for a connection to the last byte of the last reply; whole sessions only.
    Histogram session;
    // From the last byte of the last reply to having closed the connection.
    Histogram close;
    // How long what had begun and not ended when the window closed was under way by then: connects and messages.
    Histogram unfinished;
    // Replies verified, ramp and tail included.
    std::uint64_t messages_in_all = 0;
    Clock::time_point last_end{};

    void merge(const Tally& other)
    {
        connect.merge(other.connect);
        round_trip.merge(other.round_trip);
        session.merge(other.session);
        close.merge(other.close);
        unfinished.merge(other.unfinished);
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

// What the slots of all workers share: the clock, the count of sessions, the window, the failures.
class Load {
public:
    // Throws when the board of a sliced load cannot be opened.
    explicit Load(LoadPlan plan) : plan_(std::move(plan))
    {
        if (plan_.board)
            board_.emplace(*plan_.board);
    }

    const LoadPlan& plan() const { return plan_; }

    // Begins: everything counts from here.
    void start()
    {
        start_ = now();
        if (plan_.timed)
            window_ = {start_ + plan_.timed->ramp, start_ + plan_.timed->ramp + plan_.timed->window};
    }

    // The time of this load: in slices, active time. Every instant here is taken so.
    Clock::time_point now() const { return board_ ? board_->active(Clock::now()) : Clock::now(); }

    // How far the load has come, for what ends now.
    State state(Clock::time_point now) const
    {
        if (board_)
            return board_->state();
        if (!window_)
            return State::open;
        return now < window_->opens ? State::warming : now < window_->closes ? State::open : State::over;
    }

    // When the window closed; ask only in the state `over`.
    Clock::time_point closed() const { return board_ ? board_->closed() : window_->closes; }

    // Where a worker counts what it does, to be read meanwhile; nothing where nobody reads it.
    Board::Counter* counter(std::size_t worker) { return board_ ? &board_->counter(worker) : nullptr; }

    // Takes the next session off the common count: its number, from 1, or nothing when the load is over.
    std::optional<std::uint64_t> take_session(Clock::time_point now)
    {
        if (abandoned_.load(relaxed) || state(now) == State::over)
            return std::nullopt;
        const std::uint64_t session = begun_.fetch_add(1, relaxed) + 1;
        return session <= plan_.sessions ? std::optional(session) : std::nullopt;
    }

    const tcp::endpoint& destination(std::uint64_t session) const
    {
        return plan_.destinations[session % plan_.destinations.size()];
    }

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
    std::optional<Board> board_;
    Clock::time_point start_{};
    // Of a timed load.
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
    // A client neither waits nor offloads.
    static constexpr bool sleeps = false;

    // The slot of this number, from 0, on the worker that the others belong to.
    Slot(Load& load, std::size_t index, asio::io_context& context, Tally& tally, Board::Counter* counter)
        : load_(load),
          tally_(tally),
          counter_(counter),
          socket_(context),
          end_(load.plan().shape),
          first_message_(load.plan().first_message(index))
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
            slot->connected(slot->load_.now());
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
        if (auto fault = end_.read(n, [this] { return load_.now(); }))
            return fault;
        if (const auto round_trip = end_.poll_round_trip())
            replied(*round_trip);
        return {};
    }

private:
    std::optional<tcp::endpoint> next_session()
    {
        // A slot is never idle between two sessions: the next begins when the last has ended.
        if (!began_)
            began_ = load_.now();
        const auto session = load_.take_session(*began_);
        if (!session)
            return std::nullopt;
        end_.begin(*session, std::exchange(first_message_, 1));
        return load_.destination(*session);
    }

    void connected(Clock::time_point now)
    {
        end_.connected(now);
        took(tally_.connect, *began_, now);
    }

    // Takes note of a reply, and of the end of its session if it was the last, or if the load is over.
    void replied(const ClientEnd::RoundTrip& round_trip)
    {
        const auto [begun, ended] = round_trip;
        const State state = took(tally_.round_trip, begun, ended);
        if (state == State::over)
            end_.cut();
        const bool completed = end_.completed();
        if (completed && state == State::open)
            tally_.session.record(ended - *began_);
        load_.answered();
        ++tally_.messages_in_all;
        if (counter_) {
            counter_->messages.fetch_add(1, std::memory_order_relaxed);
            if (completed)
                counter_->sessions.fetch_add(1, std::memory_order_relaxed);
        }
    }

    void close(const Outcome& outcome)
    {
        error_code ignored;
        socket_.close(ignored);
        const auto now = load_.now();
        const auto began = *std::exchange(began_, now);
        const State state = load_.state(now);
        if (outcome) {
            if (state == State::over)
                unfinished(end_.since().value_or(began), now);
            return load_.failed(*outcome);
        }
        if (state == State::open)
            tally_.close.record(now - *end_.since());
        tally_.last_end = now;
    }

    // Records a connect or a round trip where it belongs: in its histogram, among what the close of the window
    // found unfinished, or nowhere. Returns the state at its end.
    State took(Histogram& histogram, Clock::time_point since, Clock::time_point now)
    {
        const State state = load_.state(now);
        if (state == State::open)
            histogram.record(now - since);
        else if (state == State::over)
            unfinished(since, now);
        return state;
    }

    // Records how long what began at `since` and ends now, when the load is over, was under way when the window
    // closed, if that was in between.
    void unfinished(Clock::time_point since, Clock::time_point now)
    {
        const auto closed = load_.closed();
        if (since < closed && closed <= now)
            tally_.unfinished.record(closed - since);
    }

    Load& load_;
    Tally& tally_;
    Board::Counter* const counter_;
    Socket socket_;
    ClientEnd end_;
    // The message at which the next session begins, from 1.
    std::uint32_t first_message_;
    // When the current session began, or the last one's connection was closed.
    std::optional<Clock::time_point> began_;
};

// One worker of a client, with its share of the slots.
class ClientWorker {
public:
    void add_slot(Load& load, std::size_t index, Board::Counter* counter)
    {
        slots_.push_back(std::make_unique<Slot>(load, index, context_, tally_, counter));
    }

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
    for (std::size_t i = 0; i < load.plan().connections; ++i) {
        const std::size_t worker = i % workers.size();
        workers[worker].add_slot(load, i, load.counter(worker));
    }
    load.start();
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
