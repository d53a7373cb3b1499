// Durations, counted in nanoseconds to three significant digits, in memory that does not grow.
//
// The layout is HdrHistogram's (http://hdrhistogram.org): buckets of 2,048 steps, each bucket twice as coarse as the
// one before, and only the upper half of all but the first in use. The text is the base64 of its V2 encoding, which the
// tools of that project read; uncompressed, for zlib is no part of Boost's headers.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace ioduel {

class Histogram {
public:
    Histogram() : counts_((buckets + 1) * half) {}

    void record(std::chrono::nanoseconds duration)
    {
        const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
        ++counts_[index(ns < end_ns ? ns : longest_ns)];
        ++count_;
    }

    void merge(const Histogram& other)
    {
        for (std::size_t i = 0; i < counts_.size(); ++i)
            counts_[i] += other.counts_[i];
        count_ += other.count_;
    }

    std::uint64_t count() const { return count_; }

    // Encodes all counts as base64 text.
    std::string text() const;

private:
    // The longest duration told apart.
    static constexpr std::uint64_t longest_ns = 120'000'000'000;
    static constexpr std::uint32_t digits = 3;
    // The smallest power of two that tells 2 × 10^digits steps apart.
    static constexpr int step_bits = 11;
    static constexpr std::size_t half = std::size_t{1} << (step_bits - 1);

    // How many buckets it takes to cover the longest duration.
    static constexpr int buckets = [] {
        int needed = 1;
        while ((std::uint64_t{1} << (step_bits + needed - 1)) <= longest_ns)
            ++needed;
        return needed;
    }();
    // Where the last bucket ends; what is longer counts as the longest told apart.
    static constexpr std::uint64_t end_ns = std::uint64_t{1} << (step_bits + buckets - 1);

    static std::size_t index(std::uint64_t ns)
    {
        const int bucket = 64 - step_bits - __builtin_clzll(ns | (2 * half - 1));
        return bucket * half + static_cast<std::size_t>(ns >> bucket);
    }

    std::string encoded_counts() const;

    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
};

namespace detail {

// Appends a number, the most significant byte first.
template <class Number>
void put(std::string& out, Number number)
{
    for (int shift = 8 * (sizeof number - 1); shift >= 0; shift -= 8)
        out += static_cast<char>(number >> shift);
}

// Appends a number as HdrHistogram's variant of LEB128: 7 bits a byte, the lowest first, and the ninth byte whole.
// The low bit says whether it is negative.
inline void put_varint(std::string& out, std::int64_t number)
{
    auto rest = (static_cast<std::uint64_t>(number) << 1) ^ static_cast<std::uint64_t>(number >> 63);
    for (int byte = 0; byte < 8 && rest >= 0x80; ++byte, rest >>= 7)
        out += static_cast<char>(rest | 0x80);
    out += static_cast<char>(rest);
}

inline std::string base64(std::string_view bytes)
{
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t three = 0;
        for (std::size_t j = i; j < i + 3; ++j)
            three = three << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0);
        for (int shift = 18; shift >= 0; shift -= 6)
            out += digits[three >> shift & 63];
    }
    const std::size_t padding = (3 - bytes.size() % 3) % 3;
    return out.replace(out.size() - padding, padding, padding, '=');
}

} // namespace detail

// Writes each count, and a run of empty ones as its negative length, up to the last that is not empty.
inline std::string Histogram::encoded_counts() const
{
    std::size_t end = counts_.size();
    while (end > 1 && counts_[end - 1] == 0)
        --end;
    std::string out;
    for (std::size_t i = 0; i < end;) {
        std::size_t behind = i;
        while (behind < end && counts_[behind] == 0)
            ++behind;
        const auto empty = static_cast<std::int64_t>(behind - i);
        detail::put_varint(out, empty > 1 ? -empty : static_cast<std::int64_t>(counts_[i]));
        i = empty > 1 ? behind : i + 1;
    }
    return out;
}

inline std::string Histogram::text() const
{
    constexpr std::uint32_t v2_cookie = 0x1c849313;
    const double ratio = 1.0;
    std::uint64_t ratio_bits;
    std::memcpy(&ratio_bits, &ratio, sizeof ratio_bits);
    const std::string counts = encoded_counts();
    std::string out;
    detail::put(out, v2_cookie);
    detail::put(out, static_cast<std::uint32_t>(counts.size()));
    detail::put(out, std::uint32_t{0}); // The index is not normalized.
    detail::put(out, digits);
    detail::put(out, std::uint64_t{1}); // The shortest duration told apart.
    detail::put(out, longest_ns);
    detail::put(out, ratio_bits);
    return detail::base64(out + counts);
}

} // namespace ioduel
