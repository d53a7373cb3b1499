// What must be the same for every contestant: the listener, its options and its port, and what the port table allows.

#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

namespace ioduel {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Asio's own types for the one executor that is used here: its default, which can hold any executor, costs an
// indirection at every operation.
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;

// Reads an address such as 127.0.0.1:80 or [::1]:80.
inline tcp::endpoint parse_endpoint(const std::string& text)
{
    const auto bad = [&] { return std::invalid_argument("not an address with a port: " + text); };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos)
        throw bad();
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    std::uint16_t port = 0;
    const auto [end, unparsed] = std::from_chars(&text[colon + 1], text.data() + text.size(), port);
    error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error || unparsed != std::errc{} || end != text.data() + text.size())
        throw bad();
    return {address, port};
}

inline std::string to_string(const tcp::endpoint& endpoint)
{
    std::ostringstream out;
    out << endpoint;
    return out.str();
}

// The ports that the kernel takes for clients.
struct PortRange {
    // Linux's default.
    std::uint16_t first = 32'768;
    std::uint16_t last = 60'999;

    bool contains(std::uint16_t port) const { return first <= port && port <= last; }
};

inline PortRange ephemeral_range()
{
    PortRange range;
    std::ifstream in("/proc/sys/net/ipv4/ip_local_port_range");
    return in >> range.first >> range.last ? range : PortRange{};
}

// What decides how many sessions a second the kernel's port table allows a client.
struct PortLimit {
    std::uint32_t ports;
    // How long a port rests before it may be used again for the same destination.
    double rest_s;
    std::uint32_t destinations;
};

inline std::optional<std::uint64_t> tcp_setting(const std::string& name)
{
    std::ifstream in("/proc/sys/net/ipv4/" + name);
    std::uint64_t value = 0;
    return in >> value ? std::optional(value) : std::nullopt;
}

// Reads this machine's settings, for a client that rotates over these destinations. tcp_tw_reuse = 1 lets a port in
// TIME_WAIT be used again early towards every destination, and 2, the default, on loopback alone.
inline PortLimit port_limit(const std::vector<tcp::endpoint>& destinations)
{
    constexpr double time_wait_s = 60;
    const PortRange range = ephemeral_range();
    const bool loopback = std::all_of(destinations.begin(), destinations.end(),
        [](const tcp::endpoint& destination) { return destination.address().is_loopback(); });
    const auto reuse = tcp_setting("tcp_tw_reuse").value_or(0);
    const bool early = reuse == 1 || (reuse == 2 && loopback);
    const double early_s = static_cast<double>(tcp_setting("tcp_tw_reuse_delay").value_or(1000)) / 1e3;
    const auto count = static_cast<std::uint32_t>(destinations.size());
    return {range.last - range.first + 1u, early ? early_s : time_wait_s, count};
}

// How a listening socket is reached, and what was done in place of what the platform lacks.
struct Listening {
    std::vector<tcp::endpoint> destinations;
    std::vector<std::string> fallbacks;
};

namespace detail {

// Asked for by less, 500 connects at once stall for seconds on retransmitted SYNs. The kernel caps it at somaxconn.
constexpr int backlog = 4096;

// How many loopback addresses the destinations rotate over: each adds a whole port range.
constexpr int most_destinations = 64;

constexpr std::string_view loopback_device = "lo";

// Where ports are looked for: below the ephemeral range of Linux, above what services are registered at.
constexpr std::uint16_t first_port = 20'000;
constexpr std::uint16_t last_port = 29'999;

inline void open(Acceptor& acceptor, const tcp& protocol)
{
    acceptor.open(protocol);
    // Connections of an earlier run in TIME_WAIT must not keep the port from us.
    acceptor.set_option(Acceptor::reuse_address(true));
    // Accepted connections inherit it.
    acceptor.set_option(tcp::no_delay(true));
}

// Binds to a free port outside the ephemeral range, where no client can already sit on it.
inline void bind_to_free_port(Acceptor& acceptor, const asio::ip::address& address)
{
    const PortRange ephemeral = ephemeral_range();
    const unsigned ports = last_port - first_port + 1;
    // Runs that start together begin their search at different ports.
    const unsigned first = std::random_device{}() % ports;
    for (unsigned turn = 0; turn < ports; ++turn) {
        const auto port = static_cast<std::uint16_t>(first_port + (first + turn) % ports);
        if (ephemeral.contains(port))
            continue;
        error_code error;
        acceptor.bind({address, port}, error);
        if (!error)
            return;
        if (error != asio::error::address_in_use)
            throw std::runtime_error("cannot bind to " + address.to_string() + ": " + error.message());
    }
    throw std::runtime_error("no free port on " + address.to_string() + " in " + std::to_string(first_port) + "–"
        + std::to_string(last_port) + " outside the ephemeral range");
}

// The loopback addresses that answer here: 127.0.0.1 to 127.0.0.64 on Linux, one alone elsewhere.
inline std::vector<asio::ip::address> loopback_addresses(Acceptor::executor_type executor)
{
    std::vector<asio::ip::address> addresses;
    for (int last = 1; last <= most_destinations; ++last) {
        const auto address = asio::ip::address_v4({127, 0, 0, static_cast<unsigned char>(last)});
        Acceptor probe(executor, tcp::v4());
        error_code error;
        probe.bind({address, 0}, error);
        if (error)
            break;
        addresses.push_back(address);
    }
    return addresses;
}

// Listens on every loopback address at once: a wildcard listener that only the loopback device can reach. Linux allows
// it without privilege (since 5.7); where it does not, one address has to do.
inline Listening listen_on_loopback(Acceptor& acceptor)
{
    open(acceptor, tcp::v4());
    Listening listening;
    std::vector<asio::ip::address> addresses{asio::ip::address_v4::loopback()};
    const std::string_view device = loopback_device;
    if (setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_BINDTODEVICE, device.data(), device.size()) == 0) {
        bind_to_free_port(acceptor, asio::ip::address_v4::any());
        addresses = loopback_addresses(acceptor.get_executor());
        if (addresses.size() == 1)
            listening.fallbacks.emplace_back("one destination: this machine has no loopback address but 127.0.0.1");
    } else {
        listening.fallbacks.push_back("listening on 127.0.0.1 alone: cannot bind to device "
            + std::string(device) + ": " + error_code(errno, boost::system::system_category()).message());
        bind_to_free_port(acceptor, addresses.front());
    }
    acceptor.listen(backlog);
    for (const auto& address : addresses)
        listening.destinations.emplace_back(address, acceptor.local_endpoint().port());
    return listening;
}

// Listens at one address; port 0 means a free port outside the ephemeral range.
inline Listening listen_at(Acceptor& acceptor, const tcp::endpoint& endpoint)
{
    open(acceptor, endpoint.protocol());
    error_code error;
    if (endpoint.port() == 0)
        bind_to_free_port(acceptor, endpoint.address());
    else
        acceptor.bind(endpoint, error);
    if (!error)
        acceptor.listen(backlog, error);
    if (error)
        throw std::runtime_error(
            "cannot listen on " + to_string(endpoint) + "; choose another with --listen: " + error.message());
    return {{acceptor.local_endpoint()}, {}};
}

// Says so when the kernel cuts the backlog short.
inline std::optional<std::string> backlog_fallback()
{
    std::ifstream in("/proc/sys/net/core/somaxconn");
    int cap = 0;
    if (!(in >> cap) || cap >= backlog)
        return std::nullopt;
    return "backlog " + std::to_string(cap) + " instead of " + std::to_string(backlog) + ": raise net.core.somaxconn";
}

// Says so when the port was asked for and lies where clients' ports are taken from.
inline std::optional<std::string> ephemeral_fallback(std::uint16_t port)
{
    const PortRange range = ephemeral_range();
    if (!range.contains(port))
        return std::nullopt;
    return "port " + std::to_string(port) + " lies in the ephemeral range " + std::to_string(range.first) + "–"
        + std::to_string(range.last) + ": a client may sit on it already";
}

} // namespace detail

// Opens a listener at an address, or, without one, at every loopback address.
inline Listening listen(Acceptor& acceptor, const std::optional<tcp::endpoint>& endpoint)
{
    Listening listening =
        endpoint ? detail::listen_at(acceptor, *endpoint) : detail::listen_on_loopback(acceptor);
    if (auto fallback = detail::backlog_fallback())
        listening.fallbacks.push_back(*fallback);
    if (auto fallback = detail::ephemeral_fallback(acceptor.local_endpoint().port()))
        listening.fallbacks.push_back(*fallback);
    return listening;
}

} // namespace ioduel
