// What the server does for a message beside echoing it: how much is drawn from the message itself, as every contestant
// draws it.

#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include <time.h>

namespace ioduel {

// One step of splitmix64 (S. Vigna, https://prng.di.unimi.it/splitmix64.c).
inline std::uint64_t mix(std::uint64_t seed)
{
    std::uint64_t z = seed + 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// Mixes bytes into a number, eight at a time, the last filled up with zeros.
inline std::uint64_t mix(std::uint64_t seed, std::string_view bytes)
{
    std::uint64_t mixed = mix(seed);
    while (!bytes.empty()) {
        const std::string_view chunk = bytes.substr(0, 8);
        std::uint64_t word = 0;
        for (std::size_t i = 0; i < chunk.size(); ++i)
            word |= std::uint64_t{static_cast<unsigned char>(chunk[i])} << 8 * i;
        mixed = mix(mixed ^ word);
        bytes.remove_prefix(chunk.size());
    }
    return mixed;
}

// Work for each message.
struct Work {
    enum class Kind { spin, wait, block, offload };
    enum class Distribution { fixed, exponential, bimodal };

    Kind kind;
    std::uint64_t mean_ns;
    Distribution distribution;
    std::uint64_t seed;

    // How much of it a message needs.
    std::chrono::nanoseconds of(std::string_view message) const
    {
        const double unit = static_cast<double>((mix(seed, message) >> 11) + 1) / static_cast<double>(1ULL << 53);
        return std::chrono::nanoseconds(std::llround(static_cast<double>(mean_ns) * drawn(unit)));
    }

private:
    // Takes a uniform number above 0 and up to 1 to one of the distribution, with the mean 1.
    double drawn(double unit) const
    {
        constexpr double times = 50, share = 0.01;
        constexpr double brief = 1 / (1 - share + share * times);
        switch (distribution) {
        case Distribution::exponential: return -std::log(unit);
        case Distribution::bimodal: return unit <= share ? brief * times : brief;
        case Distribution::fixed: break;
        }
        return 1;
    }
};

// Spends so much CPU time of this thread, by the kernel's count of it: a processor is faster and slower from one moment
// to the next, and the time of day goes on while another thread has it. A look at that clock is a system call of half a
// microsecond, of which a message has a few.
inline void spend(std::chrono::nanoseconds time)
{
    const auto now = [] {
        timespec spent{};
        if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent) != 0)
            throw std::runtime_error("the kernel does not tell the CPU time of a thread");
        return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
    };
    constexpr std::chrono::nanoseconds look{500};
    const auto until = now() + time - look / 2;
    while (now() + look < until)
        for (volatile int turn = 0; turn < 100; turn = turn + 1) {
        }
}

} // namespace ioduel
