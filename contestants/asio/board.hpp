// The page of memory that the asker of a sliced load shares with this client, whose process it stops and continues.
//
// The process is stopped (SIGSTOP) most of the time, and continued (SIGCONT) for some milliseconds, again and again.
// The page tells for how long it has rested, so that all times can be taken in active time, which stands still in a
// rest; and whether what ends now counts. In turn the client counts there what it has done, to be read while it runs.

#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ioduel {

// It reads CLOCK_MONOTONIC, and so does the asker.
using Clock = std::chrono::steady_clock;

// How far a load has come.
enum class State {
    // What ends now counts for nothing.
    warming,
    // The window is open: what ends now counts.
    open,
    // The window has closed for good: no further message is sent.
    over,
};

class Board {
public:
    // What one worker has done, whatever the state. Only the client writes it.
    struct alignas(64) Counter {
        // Replies verified.
        std::atomic<std::uint64_t> messages;
        // Whole sessions ended.
        std::atomic<std::uint64_t> sessions;
    };

    // Opens the page of another process. Throws when there is none, or its layout is another.
    explicit Board(const std::string& path) : page_(map(path))
    {
        const auto found = page_->version.load(std::memory_order_acquire);
        if (found != version)
            throw std::runtime_error("cannot share " + path + ": its version is " + std::to_string(found)
                + ", and this program knows " + std::to_string(version));
    }

    State state() const
    {
        switch (page_->state.load(std::memory_order_acquire)) {
        case 1: return State::open;
        case 2: return State::over;
        default: return State::warming;
        }
    }

    // When the load was declared over, in active time; means something only when it is.
    Clock::time_point closed() const
    {
        const std::chrono::nanoseconds closed_ns(page_->closed_ns.load(std::memory_order_acquire));
        return active(Clock::time_point(closed_ns));
    }

    // Turns an instant into active time.
    //
    // An instant that was read before a rest and is converted after it comes out right, for the page tells when the
    // last rests ended. They change only while this process is stopped, so what is read is of one time unless a rest
    // fell between two of the loads.
    Clock::time_point active(Clock::time_point instant) const
    {
        using std::chrono::nanoseconds;
        const auto at_ns = static_cast<std::uint64_t>(nanoseconds(instant.time_since_epoch()).count());
        for (;;) {
            const std::uint64_t rests = page_->rested.load(std::memory_order_acquire);
            const nanoseconds rested(rested_ns_at(at_ns, rests));
            if (page_->rested.load(std::memory_order_acquire) == rests)
                return instant - rested;
        }
    }

    // The counter of the worker of this number, from 0. Past the last, workers share: add to it atomically.
    Counter& counter(std::size_t worker) { return page_->counters[worker % counters]; }

private:
    // The number of this layout.
    static constexpr std::uint64_t version = 2;

    static constexpr std::size_t counters = 64;

    // Rests that the page remembers.
    static constexpr std::size_t remembered = 8;

    // A rest that is over.
    struct Rest {
        // When the process was continued.
        std::atomic<std::uint64_t> resumed_ns;
        // For how long it had been stopped by then, with all rests before.
        std::atomic<std::uint64_t> rested_ns;
    };

    // The layout: what the asker writes, then a line for each counter.
    struct Page {
        std::atomic<std::uint64_t> version;
        std::atomic<std::uint64_t> state;
        // How many rests there have been.
        std::atomic<std::uint64_t> rested;
        // When the load was declared over.
        std::atomic<std::uint64_t> closed_ns;
        std::uint64_t unused[4];
        // The last of them: that of number n, from 0, stands at n % 8.
        Rest rests[remembered];
        Counter counters[Board::counters];
    };
    static_assert(offsetof(Page, rested) == 16 && offsetof(Page, closed_ns) == 24 && offsetof(Page, rests) == 64
        && offsetof(Page, counters) == 192);
    static_assert(sizeof(Page) == 192 + 64 * counters && std::atomic<std::uint64_t>::is_always_lock_free);

    // For how long the process had rested by a time, when there have been so many rests: before the oldest that is
    // remembered, as long as then.
    std::uint64_t rested_ns_at(std::uint64_t at_ns, std::uint64_t rests) const
    {
        constexpr auto acquire = std::memory_order_acquire;
        const std::uint64_t oldest = rests > remembered ? rests - remembered : 0;
        for (std::uint64_t number = rests; number > oldest; --number) {
            const Rest& rest = page_->rests[(number - 1) % remembered];
            if (rest.resumed_ns.load(acquire) <= at_ns)
                return rest.rested_ns.load(acquire);
        }
        return oldest > 0 ? page_->rests[oldest % remembered].rested_ns.load(acquire) : 0;
    }

    struct Unmap {
        void operator()(Page* page) const { munmap(page, sizeof *page); }
    };

    // A file that is open for as long as it takes to map it.
    struct File {
        explicit File(const std::string& path) : descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {}
        ~File() { ::close(descriptor); }
        File(const File&) = delete;
        File& operator=(const File&) = delete;

        const int descriptor;
    };

    static std::unique_ptr<Page, Unmap> map(const std::string& path)
    {
        const auto failed = [&] { return std::system_error(errno, std::generic_category(), "cannot share " + path); };
        const File file(path);
        struct stat status {};
        if (file.descriptor < 0 || fstat(file.descriptor, &status) != 0)
            throw failed();
        // Memory behind the end of a file can be mapped, and ends the process when it is read.
        if (status.st_size < static_cast<off_t>(sizeof(Page)))
            throw std::runtime_error("cannot share " + path + ": it is shorter than a board");
        void* const page = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, 0);
        if (page == MAP_FAILED)
            throw failed();
        return std::unique_ptr<Page, Unmap>(static_cast<Page*>(page));
    }

    std::unique_ptr<Page, Unmap> page_;
};

} // namespace ioduel
