// What this process may open.

#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#include <sys/resource.h>

namespace ioduel {

// How many descriptors this process may open: its hard limit, to which the soft one is raised.
class DescriptorLimit {
public:
    DescriptorLimit()
    {
        rlimit limit{};
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
            throw std::system_error(errno, std::generic_category(), "cannot read the limit on descriptors");
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            throw std::system_error(errno, std::generic_category(), "cannot raise the limit on descriptors");
        limit_ = limit.rlim_max;
    }

    // Throws, with the numbers, when so many connections cannot be open at once.
    void require(std::size_t connections) const
    {
        if (connections <= limit_ && connections + overhead <= limit_)
            return;
        throw std::runtime_error(std::to_string(connections) + " connections need "
            + std::to_string(connections + overhead) + " descriptors, and this process may open "
            + std::to_string(limit_) + "; raise the hard limit (`ulimit -Hn`) or ask for fewer connections");
    }

private:
    // What is open besides connections: standard streams, listener, reactors.
    static constexpr rlim_t overhead = 24;

    rlim_t limit_ = 0;
};

} // namespace ioduel
