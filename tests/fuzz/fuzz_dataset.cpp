// A data file of any format: opened, and every value is read.
#include <cmath>

#include "cuvae/dataset.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cuvae;
  static const fuzz::MemoryFile file("data");
  file.write(data, size);
  fuzz::run_with_failures(data, size, [] {
    const Dataset set = Dataset::open(file.path(), Split::train);
    double sum = 0;
    for (const float mean : set.column_means()) sum += static_cast<double>(mean);
    if (set.rows() < 1 || set.cols() < 1 || set.image_height() < 1 || set.cols() % set.image_height() != 0)
      __builtin_trap();
    if (!std::isfinite(sum)) __builtin_trap();
    set.crc32();
    set.within_unit_interval();
    set.row(set.rows() - 1);
  });
  return 0;
}
