// Requests in, replies out: what an agent needs of JSON.
//
// Boost's property tree keeps every value as its text; so numbers are checked here, and `null` is the text null.

#pragma once

// The property tree of Boost 1.73 to 1.75 includes a header that would otherwise say that it is old.
#define BOOST_BIND_GLOBAL_PLACEHOLDERS

#include <boost/property_tree/json_parser.hpp>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ioduel::json {

using Tree = boost::property_tree::ptree;

inline Tree parse(const std::string& line)
try {
    std::istringstream in(line);
    Tree tree;
    boost::property_tree::read_json(in, tree);
    return tree;
} catch (const boost::property_tree::json_parser_error& error) {
    throw std::invalid_argument("not a request: " + error.message());
}

// Refuses fields that are not known here: what they ask for would be left out without a word.
inline void allow(const Tree& tree, std::initializer_list<std::string_view> known)
{
    for (const auto& [key, value] : tree)
        if (std::find(known.begin(), known.end(), key) == known.end())
            throw std::invalid_argument("not a request: unknown field `" + key + "`");
}

inline const Tree* find(const Tree& tree, const std::string& key)
{
    const auto found = tree.find(key);
    return found == tree.not_found() ? nullptr : &found->second;
}

inline const Tree& at(const Tree& tree, const std::string& key)
{
    if (const Tree* found = find(tree, key))
        return *found;
    throw std::invalid_argument("not a request: missing field `" + key + "`");
}

inline const std::string& text(const Tree& tree, const std::string& key) { return at(tree, key).data(); }

template <class Number>
Number number(const Tree& tree, const std::string& key)
{
    const std::string& digits = text(tree, key);
    Number number{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size())
        throw std::invalid_argument("not a request: field `" + key + "` must be a whole number that fits");
    return number;
}

// A number, or nothing where the field is null or absent.
template <class Number>
std::optional<Number> optional_number(const Tree& tree, const std::string& key)
{
    const Tree* found = find(tree, key);
    if (!found || found->data() == "null")
        return std::nullopt;
    return number<Number>(tree, key);
}

// Writes a string with its quotes.
inline std::string quote(std::string_view text)
{
    std::string out = "\"";
    for (const char c : text) {
        static constexpr char hex[] = "0123456789abcdef";
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else if (static_cast<unsigned char>(c) < 0x20)
            ((out += "\\u00") += hex[c >> 4]) += hex[c & 15];
        else
            out += c;
    }
    return out += '"';
}

// Writes strings as an array.
inline std::string quote(const std::vector<std::string>& texts)
{
    std::string out = "[";
    for (const auto& text : texts)
        (out += out.size() > 1 ? "," : "") += quote(text);
    return out += ']';
}

// Writes the name of a member and its value, which is JSON already.
inline std::string member(std::string_view name, const std::string& value) { return quote(name) + ":" + value; }

inline std::string member(std::string_view name, std::uint64_t value) { return member(name, std::to_string(value)); }

inline std::string member(std::string_view name, double value) { return member(name, std::to_string(value)); }

inline std::string object(std::initializer_list<std::string> members)
{
    std::string out = "{";
    for (const auto& member : members)
        (out += out.size() > 1 ? "," : "") += member;
    return out += '}';
}

} // namespace ioduel::json
