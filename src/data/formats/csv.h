// Tables of numbers as text: CSV, TSV, and the output of spreadsheets and numpy.savetxt.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "cuvae/dataset.h"
#include "data/bytes/file_content.h"

namespace cuvae {

struct Table {
  std::vector<float> values;  // [rows, cols]
  Index rows = 0, cols = 0;
};

/// Whether the first bytes of a file are text: no control characters except tabs and line ends.
bool is_text(std::span<const std::uint8_t> front);

/// Reads one line at a time; only the values stay in memory. The delimiter is the tab, semicolon, comma or spaces that
/// split the first line of numbers. A first line with a word among its fields is a header and is skipped. Fields may be
/// quoted. Lines end in LF, CRLF or CR. Blank lines at the end are ignored. Calls `check_width` with the number of
/// columns as soon as it is known. A field that is missing (empty, nan, NA) becomes NaN with NaNs::missing. Throws
/// Error, naming line and column, for a field that is not a number, is otherwise missing or is beyond float32, and for
/// lines with different numbers of fields.
Table read_csv(FileContent& content, const std::function<void(Index)>& check_width, NaNs nans);

}  // namespace cuvae
