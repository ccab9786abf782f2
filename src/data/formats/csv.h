// Tables of numbers as text: CSV, TSV, and what spreadsheets and numpy.savetxt write.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "cuvae/view.h"
#include "data/bytes/file_content.h"

namespace cuvae {

struct Table {
  std::vector<float> values;  // [rows, cols]
  Index rows = 0, cols = 0;
};

/// Whether bytes from the front of a file are text: no control characters except tabs and ends of lines.
bool is_text(std::span<const std::uint8_t> front);

/// Reads a line at a time, so that only the values stay in memory. The delimiter is a tab, semicolon, comma or spaces,
/// whichever splits the first line of numbers. A first line with a word among its fields is a header and is skipped.
/// Fields may be quoted; lines end in LF, CRLF or CR; blank lines at the end are ignored. Calls `check_width` with the
/// number of columns when it is known. Throws Error, naming line and column, for a field that is no number, missing
/// (empty, nan, NA) or beyond float32, and for lines of different lengths.
Table read_csv(FileContent& content, const std::function<void(Index)>& check_width);

}  // namespace cuvae
