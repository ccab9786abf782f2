#include "data/formats/csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "data/bytes/line_reader.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

using Fields = std::vector<std::string_view>;

constexpr std::string_view kDelimiters = "\t;, ";  // any number of spaces counts as one delimiter
constexpr std::size_t kMostFields = std::size_t{1} << 20;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

// Whether a line may have too many fields with any delimiter.
bool is_too_wide(std::string_view line) {
  std::size_t count = 0;
  for (std::size_t i = 0; line.size() > kMostFields && i + 1 < line.size(); ++i)
    if (kDelimiters.find(line[i]) != kDelimiters.npos && line[i + 1] != ' ') ++count;
  return count > kMostFields;
}

// Splits a line into fields without surrounding spaces and quotes; returns false if a quote has no end. A doubled quote
// inside quotes stays doubled, because no number contains one.
bool split(std::string_view line, char delimiter, Fields& fields) {
  fields.clear();
  if (delimiter == ' ') line = trimmed(line);
  for (std::size_t at = 0;;) {
    std::size_t end = line.find_first_not_of(delimiter == '\t' ? " " : " \t", at);
    if (end != line.npos && line[end] == '"') {
      const std::size_t begin = ++end;
      do {
        end = line.find('"', end);
        if (end == line.npos) return false;
      } while (line.substr(++end).starts_with('"') && ++end);
      fields.push_back(trimmed(line.substr(begin, end - 1 - begin)));
      at = std::min(line.find(delimiter, end), line.size());
      if (!trimmed(line.substr(end, at - end)).empty()) return false;
    } else {
      end = std::min(delimiter == ' ' ? line.find_first_of(" \t", at) : line.find(delimiter, at), line.size());
      fields.push_back(trimmed(line.substr(at, end - at)));
      at = end;
    }
    if (at == line.size()) return true;
    at = delimiter == ' ' ? line.find_first_not_of(" \t", at) : at + 1;
  }
}

enum class Meaning { number, missing, infinite, beyond_float32, decimal_comma, word };

Meaning parse(std::string_view field, float& value) {
  if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
  double parsed = 0;
  const auto [end, status] = std::from_chars(field.data(), field.data() + field.size(), parsed);
  if (end == field.data() + field.size() && !field.empty()) {
    if (std::isnan(parsed)) return Meaning::missing;
    if (std::isinf(parsed)) return Meaning::infinite;
    if (status != std::errc() || std::abs(parsed) > std::numeric_limits<float>::max()) return Meaning::beyond_float32;
    value = static_cast<float>(parsed);
    return Meaning::number;
  }
  if (field.find(',') != field.npos && field.find_first_not_of("0123456789,+-") == field.npos)
    return Meaning::decimal_comma;
  constexpr std::array<std::string_view, 12> missing = {"",     "NA",   "N/A", "n/a", "#N/A", "na",
                                                        "null", "NULL", "?",   "-",   "None", "none"};
  return std::find(missing.begin(), missing.end(), field) != missing.end() ? Meaning::missing : Meaning::word;
}

std::size_t count(const Fields& fields, Meaning meaning) {
  float ignored = 0;
  return static_cast<std::size_t>(std::count_if(
      fields.begin(), fields.end(), [&](std::string_view field) { return parse(field, ignored) == meaning; }));
}

// The first delimiter that makes every field a number, or else the first one that the line contains.
char delimiter_of(std::string_view line) {
  Fields fields;
  for (const char delimiter : kDelimiters)
    if (split(line, delimiter, fields) && count(fields, Meaning::number) == fields.size()) return delimiter;
  for (const char delimiter : kDelimiters)
    if (line.find(delimiter) != line.npos) return delimiter;
  return ',';
}

class TableParser {
 public:
  TableParser(FileContent& content, const std::function<void(Index)>& check_width, NaNs nans)
      : name_(content.name()), lines_(content), check_width_(check_width), nans_(nans) {}

  Table table() {
    if (!next()) throw Error(name_ + ": is empty");
    begin();
    do add_row();
    while (next());
    return std::move(table_);
  }

 private:
  // Moves to the next line that is not blank. Blank lines are allowed only at the beginning and at the end.
  bool next() {
    std::size_t blank = 0;
    while (lines_.next()) {
      if (trimmed(lines_.line()).empty()) {
        if (blank == 0) blank = lines_.number();
      } else if (blank > 0 && table_.rows > 0) {
        throw Error(name_ + ": line " + std::to_string(blank) + " is blank, but rows follow");
      } else if (is_too_wide(lines_.line())) {
        throw Error(name_ + ": line " + std::to_string(lines_.number()) + " has more than " +
                    std::to_string(kMostFields) + " fields");
      } else {
        return true;
      }
    }
    return false;
  }

  // Finds the delimiter and the width, and moves to the first row.
  void begin() {
    const std::string first(lines_.line());
    delimiter_ = delimiter_of(first);
    split_line(first);
    has_header_ = count(fields_, Meaning::word) > 0;
    if (has_header_) skip_header(first);
    table_.cols = static_cast<Index>(fields_.size());
    check_width_(table_.cols);
  }

  void skip_header(std::string_view header) {
    if (!next()) throw Error(name_ + ": not a table of numbers: the only line is " + in_quotes(header));
    delimiter_ = delimiter_of(lines_.line());
    if (header.starts_with('#')) header.remove_prefix(1);  // numpy.savetxt begins a header with #
    split_line(header);
    const std::size_t names = fields_.size();
    split_line(lines_.line());
    const std::string line = "line " + std::to_string(lines_.number());
    if (count(fields_, Meaning::word) > 0 && count(fields_, Meaning::number) == 0)
      throw Error(name_ + ": not a table of numbers: " + line + " is " + in_quotes(lines_.line()));
    if (names != fields_.size())
      throw Error(name_ + ": " + line + " has " + fields(fields_.size()) + ", but the header has " +
                  std::to_string(names));
  }

  void add_row() {
    split_line(lines_.line());
    if (fields_.size() != static_cast<std::size_t>(table_.cols)) {
      throw Error(name_ + ": line " + std::to_string(lines_.number()) + " has " + fields(fields_.size()) +
                  ", but the first row has " + std::to_string(table_.cols));
    }
    for (std::size_t column = 0; column < fields_.size(); ++column) {
      float value = 0;
      const Meaning meaning = parse(fields_[column], value);
      if (meaning == Meaning::missing && nans_ == NaNs::missing)
        value = std::numeric_limits<float>::quiet_NaN();
      else if (meaning != Meaning::number)
        fail(meaning, column);
      table_.values.push_back(value);
    }
    ++table_.rows;
  }

  void split_line(std::string_view line) {
    if (!split(line, delimiter_, fields_))
      throw Error(name_ + ": line " + std::to_string(lines_.number()) + " has a quote that does not enclose a field");
  }

  [[noreturn]] void fail(Meaning meaning, std::size_t column) const {
    const std::string_view field = fields_[column];
    std::string reason = "is not a number";
    if (meaning == Meaning::decimal_comma) reason += ": write it with a decimal point";
    if (meaning == Meaning::infinite) reason = "is not finite";
    if (meaning == Meaning::beyond_float32) reason = "is beyond the range of float32";
    if (meaning == Meaning::missing)
      reason = "is missing: fill it in, remove the row, or train with missing values (--missing)";
    if (meaning == Meaning::missing && table_.rows == 0 && !has_header_)
      reason += " (a header line must have a name that is not a number)";
    throw Error(name_ + ": line " + std::to_string(lines_.number()) + ", column " + std::to_string(column + 1) + ": " +
                in_quotes(field) + " " + reason);
  }

  static std::string fields(std::size_t count) { return std::to_string(count) + (count == 1 ? " field" : " fields"); }

  std::string name_;
  LineReader lines_;
  const std::function<void(Index)>& check_width_;
  NaNs nans_;
  char delimiter_ = ',';
  bool has_header_ = false;
  Fields fields_;
  Table table_;
};

}  // namespace

bool is_text(std::span<const std::uint8_t> front) {
  constexpr auto continues_utf8 = [](std::uint8_t c) { return c >= 0x80 && c < 0xc0; };
  return !front.empty() && !continues_utf8(front[0]) && std::all_of(front.begin(), front.end(), [](std::uint8_t c) {
    return c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c != 0x7f);
  });
}

Table read_csv(FileContent& content, const std::function<void(Index)>& check_width, NaNs nans) {
  return TableParser(content, check_width, nans).table();
}

}  // namespace cuvae
