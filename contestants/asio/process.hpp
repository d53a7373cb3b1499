// What this process may open, and what it spends.

#pragma once

#include "json.hpp"

#include <cerrno>
#include <fstream>
#include <limits>
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

// Reads what the process spent, each time since the time before.
class CostMeter {
public:
    CostMeter() : before_(usage()) {}

    // Tells the cost since the last reading, as JSON, and begins anew.
    std::string read()
    {
        const rusage was = before_;
        const rusage is = before_ = usage();
        const std::string memory = memory_members();
        forget_peak_memory();
        return json::object({
            json::member("user_s", seconds(is.ru_utime) - seconds(was.ru_utime)),
            json::member("system_s", seconds(is.ru_stime) - seconds(was.ru_stime)),
            json::member("voluntary_switches", static_cast<std::uint64_t>(is.ru_nvcsw - was.ru_nvcsw)),
            json::member("involuntary_switches", static_cast<std::uint64_t>(is.ru_nivcsw - was.ru_nivcsw)),
            memory,
            // Who asks reads the kernel's counters without our help.
            json::member("kernel", "null"),
        });
    }

private:
    static rusage usage()
    {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage;
    }

    static double seconds(const timeval& time) { return time.tv_sec + time.tv_usec / 1e6; }

    // The high-water mark of resident memory, and what is resident now. The mark is not ru_maxrss, which starts with
    // the parent's at exec.
    static std::string memory_members()
    {
        std::string peak = "null";
        std::string resident = "null";
        std::ifstream status("/proc/self/status");
        for (std::string name; status >> name; status.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
            std::uint64_t kib = 0;
            if (name == "VmHWM:" && status >> kib)
                peak = std::to_string(kib * 1024);
            else if (name == "VmRSS:" && status >> kib)
                resident = std::to_string(kib * 1024);
        }
        return json::member("peak_memory_bytes", peak) + "," + json::member("resident_bytes", resident);
    }

    // Sets the high-water mark back to what is resident now (proc(5), clear_refs, value 5). Where it can't be done the
    // mark stays, and later peaks are told too high, never too low.
    static void forget_peak_memory() { std::ofstream("/proc/self/clear_refs") << 5; }

    rusage before_;
};

} // namespace ioduel
