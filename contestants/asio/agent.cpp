// An agent of ioduel on Boost.Asio: reads one JSON request a line on standard input, answers each with one JSON line on
// standard output, and exits at the end of its input, whatever is going on.
//
// The strategy: asynchronous operations with completion handlers, and one io_context per worker thread.

#include "json.hpp"
#include "load.hpp"
#include "process.hpp"
#include "server.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ioduel {
namespace {

using json::member;
using json::object;
using json::Tree;

Framing framing_of(const Tree& config)
{
    const Tree& framing = json::at(config, "framing");
    if (framing.data() == "chunk")
        return {};
    json::allow(framing, {"fixed"});
    const Tree& fixed = json::at(framing, "fixed");
    json::allow(fixed, {"message_bytes", "reply_bytes"});
    return {json::number<std::size_t>(fixed, "message_bytes"), json::optional_number<std::size_t>(fixed, "reply_bytes")};
}

std::optional<Work> work_of(const Tree& config)
{
    const Tree* work = json::find(config, "work");
    if (!work || work->data() == "null")
        return std::nullopt;
    json::allow(*work, {"kind", "mean_ns", "distribution", "seed"});
    const auto of = [work](const std::string& field, std::initializer_list<std::string_view> names) {
        const std::string& name = json::text(*work, field);
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end())
            throw std::invalid_argument("not a request: unknown " + field + " `" + name + "`");
        return static_cast<int>(found - names.begin());
    };
    Work read;
    read.kind = static_cast<Work::Kind>(of("kind", {"spin", "wait", "block", "offload"}));
    read.mean_ns = json::number<std::uint64_t>(*work, "mean_ns");
    read.distribution = json::find(*work, "distribution")
        ? static_cast<Work::Distribution>(of("distribution", {"fixed", "exponential", "bimodal"}))
        : Work::Distribution::fixed;
    read.seed = json::optional_number<std::uint64_t>(*work, "seed").value_or(0);
    return read;
}

// Where to listen; nothing means on every loopback address.
std::optional<tcp::endpoint> listen_at(const Tree& request)
{
    const Tree& listen = json::at(request, "listen");
    if (listen.data() == "loopback")
        return std::nullopt;
    json::allow(listen, {"address"});
    return parse_endpoint(json::text(listen, "address"));
}

// One event loop unless told otherwise.
std::size_t workers_of(const Tree& tree)
{
    const auto workers = json::optional_number<std::size_t>(tree, "workers").value_or(1);
    if (workers == 0)
        throw std::invalid_argument("0 workers serve nobody; ask for at least 1");
    return workers;
}

std::vector<tcp::endpoint> destinations_of(const Tree& tree)
{
    std::vector<tcp::endpoint> destinations;
    for (const auto& [name, destination] : json::at(tree, "destinations"))
        destinations.push_back(parse_endpoint(destination.data()));
    return destinations;
}

Shape shape_of(const Tree& plan)
{
    const Tree& shape = json::at(plan, "shape");
    json::allow(shape, {"messages", "message_bytes", "reply_bytes"});
    return {json::number<std::uint32_t>(shape, "messages"), json::number<std::size_t>(shape, "message_bytes"),
        json::optional_number<std::size_t>(shape, "reply_bytes")};
}

LoadPlan plan_of(const Tree& request)
{
    const Tree& tree = json::at(request, "plan");
    json::allow(tree, {"destinations", "connections", "shape", "extent", "workers", "seed"});
    LoadPlan plan;
    plan.destinations = destinations_of(tree);
    plan.connections = json::number<std::size_t>(tree, "connections");
    plan.shape = shape_of(tree);
    plan.workers = workers_of(tree);
    plan.seed = json::optional_number<std::uint64_t>(tree, "seed").value_or(0);
    const Tree& extent = json::at(tree, "extent");
    json::allow(extent, {"sessions", "timed", "sliced"});
    if (const Tree* timed = json::find(extent, "timed")) {
        json::allow(*timed, {"ramp_ms", "window_ms"});
        using std::chrono::milliseconds;
        plan.timed = {milliseconds(json::number<std::uint32_t>(*timed, "ramp_ms")),
            milliseconds(json::number<std::uint32_t>(*timed, "window_ms"))};
    } else if (const Tree* sliced = json::find(extent, "sliced")) {
        json::allow(*sliced, {"board"});
        plan.board = json::text(*sliced, "board");
    } else {
        plan.sessions = json::number<std::uint64_t>(extent, "sessions");
    }
    return plan;
}

std::string to_json(const std::vector<tcp::endpoint>& endpoints)
{
    std::vector<std::string> texts;
    for (const auto& endpoint : endpoints)
        texts.push_back(to_string(endpoint));
    return json::quote(texts);
}

std::string to_json(const Served& served)
{
    return object({member("served",
        object({
            member("connections", served.connections),
            member("messages", served.messages),
            member("failures", served.failures),
            member("most_open", served.most_open),
        }))});
}

std::string thread_work(const Server& server)
{
    std::string messages;
    for (const std::uint64_t count : server.messages())
        messages += (messages.empty() ? "" : ",") + std::to_string(count);
    return object({member("thread_work",
        object({
            member("messages", "[" + messages + "]"),
            member("timer_lateness", json::quote(server.timer_lateness().text())),
        }))});
}

std::string to_json(const LoadRun& run, const PortLimit& limit)
{
    return object({member("drove",
        object({
            member("sessions", run.tally.session.count()),
            member("messages", run.tally.round_trip.count()),
            member("messages_in_all", run.tally.messages_in_all),
            member("window_s", run.window.count()),
            member("elapsed_s", run.elapsed.count()),
            member("connect", json::quote(run.tally.connect.text())),
            member("round_trip", json::quote(run.tally.round_trip.text())),
            member("session", json::quote(run.tally.session.text())),
            member("close", json::quote(run.tally.close.text())),
            member("unfinished", json::quote(run.tally.unfinished.text())),
            member("failures", run.failures),
            member("first_failure", run.first_failure ? json::quote(*run.first_failure) : "null"),
            member("port_limit",
                object({
                    member("ports", std::uint64_t{limit.ports}),
                    member("rest_s", limit.rest_s),
                    member("destinations", std::uint64_t{limit.destinations}),
                })),
        }))});
}

class Agent {
public:
    // Answers one request with one line.
    std::string reply(const std::string& line)
    {
        std::string answer;
        try {
            answer = this->answer(line);
        } catch (const std::exception& error) {
            answer = object({member("failed", object({member("error", json::quote(error.what()))}))});
        }
        return object({member("answer", answer)});
    }

private:
    std::string answer(const std::string& line)
    {
        const Tree request = json::parse(line);
        const std::string& name = json::text(request, "request");
        if (name == "serve")
            return serve(request);
        if (name == "drive")
            return drive(request);
        if (name == "hold")
            return hold(request);
        json::allow(request, {"request"});
        if (name == "cost")
            return cost();
        if (name == "served")
            return to_json(server().served());
        if (name == "thread_work")
            return thread_work(server());
        if (name == "stop")
            return stop();
        if (name == "release")
            return release();
        throw std::invalid_argument("not a request: unknown request `" + name + "`");
    }

    std::string serve(const Tree& request)
    {
        json::allow(request, {"request", "backend", "listen", "config"});
        const Tree& config = json::at(request, "config");
        json::allow(config, {"framing", "workers", "burn_ns", "work"});
        if (server_)
            throw std::runtime_error("it serves already");
        if (json::optional_number<std::uint64_t>(config, "burn_ns").value_or(0) > 0)
            throw std::runtime_error("it burns no CPU time on purpose; leave burn_ns at 0");
        const Framing framing = framing_of(config);
        framing.check();
        server_ = std::make_unique<Server>(listen_at(request), framing, work_of(config), workers_of(config));
        const Listening& listening = server_->listening();
        return object({member("serving",
            object({
                member("destinations", to_json(listening.destinations)),
                member("fallbacks", json::quote(listening.fallbacks)),
            }))});
    }

    Server& server()
    {
        if (!server_)
            throw std::runtime_error("it does not serve");
        return *server_;
    }

    // What it spends is read from outside, once it has answered this: the end of each connection whose peer has closed is part
    // of it. And the server, if there is one, must still serve.
    std::string cost()
    {
        if (server_)
            server_->settle();
        if (server_ && server_->has_ended()) {
            stop();
            throw std::runtime_error("the server ended by itself");
        }
        return json::quote("cost");
    }

    std::string stop()
    {
        // So that the last replies are told of.
        server().settle();
        const auto stopping = std::move(server_);
        return to_json(stopping->stop());
    }

    std::string drive(const Tree& request) const
    {
        json::allow(request, {"request", "backend", "plan"});
        LoadPlan plan = plan_of(request);
        plan.shape.check();
        if (plan.destinations.empty())
            throw std::invalid_argument("a load needs a destination");
        if (plan.connections == 0)
            throw std::invalid_argument("a load needs at least one connection");
        descriptors_.require(plan.connections);
        const PortLimit limit = port_limit(plan.destinations);
        return to_json(ioduel::drive(std::move(plan)), limit);
    }

    // Opens connections and exchanges one message on each, so that the server has accepted and read.
    std::string hold(const Tree& request)
    {
        json::allow(request, {"request", "destinations", "connections", "message_bytes", "reply_bytes"});
        const auto destinations = destinations_of(request);
        const auto connections = json::number<std::size_t>(request, "connections");
        if (destinations.empty())
            throw std::invalid_argument("connections need a destination");
        descriptors_.require(connections);
        const std::string message(json::number<std::size_t>(request, "message_bytes"), 'm');
        const auto reply_bytes = json::optional_number<std::size_t>(request, "reply_bytes");
        check_reply(message.size(), reply_bytes);
        std::string expected = new_reply(reply_bytes.value_or(reply_prefix.size() + message.size()));
        std::copy(message.begin(), message.end(), expected.begin() + reply_prefix.size());
        for (std::size_t i = 0; i < connections; ++i)
            held_.push_back(exchange_one(destinations[i % destinations.size()], message, expected));
        return json::quote("held");
    }

    Socket exchange_one(const tcp::endpoint& destination, const std::string& message, const std::string& expected)
    {
        std::string reply(expected.size(), '\0');
        Socket socket(holding_);
        socket.connect(destination);
        socket.set_option(tcp::no_delay(true));
        asio::write(socket, asio::buffer(message));
        asio::read(socket, asio::buffer(reply));
        if (reply != expected)
            throw std::runtime_error("wrong reply");
        return socket;
    }

    std::string release()
    {
        held_.clear();
        return json::quote("released");
    }

    DescriptorLimit descriptors_;
    std::unique_ptr<Server> server_;
    // Connections that are held without a word, and what they belong to; nothing runs it.
    asio::io_context holding_{1};
    std::vector<Socket> held_;
};

// Hands over the lines of standard input, and ends the process when there are no more: at once, for a load may be under
// way that nobody waits for.
void read_requests(asio::io_context& requests, Agent& agent)
{
    for (std::string line; std::getline(std::cin, line);)
        asio::post(requests, [&agent, line = std::move(line)] {
            if (!(std::cout << agent.reply(line) << std::endl))
                std::_Exit(EXIT_FAILURE);
        });
    std::_Exit(EXIT_SUCCESS);
}

} // namespace
} // namespace ioduel

int main()
try {
    ioduel::Agent agent;
    boost::asio::io_context requests(1);
    const auto open = boost::asio::make_work_guard(requests);
    std::thread reader([&] { ioduel::read_requests(requests, agent); });
    requests.run();
    reader.join();
} catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    std::_Exit(EXIT_FAILURE);
}
