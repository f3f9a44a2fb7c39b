#pragma once

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace engraft::text {

/// Everything streamed into one string: cat("row ", 3).
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string trim(std::string_view text);
/// ASCII only; other bytes stay.
std::string lower(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// The whole of `text` as a number, or nothing ("12x", "", " 1" give nothing). Not dependent on the locale.
std::optional<int64_t> to_int(std::string_view text);
std::optional<double> to_double(std::string_view text);

/// The candidate with the least edit distance to `word`, if that is at most a third of its length (at least 2).
std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& candidates);

/// At most `most` names, the rest as "… last": a b c … z.
std::string abridge(const std::vector<std::string>& names, size_t most, std::string_view separator = " ");

/// 1 picture, 2 pictures.
std::string count_of(int64_t n, std::string_view singular, std::string_view plural = "");
/// 1536 -> "1.5 KiB".
std::string bytes(double n);
/// 5012345 -> "5.01 M"; 811 -> "811".
std::string magnitude(double n);
/// 3725 s -> "1h 02m"; 75 -> "1m 15s"; 3.21 -> "3.2s".
std::string duration(double seconds);
/// Fixed decimals, not dependent on the locale: fixed(3.14159, 2) = "3.14".
std::string fixed(double value, int decimals);
/// The shortest text that reads back as the same double (round trip), "nan", "inf".
std::string shortest(double value);
/// The same for a float.
std::string shortest(float value);
/// "[2, 3, 4]".
std::string shape(const std::vector<int64_t>& sizes);

}  // namespace engraft::text
