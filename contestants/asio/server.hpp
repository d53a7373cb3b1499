// The server: an io_context per worker, each on a thread of its own, all of them accepting at one listener.

#pragma once

#include "conversation.hpp"
#include "histogram.hpp"
#include "work.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <fcntl.h>

namespace ioduel {

// What a server did; the messages of a connection count once it has ended.
struct Served {
    std::uint64_t connections;
    std::uint64_t messages;
    // Connections that ended before their time: reset, or closed inside a message.
    std::uint64_t failures;
    std::uint64_t most_open;
};

// What a worker did, read by others while it goes on.
struct WorkerTally {
    std::atomic<std::uint64_t> messages{0};
    std::mutex mutex;
    // How late timers fired; behind the mutex.
    Histogram timer_lateness;
};

// Counts what the workers do. A connection comes here when it begins and when it ends, never for a message.
class Service {
public:
    Service(Framing framing, std::optional<Work> work) : framing_(framing), work_(work)
    {
        if (work_ && work_->kind == Work::Kind::offload)
            pool_ = std::make_unique<asio::thread_pool>();
    }

    Framing framing() const { return framing_; }
    const std::optional<Work>& work() const { return work_; }
    asio::thread_pool& pool() { return *pool_; }

    // Ends the threads for what blocks. Connections that were there are closed with them, so that goes before the
    // io_contexts that they belong to.
    void end_pool()
    {
        if (pool_) {
            pool_->stop();
            pool_->join();
        }
        pool_.reset();
    }

    void opened()
    {
        connections_.fetch_add(1, relaxed);
        const std::uint64_t open = open_.fetch_add(1, relaxed) + 1;
        std::uint64_t most = most_open_.load(relaxed);
        while (most < open && !most_open_.compare_exchange_weak(most, open, relaxed)) {
        }
    }

    void closed(std::uint64_t messages)
    {
        messages_.fetch_add(messages, relaxed);
        open_.fetch_sub(1, relaxed);
    }

    void failed() { failures_.fetch_add(1, relaxed); }

    Served served() const
    {
        return {connections_.load(relaxed), messages_.load(relaxed), failures_.load(relaxed), most_open_.load(relaxed)};
    }

    // Waits for connections whose peers have closed to end here too: until none is open, or there have not been fewer
    // for a while. The peers of the rest are still there.
    void settle() const
    {
        using Clock = std::chrono::steady_clock;
        auto fewest = std::numeric_limits<std::uint64_t>::max();
        auto since = Clock::now();
        while (fewest > 0 && Clock::now() - since < settling) {
            const std::uint64_t open = open_.load(relaxed);
            if (open < fewest) {
                fewest = open;
                since = Clock::now();
            } else {
                std::this_thread::sleep_for(poll_interval);
            }
        }
    }

private:
    static constexpr auto relaxed = std::memory_order_relaxed;

    // How long after a connection ended the next is waited for: many times what a worker takes to come round to it.
    static constexpr std::chrono::milliseconds settling{20};
    static constexpr std::chrono::milliseconds poll_interval{1};

    const Framing framing_;
    const std::optional<Work> work_;
    std::unique_ptr<asio::thread_pool> pool_;
    std::atomic<std::uint64_t> connections_{0};
    std::atomic<std::uint64_t> open_{0};
    std::atomic<std::uint64_t> most_open_{0};
    std::atomic<std::uint64_t> messages_{0};
    std::atomic<std::uint64_t> failures_{0};
};

// The server's end of one accepted connection. Destroying it ends it, wherever it stood.
class Connection {
public:
    using Clock = std::chrono::steady_clock;
    using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

    static constexpr bool sleeps = true;

    Connection(Socket socket, Service& service, WorkerTally& tally)
        : service_(service), tally_(tally), socket_(std::move(socket)), end_(service.framing())
    {
        service_.opened();
    }

    ~Connection()
    {
        // Before it is counted as closed: who waits for that wants to know what closing cost.
        error_code ignored;
        socket_.close(ignored);
        service_.closed(end_.messages());
    }

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    Socket& socket() { return socket_; }
    asio::thread_pool& pool() { return service_.pool(); }
    void wrote(std::size_t n) { end_.wrote(n); }
    Outcome read(std::size_t n) { return end_.read(n); }
    Outcome eof() { return end_.eof(); }

    // Made when it is first needed.
    Timer& timer()
    {
        if (!timer_)
            timer_.emplace(socket_.get_executor());
        return *timer_;
    }

    Want want()
    {
        work();
        if (!pause_)
            return end_.want();
        return *pause_;
    }

    void woke()
    {
        if (const auto* wait = std::get_if<Wait>(&*pause_)) {
            const std::lock_guard lock(tally_.mutex);
            tally_.timer_lateness.record(Clock::now() - wait->until);
        }
        pause_.reset();
    }

    // A fault stays with the connection that had it.
    static void ended(std::unique_ptr<Connection> connection, const Outcome& outcome)
    {
        if (outcome)
            connection->service_.failed();
    }

private:
    // Does the work of the message that is answered next, or begins it, if that was not done.
    void work()
    {
        const std::string_view message = end_.message();
        if (message.empty() || worked_on_ > end_.messages())
            return;
        ++worked_on_;
        tally_.messages.fetch_add(1, std::memory_order_relaxed);
        if (!service_.work())
            return;
        const auto time = service_.work()->of(message);
        switch (service_.work()->kind) {
        case Work::Kind::spin: return spend(time);
        case Work::Kind::block: return std::this_thread::sleep_for(time);
        case Work::Kind::wait: pause_ = Wait{Clock::now() + time}; return;
        case Work::Kind::offload: pause_ = Offload{time}; return;
        }
    }

    Service& service_;
    WorkerTally& tally_;
    Socket socket_;
    ServerEnd end_;
    // Messages whose work was begun.
    std::uint64_t worked_on_ = 0;
    // What the reply to the current message waits for.
    std::optional<Want> pause_;
    std::optional<Timer> timer_;
};

// One worker: accepts, and serves what it accepted.
class ServerWorker {
public:
    explicit ServerWorker(Service& service) : service_(service) {}

    // Ends the thread; destroying the io_context then closes every connection, without a handler being called.
    ~ServerWorker() { stop(); }

    ServerWorker(const ServerWorker&) = delete;
    ServerWorker& operator=(const ServerWorker&) = delete;

    Acceptor& acceptor() { return acceptor_; }

    std::uint64_t messages() const { return tally_.messages.load(std::memory_order_relaxed); }

    void add_timer_lateness(Histogram& to)
    {
        const std::lock_guard lock(tally_.mutex);
        to.merge(tally_.timer_lateness);
    }

    void start()
    {
        accept();
        running_ = std::async(std::launch::async, [this] { context_.run(); });
    }

    void stop() { context_.stop(); }

    // Whether the worker has ended, by itself or because it was told to.
    bool has_ended() const { return running_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

    // Waits for the end of the thread, and throws what ended it.
    void join() { running_.get(); }

private:
    // Long enough to cost next to nothing, short enough not to be felt.
    static constexpr std::chrono::milliseconds pause_after_error{20};

    void accept()
    {
        acceptor_.async_accept([this](const error_code& error, Socket socket) {
            if (error)
                return pause();
            converse(std::make_unique<Connection>(std::move(socket), service_, tally_));
            accept();
        });
    }

    // Accepts again after a while. Asio itself passes over connections that are gone before they are accepted, so what
    // comes here means that descriptors or memory ran out, and trying again at once would spin.
    void pause()
    {
        timer_.expires_after(pause_after_error);
        timer_.async_wait([this](const error_code&) { accept(); });
    }

    Service& service_;
    WorkerTally tally_;
    // One thread runs it.
    asio::io_context context_{1};
    Acceptor acceptor_{context_};
    Connection::Timer timer_{context_};
    // The last member: destroying it waits for the thread, which uses the others.
    std::future<void> running_;
};

// A server that serves from its construction until it is stopped.
//
// Each worker has an acceptor of its own on a duplicate of the one listening descriptor, and keeps what it accepts. A
// single acceptor that deals out its connections would spread them evenly, but would wake another thread for each; and
// the suite's other event loops share their listener in the same way, so that no difference comes from there.
class Server {
public:
    Server(const std::optional<tcp::endpoint>& endpoint, Framing framing, std::optional<Work> work, std::size_t workers)
        : service_(framing, work)
    {
        for (std::size_t i = 0; i < workers; ++i)
            workers_.push_back(std::make_unique<ServerWorker>(service_));
        Acceptor& first = workers_.front()->acceptor();
        listening_ = listen(first, endpoint);
        for (std::size_t i = 1; i < workers; ++i)
            share(first, workers_[i]->acceptor());
        for (auto& worker : workers_)
            worker->start();
    }

    // However it ends, threads for what blocks go before the io_contexts that their connections belong to.
    ~Server()
    {
        for (auto& worker : workers_)
            worker->stop();
        service_.end_pool();
    }

    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    const Listening& listening() const { return listening_; }

    Served served() const { return service_.served(); }

    // Messages that each worker began to answer.
    std::vector<std::uint64_t> messages() const
    {
        std::vector<std::uint64_t> messages;
        for (const auto& worker : workers_)
            messages.push_back(worker->messages());
        return messages;
    }

    Histogram timer_lateness() const
    {
        Histogram all;
        for (const auto& worker : workers_)
            worker->add_timer_lateness(all);
        return all;
    }

    void settle() const { service_.settle(); }

    bool has_ended() const
    {
        return std::any_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->has_ended(); });
    }

    // Closes every connection, also idle ones, and tells what was served. Throws what ended a worker before.
    Served stop()
    {
        for (auto& worker : workers_)
            worker->stop();
        for (auto& worker : workers_)
            worker->join();
        service_.end_pool();
        workers_.clear();
        return served();
    }

private:
    static void share(Acceptor& from, Acceptor& to)
    {
        const int descriptor = fcntl(from.native_handle(), F_DUPFD_CLOEXEC, 0);
        if (descriptor < 0)
            throw std::runtime_error("cannot share the listener: "
                + error_code(errno, boost::system::system_category()).message());
        to.assign(from.local_endpoint().protocol(), descriptor);
    }

    Service service_;
    Listening listening_;
    std::vector<std::unique_ptr<ServerWorker>> workers_;
};

} // namespace ioduel
